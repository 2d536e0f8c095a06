//! Who may have credentials used: an API server that proves itself, and nobody who only says so.
//!
//! The API server shows its certificate to every webhook, as one with a user `*` in its admission kubeconfig does. One
//! registry with a password has two names: for one the password is in a pull secret of the namespace `victim`, for the
//! other in an entry of `credentials` that is limited to that namespace.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test does not find, it fails by"
)]

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use berth_tests::{
    berth::{Options, Webhook, opted_in},
    cluster::{self, Cluster},
    pki::{Authority, Identity},
    processes::Folder,
    registry::{self, PASSWORD, Registry, USER},
};
use k8s_openapi::api::{
    admissionregistration::v1::MutatingWebhookConfiguration,
    core::v1::{Pod, ServiceAccount},
};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

const API_SERVER: &str = "kube-apiserver";
const BY_SECRET: &str = "secret.example/team/app:latest";
const BY_NAMESPACE: &str = "limited.example/team/app:latest";

struct World {
    cluster: Cluster,
    registry: Registry,
    digest: String,
    callers: Authority,
    proving: Webhook,
    _open: Webhook,
    _folder: Folder,
}

async fn world() -> &'static World {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    WORLD.get_or_try_init(World::new).await.unwrap()
}

impl World {
    async fn new() -> anyhow::Result<Self> {
        let (folder, callers) = (Folder::new("callers")?, Authority::new()?);
        let flag = format!("--admission-control-config-file={}", admission(&folder, &callers)?);
        let options = cluster::Options { api_server: vec![flag], ..cluster::Options::default() };
        let locked = registry::Options { password: true, ..registry::Options::default() };
        let (cluster, registry) = tokio::try_join!(Cluster::start_with(&options), Registry::start_with(&locked))?;
        let digest = registry.push("team/app", "latest", "app").await?;
        registry.push("team/cold", "latest", "app").await?;
        for namespace in ["victim", "attacker"] {
            cluster.namespace(namespace, &opted_in(Some("proving"))).await?;
        }
        cluster.apply(&pull_secret("regcred").to_string()).await?;
        cluster.apply(&binding("victim")).await?;

        let authority = folder.write("client-ca.crt", callers.certificate())?;
        let proof = format!("clientCAFile: {}, clientNames: [{API_SERVER}]", authority.display());
        let proving = configuration(&folder, &registry, &format!("pullSecrets: {{enabled: true, {proof}}}"))?;
        let host = cluster.other_address();
        let options = Options { host, only: Some("proving"), ..Options::new(&proving) };
        let proving = Webhook::start(&cluster, &options).await?;
        let open = configuration(&folder, &registry, "")?;
        let open = Webhook::start(&cluster, &Options { only: Some("open"), ..Options::new(&open) }).await?;
        Ok(Self { cluster, registry, digest, callers, proving, _open: open, _folder: folder })
    }

    /// What is stored of a Pod of this image.
    async fn create(&self, namespace: &str, name: &str, spec: &Value) -> Value {
        let pods = self.cluster.pods(namespace).await.unwrap();
        let pod = json!({ "metadata": { "name": name }, "spec": spec });
        let stored: Pod = pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        serde_json::to_value(stored).unwrap()
    }

    /// What the webhook registered as `only` answers somebody who says that a Pod of `repository` under both names,
    /// which names the pull secret, is being created in `victim`.
    async fn forge(&self, only: &str, identity: Option<&Identity>, repository: &str) -> String {
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(self.cluster.client().await.unwrap());
        let configuration = configurations.get(&format!("zz-berth-{only}")).await.unwrap();
        let config = &configuration.webhooks.unwrap()[0].client_config;
        let bundle = reqwest::Certificate::from_pem(&config.ca_bundle.as_ref().unwrap().0).unwrap();
        let mut client = reqwest::Client::builder().tls_certs_only([bundle]);
        if let Some(Identity { certificate, key }) = identity {
            client = client.identity(reqwest::Identity::from_pem([&**certificate, key].concat().as_bytes()).unwrap());
        }
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "forged", "operation": "CREATE", "namespace": "victim",
                "resource": { "group": "", "version": "v1", "resource": "pods" },
                "object": { "metadata": { "name": "forged", "namespace": "victim" }, "spec": {
                    "containers": [
                        { "name": "a", "image": format!("secret.example/{repository}") },
                        { "name": "b", "image": format!("limited.example/{repository}") },
                    ],
                    "imagePullSecrets": [{ "name": "regcred" }],
                } },
            },
        });
        let request = client.build().unwrap().post(config.url.as_ref().unwrap());
        let request = request.header("content-type", "application/json").body(review.to_string());
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "whoever calls is answered: {}", answer.status());
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let patch = answer["response"]["patch"].as_str().map(|patch| BASE64.decode(patch).unwrap());
        format!("{answer} {}", String::from_utf8(patch.unwrap_or_default()).unwrap())
    }

    /// How often the registry has been asked by Berth for `repository`, and how often it has let Berth in.
    fn asked(&self, repository: &str) -> (usize, usize) {
        let path = format!("/v2/{repository}/manifests/latest");
        let requests = self.registry.requests();
        let asked = requests.iter().filter(|request| !request.is_push() && request.path == path);
        (asked.clone().count(), asked.filter(|request| request.status != 401).count())
    }
}

/// What the API server reads by `--admission-control-config-file`.
fn admission(folder: &Folder, callers: &Authority) -> anyhow::Result<String> {
    let identity = callers.client(API_SERVER, None)?;
    let user = json!({
        "client-certificate-data": BASE64.encode(identity.certificate),
        "client-key-data": BASE64.encode(identity.key),
    });
    let kubeconfig = json!({ "apiVersion": "v1", "kind": "Config", "users": [{ "name": "*", "user": user }] });
    let kubeconfig = folder.write("admission.kubeconfig", kubeconfig.to_string())?;
    let webhooks = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "WebhookAdmissionConfiguration",
        "kubeConfigFile": kubeconfig,
    });
    let admission = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration",
        "plugins": [{ "name": "MutatingAdmissionWebhook", "configuration": webhooks }],
    });
    Ok(folder.write("admission.yaml", admission.to_string())?.display().to_string())
}

/// Answers are remembered, so that a cache which mixed askers would show.
fn configuration(folder: &Folder, registry: &Registry, settings: &str) -> anyhow::Result<String> {
    let logins = folder.write("limited.json", login("limited.example"))?;
    let endpoint = registry.endpoint();
    let hosts = ["secret.example", "limited.example"].map(|host| format!("{{host: {host}, endpoint: '{endpoint}'}}"));
    Ok(format!(
        "apiVersion: berth.dev/v1alpha1\nkind: Configuration\npin: {{maxAge: 5m}}\nregistries: [{}]\n\
         credentials: [{{dockerConfigFile: {}, namespaces: [victim]}}]\n{settings}\n",
        hosts.join(", "),
        logins.display(),
    ))
}

fn login(host: &str) -> String {
    json!({ "auths": { host: { "username": USER, "password": PASSWORD } } }).to_string()
}

fn pull_secret(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
        "metadata": { "name": name, "namespace": "victim" },
        "stringData": { ".dockerconfigjson": login("secret.example") },
    })
}

/// The `RoleBinding` that the documentation shows.
fn binding(namespace: &str) -> String {
    let text = include_str!("../../docs/configuration.md");
    let binding = text.split("```yaml\n").find(|block| block.contains("kind: RoleBinding")).unwrap();
    binding.split("```").next().unwrap().replace("namespace: shop", &format!("namespace: {namespace}"))
}

fn spec(image: &str, secrets: &[&str]) -> Value {
    let secrets: Vec<_> = secrets.iter().map(|name| json!({ "name": name })).collect();
    json!({ "containers": [{ "name": "main", "image": image }], "imagePullSecrets": secrets })
}

fn image(pod: &Value) -> &str {
    pod["spec"]["containers"][0]["image"].as_str().unwrap()
}

fn notes(pod: &Value) -> &str {
    pod["metadata"]["annotations"]["berth.dev/notes"].as_str().unwrap_or_default()
}

fn pinned(world: &World, image: &str) -> String {
    format!("{image}@{}", world.digest)
}

#[tokio::test]
async fn a_proven_api_server_has_the_credentials_of_the_pods_namespace_used() {
    let world = world().await;
    let stored = world.create("victim", "by-secret", &spec(BY_SECRET, &["regcred"])).await;
    assert_eq!(image(&stored), pinned(world, BY_SECRET), "{}", notes(&stored));
    let stored = world.create("victim", "by-namespace", &spec(BY_NAMESPACE, &[])).await;
    assert_eq!(image(&stored), pinned(world, BY_NAMESPACE), "{}", notes(&stored));

    let stored = world.create("attacker", "by-namespace", &spec(BY_NAMESPACE, &[])).await;
    assert_eq!(image(&stored), BY_NAMESPACE, "another namespace, although the answer is remembered");
    let stored = world.create("attacker", "by-secret", &spec(BY_SECRET, &["regcred"])).await;
    assert_eq!(image(&stored), BY_SECRET);
    assert!(notes(&stored).contains("bind the ClusterRole berth-pull-secrets in attacker"), "{}", notes(&stored));
    let stored = world.create("victim", "missing", &spec(BY_SECRET, &["no-such-secret"])).await;
    assert_eq!(image(&stored), BY_SECRET);
    assert!(notes(&stored).contains("pull secret no-such-secret does not exist in victim"), "{}", notes(&stored));

    let log = world.proving.log();
    assert!(!log.contains(&BASE64.encode(format!("{USER}:{PASSWORD}"))), "{log}");
}

/// So that `ServiceAccounts` need not be read.
#[tokio::test]
async fn the_service_accounts_secrets_are_in_the_pod_before_berth_is_called() {
    let world = world().await;
    let accounts: Api<ServiceAccount> = Api::namespaced(world.cluster.client().await.unwrap(), "victim");
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "puller" },
        "imagePullSecrets": [{ "name": "regcred" }],
    });
    accounts.patch("puller", &PatchParams::apply("berth-tests"), &Patch::Apply(account)).await.unwrap();
    let mut spec = spec(BY_SECRET, &[]);
    spec["serviceAccountName"] = json!("puller");
    let stored = world.create("victim", "by-account", &spec).await;
    assert_eq!(image(&stored), pinned(world, BY_SECRET), "{}", notes(&stored));
    assert_eq!(stored["spec"]["imagePullSecrets"], json!([{ "name": "regcred" }]));

    let debug = json!({ "spec": { "ephemeralContainers": [{ "name": "debug", "image": BY_SECRET }] } });
    let pods = world.cluster.pods("victim").await.unwrap();
    let (parameters, debug) = (PatchParams::default(), Patch::Strategic(&debug));
    let patched = pods.patch_ephemeral_containers("by-account", &parameters, &debug).await.unwrap();
    let patched = serde_json::to_value(patched).unwrap();
    assert_eq!(patched["spec"]["ephemeralContainers"][0]["image"], pinned(world, BY_SECRET));
}

#[tokio::test]
async fn a_forged_review_has_nobodys_credentials_used() {
    let world = world().await;
    // What is remembered for the victim must not serve others.
    let stored = world.create("victim", "first", &spec(BY_SECRET, &["regcred"])).await;
    assert_eq!(image(&stored), pinned(world, BY_SECRET), "{}", notes(&stored));
    let real = world.callers.client(API_SERVER, None).unwrap();
    let control = world.forge("proving", Some(&real), "team/app").await;
    for host in ["secret.example", "limited.example"] {
        assert!(control.contains(&format!("{host}/team/app@{}", world.digest)), "what follows would see it: {control}");
    }

    let kubelet = world.callers.client("system:node:worker", Some("system:nodes")).unwrap();
    let stranger = Authority::new().unwrap().client(API_SERVER, None).unwrap();
    let server = world.callers.server(&[API_SERVER]).unwrap();
    for (who, identity) in [
        ("nobody", None),
        ("a kubelet", Some(&kubelet)),
        ("another authority", Some(&stranger)),
        ("a server of that name", Some(&server)),
    ] {
        for repository in ["team/app", "team/cold"] {
            let answer = world.forge("proving", identity, repository).await;
            assert!(!answer.contains(&world.digest), "{who}: {answer}");
            assert!(answer.contains("\"warnings\""), "{who}: asked in vain, as without credentials: {answer}");
        }
    }
    let (asked, let_in) = world.asked("team/cold");
    assert!(asked > 0 && let_in == 0, "of {asked} requests {let_in} came with a credential");
}

/// What docs/configuration.md says plainly: without a proof, a forger reads what an entry of `credentials` can.
#[tokio::test]
async fn without_a_proof_an_entry_serves_whoever_names_its_namespace() {
    let world = world().await;
    let answer = world.forge("open", None, "team/app").await;
    let pinned = |host: &str| answer.contains(&format!("{host}/team/app@{}", world.digest));
    assert!(pinned("limited.example") && !pinned("secret.example"), "the entry, and never a pull secret: {answer}");
}
