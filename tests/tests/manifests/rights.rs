//! The rights of the two `ServiceAccounts`: those that are used and no others.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use berth_tests::wait::until;
use k8s_openapi::api::{
    authorization::v1::SelfSubjectRulesReview,
    coordination::v1::Lease,
    core::v1::{ConfigMap, Secret},
};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use serde_json::json;

use super::{LIMIT, PUBLIC, SYSTEM, client_of, installed};

#[tokio::test]
async fn the_webhook_reads_and_writes_nothing() {
    let none: &[&str] = &[];
    let everywhere = ["nodes list watch", "namespaces list watch"];
    check_rights("berth-webhook", "default", &everywhere).await.unwrap();
    check_rights("berth-webhook", SYSTEM, &[&OWN, everywhere.as_slice()].concat()).await.unwrap();
    check_rights(
        "berth-webhook",
        PUBLIC,
        &["configmaps/local-registry-hosting list watch", everywhere[0], everywhere[1]],
    )
    .await
    .unwrap();
    check_rights("default", SYSTEM, none).await.unwrap();
}

/// Nothing binds the `ClusterRole` for pull secrets; where somebody does, it is `get` by name and nothing else.
#[tokio::test]
async fn the_webhook_reads_secrets_where_somebody_lets_it() {
    let cluster = installed().await.unwrap();
    for namespace in ["bound", "unbound"] {
        cluster.namespace(namespace, &[]).await.unwrap();
    }
    let everywhere = ["nodes list watch", "namespaces list watch"];
    check_rights("berth-webhook", "bound", &everywhere).await.unwrap();
    cluster.apply(&pull_secret_binding("bound").unwrap()).await.unwrap();
    until_allowed("berth-webhook", "bound", "secrets get").await;
    check_rights("berth-webhook", "bound", &["secrets get", everywhere[0], everywhere[1]]).await.unwrap();
    check_rights("berth-webhook", "unbound", &everywhere).await.unwrap();
    check_rights("berth-webhook", SYSTEM, &[&OWN, everywhere.as_slice()].concat()).await.unwrap();

    let secrets =
        |namespace| async move { Api::<Secret>::namespaced(client_of("berth-webhook").await.unwrap(), namespace) };
    let missing = secrets("bound").await.get("any").await.unwrap_err().to_string();
    assert!(missing.contains("not found"), "{missing}");
    let denied = secrets("unbound").await.get("any").await.unwrap_err().to_string();
    assert!(denied.contains("cannot get resource \"secrets\""), "{denied}");
    let by_name = ListParams::default().fields("metadata.name=any");
    let denied = secrets("bound").await.list(&by_name).await.unwrap_err().to_string();
    assert!(denied.contains("cannot list resource \"secrets\""), "{denied}");
}

/// The `RoleBinding` that docs/configuration.md shows, for `namespace`.
fn pull_secret_binding(namespace: &str) -> Option<String> {
    let text = include_str!("../../../docs/configuration.md");
    let binding = text.split("```yaml\n").find(|block| block.contains("kind: RoleBinding"))?;
    Some(binding.split("```").next()?.replace("namespace: shop", &format!("namespace: {namespace}")))
}

#[tokio::test]
async fn the_controller_may_lift_gates_write_events_and_keep_its_lease_and_certificates() {
    check_rights("berth-controller", "default", &CONTROLLER).await.unwrap();
    let secrets = ["secrets create", "secrets/berth-ca/berth-tls get list watch patch"];
    let own = [["leases create", "leases/berth-controller patch"], secrets].concat();
    check_rights("berth-controller", SYSTEM, &[own.as_slice(), &CONTROLLER].concat()).await.unwrap();
}

/// Nothing binds the `ClusterRole` for stuck Pods; where somebody does, it is `delete` and nothing else.
#[tokio::test]
async fn the_controller_deletes_pods_where_somebody_lets_it() {
    let cluster = installed().await.unwrap();
    cluster.namespace("stuck", &[]).await.unwrap();
    let text = include_str!("../../../docs/configuration.md");
    let binding = text.split("```yaml\n").find(|block| block.contains("name: berth-delete-stuck")).unwrap();
    let binding = binding.split("```").next().unwrap().replace("kind: ClusterRoleBinding", "kind: RoleBinding");
    cluster.apply(&binding.replace("metadata:", "metadata:\n  namespace: stuck")).await.unwrap();
    until_allowed("berth-controller", "stuck", "pods delete").await;
    check_rights("berth-controller", "stuck", &[&["pods delete"], CONTROLLER.as_slice()].concat()).await.unwrap();
    check_rights("berth-controller", "default", &CONTROLLER).await.unwrap();
}

/// What the webhook may do in Berth's own namespace only.
const OWN: [&str; 2] = ["leases/berth-controller list watch", "secrets/berth-tls list watch"];
/// What the controller may do in every namespace.
const CONTROLLER: [&str; 7] = [
    "pods list watch patch",
    "nodes list watch",
    "events create get patch",
    "replicasets get",
    "jobs get",
    "mutatingwebhookconfigurations/zz-berth.dev get list watch patch delete",
    "validatingwebhookconfigurations/zz-berth.dev get list watch patch delete",
];

/// Compares all rights of a service account in a namespace with `want`, `resource[/name] verb…`; what every
/// authenticated user may do is left out.
async fn check_rights(account: &str, namespace: &str, want: &[&str]) -> anyhow::Result<()> {
    let got = rights(account, namespace).await?;
    let stranger = rights("nobody", "default").await?;
    let own: BTreeSet<_> = got.difference(&stranger).map(String::as_str).collect();
    assert_eq!(own, want.iter().copied().collect(), "{account} in {namespace}");
    Ok(())
}

/// Waits until the API server knows of a binding that gives this `right`: it hears of bindings by a watch.
async fn until_allowed(account: &str, namespace: &str, right: &str) {
    until(&format!("{account} has the right: {right}"), LIMIT, async || {
        let rights = rights(account, namespace).await?;
        ensure!(rights.contains(right), "it has {rights:?}");
        Ok(())
    })
    .await
    .unwrap();
}

async fn rights(account: &str, namespace: &str) -> anyhow::Result<BTreeSet<String>> {
    let reviews: Api<SelfSubjectRulesReview> = Api::all(client_of(account).await?);
    let review = serde_json::from_value(json!({ "spec": { "namespace": namespace } }))?;
    let status = reviews.create(&PostParams::default(), &review).await?.status.context("no status")?;
    ensure!(!status.incomplete, "{:?}", status.evaluation_error);
    let mut rights = BTreeSet::new();
    for rule in status.resource_rules {
        for resource in rule.resources.unwrap_or_default() {
            let names = rule.resource_names.iter().flatten().cloned();
            let what: Vec<_> = [resource].into_iter().chain(names).collect();
            rights.insert(format!("{} {}", what.join("/"), rule.verbs.join(" ")));
        }
    }
    Ok(rights)
}

/// As a watch does it: a list of one name is allowed where the request says the name.
#[tokio::test]
async fn the_webhook_may_list_the_one_lease_by_its_name() {
    let leases: Api<Lease> = Api::namespaced(client_of("berth-webhook").await.unwrap(), SYSTEM);
    leases.list(&ListParams::default().fields("metadata.name=berth-controller")).await.unwrap();
    let denied = leases.list(&ListParams::default()).await.unwrap_err().to_string();
    assert!(denied.contains("cannot list resource \"leases\""), "{denied}");
}

#[tokio::test]
async fn the_webhook_may_list_the_one_config_map_of_the_local_registry() {
    let client = client_of("berth-webhook").await.unwrap();
    let list = async |namespace: &str, name: &str| {
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        maps.list(&ListParams::default().fields(&format!("metadata.name={name}"))).await.map(drop)
    };
    list(PUBLIC, "local-registry-hosting").await.unwrap();
    for (namespace, name) in [(PUBLIC, "cluster-info"), (SYSTEM, "local-registry-hosting"), ("default", "any")] {
        let denied = list(namespace, name).await.unwrap_err().to_string();
        assert!(denied.contains("cannot list resource \"configmaps\""), "{denied}");
    }
}
