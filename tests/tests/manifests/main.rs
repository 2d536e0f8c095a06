//! What `manifests/` renders to, and what a real API server makes of it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test does not find, it fails by"
)]
#![allow(clippy::print_stdout, reason = "how much was compared is worth knowing")]

mod bad_values;
mod called;
mod calls;
mod cert_manager;
mod digests;
mod narrow;
mod release;
mod rights;
mod same;
mod shape;
mod used;

use std::time::Duration;

use anyhow::{Context as _, ensure};
use berth_tests::{
    cluster::Cluster,
    manifests::{SYSTEM, kustomized},
    wait::until,
};
use k8s_openapi::api::{
    admissionregistration::v1::ValidatingAdmissionPolicy, apps::v1::Deployment, core::v1::ConfigMap,
};
use kube::{Api, api::ListParams};
use tokio::sync::OnceCell;

/// A cluster to which `manifests/base` has been applied.
async fn installed() -> anyhow::Result<&'static Cluster> {
    static INSTALLED: OnceCell<&'static Cluster> = OnceCell::const_new();
    let install = async || {
        let cluster = Cluster::shared().await?;
        cluster.apply(&kustomized("base").await?).await?;
        anyhow::Ok(cluster)
    };
    INSTALLED.get_or_try_init(install).await.copied()
}

/// A client with the rights of one of Berth's `ServiceAccounts`.
async fn client_of(account: &str) -> anyhow::Result<kube::Client> {
    let user = format!("system:serviceaccount:{SYSTEM}:{account}");
    let group = format!("system:serviceaccounts:{SYSTEM}");
    installed().await?.client_for(&user, &["system:serviceaccounts", &group]).await
}

#[tokio::test]
async fn can_be_applied_twice_and_says_nothing_about_certificates() {
    let cluster = installed().await.unwrap();
    for folder in ["base", "overlays/dev", "overlays/production"] {
        let rendered = kustomized(folder).await.unwrap();
        assert!(!rendered.contains("caBundle"), "{folder}: a manifest with a bundle puts an old one back");
        let server_side = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-"];
        let output = cluster.kubectl(&server_side, &rendered).await.unwrap();
        assert!(output.status.success(), "{folder}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let said = cluster.apply(&kustomized("base").await.unwrap()).await.unwrap();
    assert!(!said.contains("Warning"), "{said}");
}

#[tokio::test]
async fn the_configuration_in_it_is_one() {
    for folder in ["base", "overlays/dev", "overlays/production", "overlays/cert-manager"] {
        let objects = berth_tests::manifests::objects(&kustomized(folder).await.unwrap()).unwrap();
        let map = objects.iter().find(|object| object["kind"] == "ConfigMap").unwrap();
        let text = map["data"]["config.yaml"].as_str().unwrap();
        let (_, warnings) = berth::config::parse(text, "config.yaml").unwrap();
        assert_eq!(warnings, [], "{folder}");
    }
    let maps: Api<ConfigMap> = Api::namespaced(installed().await.unwrap().client().await.unwrap(), SYSTEM);
    let maps = maps.list(&ListParams::default().labels("app.kubernetes.io/part-of=berth")).await.unwrap();
    assert_eq!(maps.items.len(), 1, "{maps:?}");
}

/// Pods are made from the Deployments, so the namespace's restricted Pod security, the quota and the priority class let
/// them in.
#[tokio::test]
async fn its_own_pods_are_admitted() {
    let deployments: Api<Deployment> = Api::namespaced(installed().await.unwrap().client().await.unwrap(), SYSTEM);
    for name in ["berth-webhook", "berth-controller"] {
        until(&format!("{name} has its Pods"), LIMIT, async || {
            let status = deployments.get(name).await?.status.context("no status")?;
            ensure!(status.replicas == Some(2), "{status:?}");
            Ok(())
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn the_level_for_busy_clusters_is_one() {
    let text = include_str!("../../../manifests/README.md");
    let schema = text.split("```yaml\n").find(|block| block.contains("kind: FlowSchema")).unwrap();
    let dry_run = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
    let schema = schema.split("```").next().unwrap();
    let output = installed().await.unwrap().kubectl(&dry_run, schema).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The API server checks the expressions against the types of Pods, and says in the status what it finds odd.
#[tokio::test]
async fn the_expressions_of_the_policies_are_sound() {
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(installed().await.unwrap().client().await.unwrap());
    for name in ["berth-controller", "berth-require-digest"] {
        let what = format!("the expressions of {name} are checked");
        let checked = until(&what, LIMIT, async || {
            policies.get(name).await?.status.and_then(|status| status.type_checking).context("not yet")
        });
        let warnings = checked.await.unwrap().expression_warnings.unwrap_or_default();
        assert!(warnings.is_empty(), "{name}: {warnings:?}");
    }
}

const PUBLIC: &str = "kube-public";
const LIMIT: Duration = Duration::from_secs(60);
