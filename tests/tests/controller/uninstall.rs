//! `berth controller --uninstall`: API servers stop calling Berth first, and then every gate is opened.

use std::time::Duration;

use anyhow::ensure;
use berth_tests::{
    berth::{Controller, uninstall},
    cluster::{self, Cluster},
    wait::until,
};
use k8s_openapi::api::{
    admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
    rbac::v1::ClusterRole,
};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::{join, time::sleep};

use super::{LIMIT, gated, is_gated, pods};

#[tokio::test]
async fn configurations_go_first_and_then_all_gates_are_opened_until_none_is_left() {
    let cluster = with_rights().await;
    cluster.namespace("all", &[]).await.unwrap();
    let create = async |name: &str| {
        let pod = serde_json::from_value(gated("all", name, "app:dev")).unwrap();
        cluster.pods("all").await.unwrap().create(&PostParams::default(), &pod).await.unwrap();
    };
    register(&cluster, "zz-berth.dev").await;
    register(&cluster, "another").await;
    create("web").await;

    // Without the right, nothing is done by halves: a gate that was opened would be closed for the next Pod.
    may_delete(&cluster, false).await;
    let output = uninstall(&cluster).await.unwrap();
    let (said, complaint) = texts(&output);
    assert_eq!((output.status.code(), said.as_str()), (Some(69), ""), "{complaint}");
    for word in ["MutatingWebhookConfiguration zz-berth.dev cannot be deleted", "cannot delete resource", "no gate was"]
    {
        assert!(complaint.contains(word), "{word} is not in {complaint}");
    }
    assert!(is_gated(&pods(&cluster, "all").await.unwrap()[0]));

    may_delete(&cluster, true).await;
    // An API server that has not heard of it yet still calls the webhook, which gates a Pod.
    let late = async {
        sleep(Duration::from_secs(2)).await;
        create("late").await;
    };
    let (output, ()) = join!(uninstall(&cluster), late);
    let (said, complaint) = texts(&output.unwrap());
    let want = "MutatingWebhookConfiguration zz-berth.dev: deleted\nValidatingWebhookConfiguration zz-berth.dev: deleted\n\
                all/late: opened\nall/web: opened\n2 gates were opened, and Berth can be removed\n";
    assert_eq!((said.as_str(), complaint.as_str()), (want, ""));
    assert_eq!(configurations(&cluster).await, ["another", "another"]);
    for pod in pods(&cluster, "all").await.unwrap() {
        assert!(!is_gated(&pod), "{pod}");
        let notes = pod["metadata"]["annotations"]["berth.dev/notes"].as_str().unwrap();
        assert_eq!(notes, "waited until Berth was uninstalled, wherever its image is");
    }

    let output = uninstall(&cluster).await.unwrap();
    let want = "MutatingWebhookConfiguration zz-berth.dev: is not there\nValidatingWebhookConfiguration zz-berth.dev: is \
                not there\nno gate was opened, and Berth can be removed\n";
    assert_eq!((output.status.code(), texts(&output).0.as_str()), (Some(0), want));
}

/// The rights come with the installation; nothing of it runs.
async fn with_rights() -> Cluster {
    let options = cluster::Options { only_api_server: true, ..cluster::Options::default() };
    let cluster = Cluster::start_with(&options).await.unwrap();
    drop(Controller::start(&cluster, "apiVersion: berth.dev/v1alpha1\nkind: Configuration\n").await.unwrap());
    cluster
}

/// Configurations of both kinds that call nobody.
async fn register(cluster: &Cluster, name: &str) {
    for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": { "name": name },
        });
        cluster.apply(&configuration.to_string()).await.unwrap();
    }
}

/// The names that are left, of both kinds.
async fn configurations(cluster: &Cluster) -> Vec<String> {
    let client = cluster.client().await.unwrap();
    let mutating = Api::<MutatingWebhookConfiguration>::all(client.clone()).list(&ListParams::default()).await.unwrap();
    let validating = Api::<ValidatingWebhookConfiguration>::all(client).list(&ListParams::default()).await.unwrap();
    let metadata = mutating.items.into_iter().map(|one| one.metadata);
    let metadata = metadata.chain(validating.items.into_iter().map(|one| one.metadata));
    metadata.filter_map(|metadata| metadata.name).collect()
}

/// Gives the controller the right to delete its configurations, or takes it.
async fn may_delete(cluster: &Cluster, may: bool) {
    let roles: Api<ClusterRole> = Api::all(cluster.client().await.unwrap());
    let mut role = serde_json::to_value(roles.get("berth-controller").await.unwrap()).unwrap();
    for rule in role["rules"].as_array_mut().unwrap() {
        if rule["apiGroups"] == json!(["admissionregistration.k8s.io"]) {
            let verbs = rule["verbs"].as_array_mut().unwrap();
            verbs.retain(|verb| verb != "delete");
            verbs.extend(may.then(|| Value::from("delete")));
        }
    }
    let patch = Patch::Merge(json!({ "rules": role["rules"] }));
    roles.patch("berth-controller", &PatchParams::default(), &patch).await.unwrap();
    let question = ["auth", "can-i", "delete", "mutatingwebhookconfigurations/zz-berth.dev", "--as", CONTROLLER];
    until("the API server has heard of it", LIMIT, async || {
        let answer = cluster.kubectl(&question, "").await?;
        ensure!(answer.status.success() == may, "{answer:?}");
        Ok(())
    })
    .await
    .unwrap();
}

fn texts(output: &std::process::Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

const CONTROLLER: &str = "system:serviceaccount:berth-system:berth-controller";
