//! `manifests/base`, applied to a real API server: it accepts everything, calls Berth for what it should and nothing
//! else, and gives the service accounts the rights that are used and no others.

use std::{collections::BTreeSet, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use berth_tests::{
    cluster::{Cluster, Node},
    wait::until,
};
use k8s_openapi::api::{
    admissionregistration::v1::{MutatingWebhookConfiguration, WebhookClientConfig},
    apps::v1::Deployment,
    authorization::v1::SelfSubjectRulesReview,
    coordination::v1::Lease,
    core::v1::{ConfigMap, Namespace, Pod, Secret},
};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// A cluster to which `manifests/base` has been applied.
async fn installed() -> anyhow::Result<&'static Cluster> {
    static INSTALLED: OnceCell<&'static Cluster> = OnceCell::const_new();
    let install = async || {
        let cluster = Cluster::shared().await?;
        let rendered = rendered(cluster).await?;
        cluster.apply(&rendered).await?;
        anyhow::Ok(cluster)
    };
    INSTALLED.get_or_try_init(install).await.copied()
}

/// What `kubectl kustomize` makes of the base.
async fn rendered(cluster: &Cluster) -> anyhow::Result<String> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/base");
    let output = cluster.kubectl(&["kustomize", &base.display().to_string()], "").await?;
    ensure!(output.status.success(), "kubectl kustomize: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn can_be_applied_twice_and_says_nothing_about_certificates() {
    let cluster = installed().await.unwrap();
    let rendered = rendered(cluster).await.unwrap();
    assert!(!rendered.contains("caBundle"), "a manifest with a bundle puts an old one back");
    let said = cluster.apply(&rendered).await.unwrap();
    assert!(!said.contains("Warning"), "{said}");
    let server_side = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-"];
    let output = cluster.kubectl(&server_side, &rendered).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn the_configuration_in_it_is_one() {
    let maps: Api<ConfigMap> = Api::namespaced(installed().await.unwrap().client().await.unwrap(), SYSTEM);
    let maps = maps.list(&ListParams::default().labels("app.kubernetes.io/part-of=berth")).await.unwrap();
    let [map] = maps.items.as_slice() else { panic!("one ConfigMap expected: {maps:?}") };
    let (_, warnings) = berth::config::parse(&map.data.as_ref().unwrap()["config.yaml"], "config.yaml").unwrap();
    assert_eq!(warnings, []);
}

/// Pods are made from the Deployments, so the namespace's restricted Pod security and the priority class let them in.
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
async fn the_webhook_reads_and_writes_nothing() {
    let none: &[&str] = &[];
    let everywhere = ["nodes list watch", "namespaces list watch"];
    check_rights("berth-webhook", "default", &everywhere).await.unwrap();
    check_rights("berth-webhook", SYSTEM, &["leases/berth-controller list watch", everywhere[0], everywhere[1]])
        .await
        .unwrap();
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
    check_rights("berth-webhook", "bound", &["secrets get", everywhere[0], everywhere[1]]).await.unwrap();
    check_rights("berth-webhook", "unbound", &everywhere).await.unwrap();
    check_rights("berth-webhook", SYSTEM, &["leases/berth-controller list watch", everywhere[0], everywhere[1]])
        .await
        .unwrap();

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
    let text = include_str!("../../docs/configuration.md");
    let binding = text.split("```yaml\n").find(|block| block.contains("kind: RoleBinding"))?;
    Some(binding.split("```").next()?.replace("namespace: shop", &format!("namespace: {namespace}")))
}

#[tokio::test]
async fn the_controller_may_lift_gates_write_events_and_keep_its_lease_and_certificates() {
    check_rights("berth-controller", "default", &CONTROLLER).await.unwrap();
    let secrets = ["secrets create", "secrets/berth-ca/berth-tls get list watch update"];
    let own = [["leases create", "leases/berth-controller patch"], secrets].concat();
    check_rights("berth-controller", SYSTEM, &[own.as_slice(), &CONTROLLER].concat()).await.unwrap();
}

/// Nothing binds the `ClusterRole` for stuck Pods; where somebody does, it is `delete` and nothing else.
#[tokio::test]
async fn the_controller_deletes_pods_where_somebody_lets_it() {
    let cluster = installed().await.unwrap();
    cluster.namespace("stuck", &[]).await.unwrap();
    let text = include_str!("../../docs/configuration.md");
    let binding = text.split("```yaml\n").find(|block| block.contains("name: berth-delete-stuck")).unwrap();
    let binding = binding.split("```").next().unwrap().replace("kind: ClusterRoleBinding", "kind: RoleBinding");
    cluster.apply(&binding.replace("metadata:", "metadata:\n  namespace: stuck")).await.unwrap();
    check_rights("berth-controller", "stuck", &[&["pods delete"], CONTROLLER.as_slice()].concat()).await.unwrap();
    check_rights("berth-controller", "default", &CONTROLLER).await.unwrap();
}

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

async fn client_of(account: &str) -> anyhow::Result<kube::Client> {
    let user = format!("system:serviceaccount:{SYSTEM}:{account}");
    let group = format!("system:serviceaccounts:{SYSTEM}");
    installed().await?.client_for(&user, &["system:serviceaccounts", &group]).await
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

#[tokio::test]
async fn berth_is_called_for_pods_in_namespaces_that_opted_in() {
    let cluster = installed().await.unwrap();
    cluster.add(&Node::new("calls")).await.unwrap();
    let label_as = |value| [("berth.dev/admission", value)];
    cluster.namespace("calls-on", &label_as("enabled")).await.unwrap();
    cluster.namespace("calls-observe", &label_as("observe")).await.unwrap();
    cluster.namespace("calls-off", &label_as("on")).await.unwrap();
    for system in ["kube-system", "kube-node-lease", SYSTEM] {
        label(cluster, system).await.unwrap();
    }
    existing_pod(cluster, "calls-later").await.unwrap();
    make_calls_visible(cluster).await.unwrap();
    until("the API server calls the webhook", LIMIT, async || {
        let called = create(cluster, "calls-on", &pod()).await?;
        ensure!(called.as_deref() == Some("mutate.berth.dev"), "{called:?}");
        Ok(())
    })
    .await
    .unwrap();

    check_call("calls-observe", &pod(), Some("observe.berth.dev")).await.unwrap();
    check_call("calls-off", &pod(), None).await.unwrap();
    for system in ["kube-system", "kube-node-lease"] {
        check_call(system, &pod(), None).await.unwrap();
    }
    let config_map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "any" } });
    check_call("calls-on", &config_map, None).await.unwrap();
    check_call(SYSTEM, &config_map, None).await.unwrap();
    let mut mirror = pod();
    mirror["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "abc" });
    mirror["spec"]["nodeName"] = json!("calls");
    mirror["spec"]["automountServiceAccountToken"] = json!(false);
    check_call("calls-on", &mirror, None).await.unwrap();
    mirror["metadata"]["annotations"] = json!({ "another": "abc" });
    check_call("calls-on", &mirror, Some("mutate.berth.dev")).await.unwrap();

    let pods = cluster.pods("calls-later").await.unwrap();
    let dry_run = PatchParams { dry_run: true, ..PatchParams::default() };
    let debug = json!({ "spec": { "ephemeralContainers": [{ "name": "debug", "image": "busybox" }] } });
    let answer = pods.patch_ephemeral_containers("app", &dry_run, &Patch::Strategic(&debug)).await;
    assert_eq!(called(answer.err()).unwrap().as_deref(), Some("mutate.berth.dev"), "kubectl debug");
    let image = json!({ "spec": { "containers": [{ "name": "app", "image": "app:v2" }] } });
    let answer = pods.patch("app", &dry_run, &Patch::Strategic(&image)).await;
    assert_eq!(called(answer.err()).unwrap(), None, "the UPDATE of a Pod restarts it");
}

async fn check_call(namespace: &str, object: &Value, want: Option<&str>) -> anyhow::Result<()> {
    let got = create(installed().await?, namespace, object).await?;
    assert_eq!(got.as_deref(), want, "{} in {namespace}", object["metadata"]);
    Ok(())
}

/// A copy of the configuration that points nowhere and fails: a call is seen by the name in the error.
async fn make_calls_visible(cluster: &Cluster) -> anyhow::Result<()> {
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(cluster.client().await?);
    let installed = configurations.get("zz-berth.dev").await?;
    let mut webhooks = installed.webhooks.unwrap_or_default();
    for webhook in &mut webhooks {
        webhook.failure_policy = Some("Fail".to_owned());
        webhook.client_config =
            WebhookClientConfig { url: Some("https://127.0.0.1:1/".to_owned()), ..Default::default() };
    }
    let copy = json!({ "metadata": { "name": "calls" }, "webhooks": webhooks });
    configurations.create(&PostParams::default(), &serde_json::from_value(copy)?).await?;
    Ok(())
}

/// Creates `object` for a try, and tells which webhook would have been called.
async fn create(cluster: &Cluster, namespace: &str, object: &Value) -> anyhow::Result<Option<String>> {
    let kind = object["kind"].as_str().context("a kind")?;
    let resource = kube::api::ApiResource::from_gvk(&kube::api::GroupVersionKind::gvk("", "v1", kind));
    let objects = Api::<kube::api::DynamicObject>::namespaced_with(cluster.client().await?, namespace, &resource);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    called(objects.create(&dry_run, &serde_json::from_value(object.clone())?).await.err())
}

/// The webhook that an answer blames; any other error is an error of the test.
fn called(error: Option<kube::Error>) -> anyhow::Result<Option<String>> {
    let Some(error) = error else { return Ok(None) };
    let text = error.to_string();
    let name = text.split_once("failed calling webhook \"").and_then(|(_, rest)| rest.split_once('"'));
    Ok(Some(name.with_context(|| text.clone())?.0.to_owned()))
}

/// A running Pod from before the namespace opted in.
async fn existing_pod(cluster: &Cluster, namespace: &str) -> anyhow::Result<()> {
    cluster.namespace(namespace, &[]).await?;
    let pods: Api<Pod> = cluster.pods(namespace).await?;
    pods.create(&PostParams::default(), &serde_json::from_value(pod())?).await?;
    label(cluster, namespace).await
}

async fn label(cluster: &Cluster, namespace: &str) -> anyhow::Result<()> {
    let namespaces: Api<Namespace> = Api::all(cluster.client().await?);
    let labels = json!({ "metadata": { "labels": { "berth.dev/admission": "enabled" } } });
    namespaces.patch(namespace, &PatchParams::default(), &Patch::Merge(labels)).await?;
    Ok(())
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "app" },
        "spec": { "containers": [{ "name": "app", "image": "app:v1" }], "automountServiceAccountToken": false },
    })
}

const SYSTEM: &str = "berth-system";
const PUBLIC: &str = "kube-public";
const LIMIT: Duration = Duration::from_secs(60);
