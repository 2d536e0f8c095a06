//! Situations 3 and 4: kind with a local registry, and Skaffold, with nothing said in Berth's configuration but the
//! profile.

use anyhow::ensure;
use berth_tests::{cluster::Node, enclave::inside, registry::Registry, wait::until};

use crate::town::{LIMIT, Town, WITH, at, image, notes, plain};

/// The tests, by name.
pub(crate) const ALL: &[(&str, fn())] = &[
    ("kind::a_tag_that_is_pushed_again_is_what_the_next_pod_gets", pushed_again),
    ("kind::the_local_registry_is_what_the_cluster_says_of_it", followed),
];

/// Situations 3 and 4, with the `ConfigMap` of kind's script as it is.
fn pushed_again() {
    inside(async |_| {
        let registry = plain(KIND).await;
        let first = registry.push("app", "v2", "push 0").await.unwrap();
        let listed = [format!("localhost:5001/app@{first}"), "localhost:5001/app:v2".to_owned()];
        let listed = listed.each_ref().map(String::as_str);
        let nodes = ["kind-worker", "kind-worker2"].map(|name| Node::new(name).image(&listed));
        let town = Town::new("profile: dev", &nodes).await;
        town.dns.tell("kind-registry", [at("10.89.0.2")]);
        town.cluster.apply(KINDS_OWN).await.unwrap();
        town.becomes("localhost:5001/app:v2", &format!("localhost:5001/app:v2@{first}")).await;
        for number in 1..=PUSHES {
            let digest = registry.push_index("app", "v2", &format!("push {number}")).await.unwrap();
            let (with, without) = (format!("with-{number}"), format!("without-{number}"));
            let stored = town.pod(&with, "localhost:5001/app:v2").await;
            assert_eq!(image(&stored), format!("localhost:5001/app:v2@{digest}"), "push {number}: {}", notes(&stored));
            // Without Berth the kubelet finds the first build under that tag on its node, and starts it.
            assert_eq!(image(&town.pod_without(&without, "localhost:5001/app:v2").await), "localhost:5001/app:v2");
            town.cluster.node_of(WITH, &with).await.unwrap();
        }
        skaffold(&town, &registry).await;
        assert_eq!(tried(&registry), 1, "kind's usual address is tried once");
    })
    .unwrap();
}

/// Situation 4: the Deployment says which digest, and a newer build arrives all the same.
async fn skaffold(town: &Town, registry: &Registry) {
    let old = registry.push("app", "latest", "what Skaffold deployed").await.unwrap();
    let written = format!("localhost:5001/app:latest@{old}");
    let [with, without] = town.deploy("before", &written, 2).await;
    assert_eq!([with, without].concat(), vec![written.clone(); 4], "nothing newer is there");
    let new = registry.push("app", "latest", "a newer push").await.unwrap();
    let [with, without] = town.deploy("after", &written, 2).await;
    assert_eq!(with, vec![format!("localhost:5001/app:latest@{new}"); 2]);
    assert_eq!(without, vec![written; 2], "without Berth it never arrives");
}

/// The `ConfigMap` over its life: without an address, with one, with another, broken, gone.
fn followed() {
    inside(async |_| {
        let (usual, other) = (plain(KIND).await, plain("10.89.0.3:5000").await);
        let usual_digest = usual.push("app", "v2", "at the usual place").await.unwrap();
        let other_digest = other.push("app", "v2", "at another place").await.unwrap();
        let town = Town::new("profile: dev", &[Node::new("node")]).await;
        let app = "localhost:5001/app:v2";

        // kind's own, where its registry has another name: the line that is missing is told where people look.
        town.cluster.apply(KINDS_OWN).await.unwrap();
        let missing = "add `hostFromClusterNetwork` to local-registry-hosting";
        warned(&town, app, missing).await;
        assert!(
            town.webhook.log().contains("add to its localRegistryHosting.v1 a line like"),
            "{}",
            town.webhook.log()
        );

        // The same text is not tried again; a new one is.
        town.dns.tell("kind-registry", [at("10.89.0.2")]);
        town.cluster.apply(KINDS_OWN).await.unwrap();
        assert!(notes(&town.pod("again", app).await).contains(missing));
        assert_eq!(tried(&usual), 0);
        town.cluster.apply(&with("hostFromContainerRuntime: kind:5000")).await.unwrap();
        town.becomes(app, &format!("{app}@{usual_digest}")).await;
        town.becomes("kind:5000/app:v2", &format!("kind:5000/app:v2@{usual_digest}")).await;

        town.cluster.apply(&with("hostFromClusterNetwork: 10.89.0.3:5000")).await.unwrap();
        town.becomes(app, &format!("{app}@{other_digest}")).await;
        town.cluster.apply(&KINDS_OWN.replace("host:", "host: [")).await.unwrap();
        until("the broken one is reported", LIMIT, async || {
            ensure!(town.webhook.log().contains("what it said before stays in force"), "it is not");
            Ok(())
        })
        .await
        .unwrap();
        town.becomes(app, &format!("{app}@{other_digest}")).await;

        // By a name that means Berth's own machine, it is nobody's.
        town.dns.tell("here.corp", [at("127.0.0.1")]);
        town.cluster.apply(&with("hostFromClusterNetwork: here.corp:5000")).await.unwrap();
        town.noted(app, "127.0.0.1, a loopback address").await;

        let delete = ["delete", "configmap", "local-registry-hosting", "-n", "kube-public"];
        assert!(town.cluster.kubectl(&delete, "").await.unwrap().status.success());
        town.noted(app, "add localhost:5001 to `registries`").await;
        assert_eq!(tried(&usual), 1);
    })
    .unwrap();
}

/// Waits until whoever creates a Pod is warned with all of `words`.
async fn warned(town: &Town, app: &str, words: &str) {
    let run = ["run", "main", "-n", WITH, "--image", app, "--dry-run=server"];
    until("the warning says what is missing", LIMIT, async || {
        let said = town.cluster.kubectl(&run, "").await?;
        let warning = String::from_utf8_lossy(&said.stderr).into_owned();
        ensure!(warning.contains(words), "{warning}");
        Ok(())
    })
    .await
    .unwrap();
}

/// How often Berth has asked whether a registry is there.
fn tried(registry: &Registry) -> usize {
    registry.count("GET", "/v2/")
}

/// What kind's script applies, with a line more.
fn with(line: &str) -> String {
    KINDS_OWN.replace("\n    help", &format!("\n    {line}\n    help"))
}

/// Where kind's script puts the registry.
const KIND: &str = "10.89.0.2:5000";
/// What kind's script applies, as it is.
/// Source: <https://kind.sigs.k8s.io/examples/kind-with-registry.sh>, with the script's `reg_port='5001'`.
const KINDS_OWN: &str = r#"apiVersion: v1
kind: ConfigMap
metadata:
  name: local-registry-hosting
  namespace: kube-public
data:
  localRegistryHosting.v1: |
    host: "localhost:5001"
    help: "https://kind.sigs.k8s.io/docs/user/local-registry/"
"#;
const PUSHES: usize = 5;
