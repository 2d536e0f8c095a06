//! The life of a release on a real API server: Helm installs, upgrades and removes. What a hook's Pod runs is run here,
//! with the rights of its `ServiceAccount`: there are no nodes.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, ensure};
use berth_tests::{
    berth::program,
    cluster::Cluster,
    helm::Helm,
    manifests::{SYSTEM, objects, path, templated, title, values},
    processes::Folder,
    wait::until,
};
use k8s_openapi::api::{admissionregistration::v1::MutatingWebhookConfiguration, core::v1::Pod};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::LIMIT;

#[tokio::test]
async fn a_release_comes_changes_and_goes_without_blocking_anything() {
    let cluster = Cluster::start().await.unwrap();
    let helm = Helm::new().await.unwrap();
    let chart = path("chart").display().to_string();
    let system = ["--namespace", SYSTEM];
    let said = run(&helm, &cluster, &[&["install", "berth", &chart, "--create-namespace"], system.as_slice()].concat())
        .await
        .unwrap();
    for next in ["kubectl label namespace shop berth.dev/admission=observe", "helm test berth", "helm uninstall berth"]
    {
        assert!(said.contains(next), "{next} is not in {said}");
    }
    // A Pod is created at once: nothing serves yet, and nothing is refused.
    cluster.namespace("shop", &[("berth.dev/admission", "enabled")]).await.unwrap();
    let pods = cluster.pods("shop").await.unwrap();
    pods.create(&PostParams::default(), &gated("early")).await.unwrap();

    let bundled = bundle(&cluster).await.unwrap();
    let production = values("values-production.yaml");
    run(&helm, &cluster, &[&["upgrade", "berth", &chart, &production], system.as_slice()].concat()).await.unwrap();
    assert_eq!(bundles(&cluster).await.unwrap(), bundled, "an upgrade leaves caBundle alone");
    assert_eq!(replicas(&cluster).await.unwrap(), 3);
    run(&helm, &cluster, &[&["rollback", "berth", "1"], system.as_slice()].concat()).await.unwrap();
    assert_eq!(bundles(&cluster).await.unwrap(), bundled, "so does a rollback");
    assert_eq!(replicas(&cluster).await.unwrap(), 2);

    let uninstall = [&["uninstall", "berth"], system.as_slice()].concat();
    let (removed, ran) = tokio::join!(run(&helm, &cluster, &uninstall), hook(&cluster, "job-name=berth-uninstall"));
    assert!(removed.unwrap().contains("uninstalled"), "Helm says so");
    let (state, said) = ran.unwrap();
    assert_eq!(state, [true, false], "the Job deletes the configuration, and nobody before it");
    assert!(said.contains("shop/early: opened"), "{said}");
    let early = serde_json::to_value(pods.get("early").await.unwrap()).unwrap();
    assert_eq!(early["spec"]["schedulingGates"], Value::Null);
    assert_eq!(left(&cluster).await.unwrap(), Vec::<String>::new());
}

/// Runs Helm, which must succeed: what it wrote.
async fn run(helm: &Helm, cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<String> {
    let output = helm.run(arguments, Some(cluster.kubeconfig())).await?;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    ensure!(output.status.success(), "helm {arguments:?}: {said}");
    Ok(said)
}

/// Does what the kubelet and the controller of Jobs need: runs the one container of the Pod with this label, and says how
/// that ended. Whether the configuration was there before and after it ran, and what it wrote.
async fn hook(cluster: &Cluster, label: &str) -> anyhow::Result<([bool; 2], String)> {
    let pods = cluster.pods(SYSTEM).await?;
    let pod = until("the hook has its Pod", LIMIT, async || {
        pods.list(&ListParams::default().labels(label)).await?.items.pop().context("there is none")
    })
    .await?;
    let (name, spec) = (pod.metadata.name.context("a Pod has a name")?, pod.spec.context("a Pod has a spec")?);
    let is_there = async || anyhow::Ok(configurations(cluster).await?.get_opt("zz-berth.dev").await?.is_some());
    let before = is_there().await?;
    let account = spec.service_account_name.context("a hook has an account")?;
    let user = format!("system:serviceaccount:{SYSTEM}:{account}");
    let folder = Folder::for_data("hook")?;
    let mut command = Command::new(program().await?);
    command.args(spec.containers.into_iter().flat_map(|one| one.args.unwrap_or_default()));
    let kubeconfig = cluster.authority().kubeconfig(cluster.server(), &user, None)?;
    command.env("KUBECONFIG", folder.write("kubeconfig", kubeconfig)?);
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let after = is_there().await?;
    let phase = if output.status.success() { "Succeeded" } else { "Failed" };
    let status = Patch::Merge(json!({ "status": { "phase": phase } }));
    pods.patch_status(&name, &PatchParams::default(), &status).await?;
    Ok(([before, after], said))
}

/// Writes `caBundle` as the controller does; what is there then.
async fn bundle(cluster: &Cluster) -> anyhow::Result<Vec<Value>> {
    let webhooks = configurations(cluster).await?.get("zz-berth.dev").await?.webhooks.unwrap_or_default();
    let value = cluster.authority().bundle();
    let add =
        |index| json!({ "op": "add", "path": format!("/webhooks/{index}/clientConfig/caBundle"), "value": value });
    let patch = Patch::Json::<()>(serde_json::from_value((0..webhooks.len()).map(add).collect())?);
    let manager = PatchParams { field_manager: Some("berth-certificates".to_owned()), ..PatchParams::default() };
    configurations(cluster).await?.patch("zz-berth.dev", &manager, &patch).await?;
    let bundles = bundles(cluster).await?;
    ensure!(!bundles.is_empty() && bundles.iter().all(|one| *one == json!(value)), "{bundles:?}");
    Ok(bundles)
}

async fn bundles(cluster: &Cluster) -> anyhow::Result<Vec<Value>> {
    let whole = serde_json::to_value(configurations(cluster).await?.get("zz-berth.dev").await?)?;
    let webhooks = whole["webhooks"].as_array().context("it has webhooks")?;
    Ok(webhooks.iter().map(|webhook| webhook["clientConfig"]["caBundle"].clone()).collect())
}

async fn configurations(cluster: &Cluster) -> anyhow::Result<Api<MutatingWebhookConfiguration>> {
    Ok(Api::all(cluster.client().await?))
}

async fn replicas(cluster: &Cluster) -> anyhow::Result<i32> {
    let deployments: Api<k8s_openapi::api::apps::v1::Deployment> = Api::namespaced(cluster.client().await?, SYSTEM);
    deployments.get("berth-webhook").await?.spec.replicas.context("it says how many")
}

/// Which objects of the chart are still there.
async fn left(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let mut left = Vec::new();
    for object in objects(&templated(&[]).await?)? {
        let [version, kind] = ["apiVersion", "kind"].map(|key| object[key].as_str().unwrap_or_default());
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let client = cluster.client().await?;
        let api = match object["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::<DynamicObject>::namespaced_with(client, namespace, &resource),
            None => Api::<DynamicObject>::all_with(client, &resource),
        };
        let name = object["metadata"]["name"].as_str().context("an object has a name")?;
        let going = Duration::from_secs(20);
        let gone = until("it is gone", going, async || {
            ensure!(api.get_opt(name).await?.is_none(), "it is there");
            Ok(())
        });
        if gone.await.is_err() {
            left.push(title(&object));
        }
    }
    Ok(left)
}

/// A Pod that waits behind Berth's gate.
fn gated(name: &str) -> Pod {
    let spec = json!({
        "containers": [{ "name": "main", "image": "app:dev", "imagePullPolicy": "Never" }],
        "schedulingGates": [{ "name": "berth.dev/image-on-node" }],
    });
    serde_json::from_value(json!({ "metadata": { "name": name }, "spec": spec })).unwrap()
}
