//! An API server that writes down who changes what, Berth's manifests in it, and the real `berth controller`.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use berth_tests::{
    berth,
    cluster::{Cluster, Options},
    manifests::{kustomized, objects},
    processes::{Folder, Process},
    wait::until,
};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use super::list;

/// What all tests share, one at a time: the objects have fixed names.
pub(crate) struct Stage {
    cluster: Cluster,
    folder: Folder,
    /// As the manifests have them, and as tools keep applying them.
    pub(crate) shipped: [Value; 2],
    _controller: Process,
}

/// The stage, for one test alone: the manifests are applied, and nothing is left to do for the controller.
pub(crate) async fn stage() -> MutexGuard<'static, Stage> {
    static STAGE: OnceCell<Mutex<Stage>> = OnceCell::const_new();
    let start = async || anyhow::Ok(Mutex::new(Stage::start().await?));
    let stage = STAGE.get_or_try_init(start).await.unwrap().lock().await;
    stage.kubectl(&["apply", "-f", "-"], &list(&stage.shipped)).await;
    stage.settled().await;
    stage
}

impl Stage {
    async fn start() -> anyhow::Result<Self> {
        let folder = Folder::new("bundle")?;
        let rule = r#"{level: Metadata, resources: [{group: "admissionregistration.k8s.io"}]}"#;
        let policy =
            format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{rule}]\n");
        let policy = folder.write("policy.yaml", policy)?;
        let audit = folder.path().join(AUDIT);
        let api_server =
            vec![format!("--audit-policy-file={}", policy.display()), format!("--audit-log-path={}", audit.display())];
        let options = Options { api_server, only_api_server: true, ..Options::default() };
        let cluster = Cluster::start_with(&options).await?;
        let rendered = kustomized("base").await?;
        cluster.apply(&rendered).await?;
        let mut shipped = objects(&rendered)?;
        shipped.retain(|object| object["webhooks"].is_array());
        let shipped = <[Value; 2]>::try_from(shipped).ok().context("the base has two configurations")?;

        let user = "system:serviceaccount:berth-system:berth-controller";
        let mut command = Command::new(berth::program().await?);
        let configuration = "apiVersion: berth.dev/v1alpha1\nkind: Configuration\ncertificates: {hold: 1s}\n";
        command.arg("controller").arg("--config").arg(folder.write("config.yaml", configuration)?);
        command.args(["--status-listen", "127.0.0.1:0"]);
        let kubeconfig = cluster.authority().kubeconfig(cluster.server(), user, None)?;
        command.env("KUBECONFIG", folder.write("kubeconfig", kubeconfig)?);
        let controller = Process::spawn("controller", &command, folder.path())?;
        Ok(Self { cluster, folder, shipped, _controller: controller })
    }

    /// Waits until every webhook has a bundle, and the controller has written nothing for a while.
    pub(crate) async fn settled(&self) {
        let mut quiet = (self.writes(), Instant::now());
        until("the controller has nothing to do", LIMIT, async || {
            let bundles = self.bundles().await?;
            ensure!(bundles.len() > 3 && bundles.iter().all(|bundle| bundle.len() > 100), "{bundles:?}");
            if self.writes() != quiet.0 {
                quiet = (self.writes(), Instant::now());
            }
            ensure!(quiet.1.elapsed() > QUIET, "it has written {:?} times", quiet.0);
            Ok(())
        })
        .await
        .unwrap();
    }

    /// Runs kubectl, which must succeed; what it said.
    pub(crate) async fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        let (is_done, said) = self.try_kubectl(arguments, input).await;
        assert!(is_done, "kubectl {arguments:?}: {said}");
        said
    }

    /// Whether it succeeded, and what it said.
    pub(crate) async fn try_kubectl(&self, arguments: &[&str], input: &str) -> (bool, String) {
        let output = self.cluster.kubectl(arguments, input).await.unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        (output.status.success(), said)
    }

    /// Both configurations as they are, whole but for what every write changes and what `kubectl apply` notes for itself.
    pub(crate) async fn whole(&self) -> Vec<Value> {
        let mut objects = self.objects().await.unwrap();
        for object in &mut objects {
            let metadata = object["metadata"].as_object_mut().unwrap();
            metadata.retain(|key, _| !["resourceVersion", "managedFields", "generation"].contains(&key.as_str()));
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
            }
        }
        objects
    }

    pub(crate) async fn objects(&self) -> anyhow::Result<Vec<Value>> {
        let arguments = ["get", KINDS, "-o", "json", "--show-managed-fields"];
        let output = self.cluster.kubectl(&arguments, "").await?;
        let list: Value = serde_json::from_slice(&output.stdout)?;
        let mut objects = list["items"].as_array().context("a list has items")?.clone();
        objects.retain(|object| object["metadata"]["name"] == NAME);
        Ok(objects)
    }

    /// The bundles of all webhooks; empty where there is none.
    pub(crate) async fn bundles(&self) -> anyhow::Result<Vec<String>> {
        let mut bundles = Vec::new();
        for object in self.objects().await? {
            for webhook in object["webhooks"].as_array().context("a configuration has webhooks")? {
                bundles.push(webhook["clientConfig"]["caBundle"].as_str().unwrap_or_default().to_owned());
            }
        }
        Ok(bundles)
    }

    /// Waits until the configurations are `wanted` again; how long that took since `began`.
    pub(crate) async fn back(&self, wanted: &[Value], began: Instant) -> Duration {
        until("the bundle is back", LIMIT, async || {
            let found = self.whole().await;
            ensure!(found == wanted, "{found:#?}");
            Ok(())
        })
        .await
        .unwrap();
        began.elapsed()
    }

    /// How often the controller has changed a configuration. Anything else that it does with one fails the test.
    pub(crate) fn writes(&self) -> usize {
        let log = fs::read_to_string(self.folder.path().join(AUDIT)).unwrap();
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let own = events.filter(|event| event["user"]["username"].as_str().unwrap().ends_with(":berth-controller"));
        let done =
            own.filter(|event| event["objectRef"]["resource"].as_str().unwrap().ends_with("webhookconfigurations"));
        let written = done.filter(|event| !["get", "list", "watch"].contains(&event["verb"].as_str().unwrap()));
        let mut count = 0;
        for event in written {
            assert_eq!((&event["verb"], &event["objectRef"]["name"]), (&json!("patch"), &json!(NAME)), "{event}");
            count += usize::from(event["responseStatus"]["code"] == 200);
        }
        count
    }
}

/// Both kinds, as kubectl takes them.
const KINDS: &str = "mutatingwebhookconfigurations,validatingwebhookconfigurations";
pub(crate) const NAME: &str = "zz-berth.dev";
const AUDIT: &str = "audit.log";
const LIMIT: Duration = Duration::from_secs(60);
/// Nothing that the controller does takes so long between two writes.
const QUIET: Duration = Duration::from_secs(4);
