//! `berth called`, which `helm test` runs: whether Pods come to Berth, and what to look at if not.

use std::process::Command;

use anyhow::ensure;
use berth_tests::{
    berth::{Options, Webhook, opted_in, program},
    cluster::Cluster,
    processes::Folder,
    wait::until,
};
use serde_json::json;

use super::{LIMIT, SYSTEM, installed};

#[tokio::test]
async fn it_says_whether_pods_come_to_berth() {
    let cluster = installed().await.unwrap();
    let options =
        Options { only: Some("called"), ..Options::new("apiVersion: berth.dev/v1alpha1\nkind: Configuration\n") };
    let mut webhook = Webhook::start(cluster, &options).await.unwrap();
    let strict = [
        opted_in(Some("called")),
        vec![("pod-security.kubernetes.io/enforce", "restricted"), ("berth.dev/require-digest", "all")],
    ]
    .concat();
    cluster.namespace("called-strict", &strict).await.unwrap();
    cluster.namespace("called-observed", &[("berth.dev/admission", "observe")]).await.unwrap();
    cluster.namespace("called-none", &[]).await.unwrap();
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "any", "namespace": "called-strict" },
        "spec": { "hard": { "limits.cpu": "1", "requests.memory": "1Gi" } },
    });
    cluster.apply(&quota.to_string()).await.unwrap();

    // The same by kubectl alone, as manifests/README.md and Helm's notes have it.
    cluster.namespace("called-plain", &opted_in(Some("called"))).await.unwrap();
    let notes = "--output=jsonpath={.metadata.annotations.berth\\.dev/notes}";
    let image = "--overrides={\"spec\": {\"containers\": [{\"name\": \"probe\", \"image\": \"not an image\"}]}}";
    let probe = ["--namespace=called-plain", "run", "probe", "--image=any", "--dry-run=server", image, notes];
    let said = String::from_utf8(cluster.kubectl(&probe, "").await.unwrap().stdout).unwrap();
    assert!(said.contains("not an image"), "{said}");

    check(cluster, "called-strict", 0, "called-strict: Pods come to Berth\n").await;
    check(cluster, "called-none", 1, "kubectl label namespace called-none berth.dev/admission=enabled").await;
    check(cluster, "called-observed", 1, "it is observed only").await;
    check(cluster, SYSTEM, 1, "Pods do not come to Berth").await;
    check(cluster, "called-nowhere", 64, "berth: there is no namespace called-nowhere\n").await;
    assert!(
        cluster
            .pods("called-strict")
            .await
            .unwrap()
            .list(&kube::api::ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );

    webhook.stop().await.unwrap();
    let configuration = ["delete", "mutatingwebhookconfiguration", "zz-berth-called"];
    assert!(cluster.kubectl(&configuration, "").await.unwrap().status.success());
    until("nobody is called any more", LIMIT, async || {
        let (code, said) = called(cluster, "called-strict", "admin").await?;
        ensure!(code == Some(1) && said.contains("is berth-webhook ready"), "{code:?}: {said}");
        Ok(())
    })
    .await
    .unwrap();
}

/// The rights that the chart gives its test are enough, and nobody needs more.
#[tokio::test]
async fn it_needs_the_right_to_create_pods_and_no_other() {
    let cluster = installed().await.unwrap();
    let user = "system:serviceaccount:berth-system:berth-test";
    cluster.namespace("called-rights", &[]).await.unwrap();
    let (code, said) = called(cluster, "called-rights", user).await.unwrap();
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("cannot create resource \"pods\""), "{said}");

    let rendered = berth_tests::manifests::templated(&[]).await.unwrap().replace("berth-system-test", "called-rights");
    let role = |kind: &str| kind == "Role" || kind == "RoleBinding";
    let ours = berth_tests::manifests::objects(&rendered)
        .unwrap()
        .into_iter()
        .filter(|one| role(one["kind"].as_str().unwrap()) && one["metadata"]["namespace"] == "called-rights");
    let ours: Vec<_> = ours.collect();
    assert_eq!(ours.len(), 2, "{ours:?}");
    cluster.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": ours }).to_string()).await.unwrap();
    until("the right is in force", LIMIT, async || {
        let (code, said) = called(cluster, "called-rights", user).await?;
        ensure!(code == Some(1) && said.contains("has it the label berth.dev/admission=enabled"), "{code:?}: {said}");
        Ok(())
    })
    .await
    .unwrap();
}

async fn check(cluster: &Cluster, namespace: &str, code: i32, words: &str) {
    let (got, said) = called(cluster, namespace, "admin").await.unwrap();
    assert_eq!(got, Some(code), "{namespace}: {said}");
    assert!(said.contains(words), "{namespace}: {said}");
}

/// Runs it as `user`; its exit code, and what it wrote.
async fn called(cluster: &Cluster, namespace: &str, user: &str) -> anyhow::Result<(Option<i32>, String)> {
    let folder = Folder::for_data("called")?;
    let group = (user == "admin").then_some("system:masters");
    let kubeconfig = cluster.authority().kubeconfig(cluster.server(), user, group)?;
    let mut command = Command::new(program().await?);
    command.arg("called").arg(namespace).env("KUBECONFIG", folder.write("kubeconfig", kubeconfig)?);
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Ok((output.status.code(), said))
}
