//! Where the real scheduler puts a Pod whose image is only on some nodes.

use berth_tests::cluster::Node;

use super::*;

#[tokio::test]
async fn a_pod_that_is_never_pulled_is_bound_to_the_node_that_has_its_image() {
    let world = world().await;
    world.cluster.add(&Node::new("holder").image(&["docker.io/library/dashboard:latest"])).await.unwrap();
    world.cluster.add(&Node::new("stranger").image(&["docker.io/library/else:latest"])).await.unwrap();
    world.sees("docker.io/library/dashboard:latest", &["holder"]).await;
    let namespace = world.namespace("placed").await;
    namespace.apply_without_drift(&workloads::deployment("dashboard:latest", "Never")).await;
    let pod = namespace.pod().await;
    assert_eq!(image(&pod), "dashboard:latest");
    assert_eq!(terms(&pod), &json!([{"matchExpressions": [hostname_in(&["holder"])]}]));
    assert_eq!(namespace.node_of(&pod).await, "holder");
}

#[tokio::test]
async fn the_users_own_terms_are_narrowed_each_and_never_widened() {
    let world = world().await;
    for (name, zone) in [("own-a", "a"), ("own-b", "b"), ("own-c", "c")] {
        let image = if name == "own-b" { "docker.io/library/none:dev" } else { "docker.io/library/own:dev" };
        world.cluster.add(&Node::new(name).label("zone", zone).image(&[image])).await.unwrap();
    }
    world.sees("docker.io/library/own:dev", &["own-a", "own-c"]).await;
    let namespace = world.namespace("own-affinity").await;
    let zone = |operator: &str, zones: &[&str]| json!({"key": "zone", "operator": operator, "values": zones});
    let pool = json!({"key": "pool", "operator": "DoesNotExist"});
    let preferred = json!([{"weight": 3, "preference": {"matchExpressions": [zone("In", &["a"])]}}]);
    let mut pod = never("web", "own:dev");
    pod["spec"]["affinity"] = json!({"nodeAffinity": {
        REQUIRED: {"nodeSelectorTerms": [
            {"matchExpressions": [zone("In", &["b"])]},
            {"matchExpressions": [zone("NotIn", &["a"]), pool]},
        ]},
        "preferredDuringSchedulingIgnoredDuringExecution": preferred,
    }});
    let stored = namespace.create(&pod).await;
    let hosts = terms(&stored)[0]["matchExpressions"][1].clone();
    assert_eq!((&hosts["key"], &hosts["operator"]), (&json!("kubernetes.io/hostname"), &json!("In")));
    let expected = json!([
        {"matchExpressions": [zone("In", &["b"]), hosts]},
        {"matchExpressions": [zone("NotIn", &["a"]), pool, hosts]},
    ]);
    assert_eq!(terms(&stored), &expected);
    let after = &stored["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(after[0], preferred[0]);
    // `own-b` lacks the image, `own-a` is in the wrong zone.
    assert_eq!(namespace.node_of(&stored).await, "own-c");
}

#[tokio::test]
async fn what_no_node_has_says_how_to_load_it() {
    let world = world().await;
    world.cluster.add(&Node::new("knows-others").image(&["docker.io/library/others:dev"])).await.unwrap();
    let namespace = world.namespace("missing").await;
    world.sees("docker.io/library/others:dev", &["knows-others"]).await;
    let mut pod = never("web", "nowhere:dev");
    pod["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": "knows-others"});
    let (_, warnings) = namespace.kubectl(&["apply", "-f", "-"], &pod.to_string()).await;
    assert!(warnings.contains("berth: main: no node has nowhere:dev"), "{warnings}");
    let stored = namespace.pod().await;
    assert!(notes(&stored).contains("images import"), "{}", notes(&stored));
    // No controller runs in this cluster: nobody would ever lift a gate.
    assert_eq!(stored["spec"].get("schedulingGates"), None);
}

impl World {
    /// Waits until the webhook has heard that these nodes, and no others, list `image`.
    pub(super) async fn sees(&self, image: &str, nodes: &[&str]) {
        let pods = self.cluster.pods("berth-probe-world").await.unwrap();
        let pod = serde_json::from_value(never("probe", image)).unwrap();
        let parameters = PostParams { dry_run: true, ..PostParams::default() };
        until(&format!("Berth sees {image} on {nodes:?}"), LIMIT, async || {
            let pod = serde_json::to_value(pods.create(&parameters, &pod).await?)?;
            let values = &terms(&pod)[0]["matchExpressions"][0]["values"];
            ensure!(*values == json!(nodes), "the affinity is {}", pod["spec"]["affinity"]);
            Ok(())
        })
        .await
        .unwrap();
    }
}

fn hostname_in(names: &[&str]) -> Value {
    json!({"key": "kubernetes.io/hostname", "operator": "In", "values": names})
}

fn terms(pod: &Value) -> &Value {
    &pod["spec"]["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
