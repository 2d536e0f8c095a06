//! `berth called`: whether the API server calls Berth for the Pods of a namespace, asked of the API server itself.

use std::time::Duration;

use anyhow::anyhow;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{Api, Client, ResourceExt as _, api::PostParams};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{Failure, Outcome, cluster::Choice, terminal::print};
use crate::{
    admission::patch::metadata::NOTES,
    call::{self, within},
    config::parse_duration,
};

/// Say whether the Pods of a namespace come to Berth.
///
/// A Pod is created there for a try (a dry run: nothing is stored, and nothing starts), with a name of an image that Berth
/// has to complain about. Needs the right to create Pods.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The namespace, with the label berth.dev/admission=enabled.
    #[arg(value_name = "NAMESPACE")]
    namespace: String,
    /// How long it may take until it is so, such as `90s`.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    wait: Duration,
    #[command(flatten)]
    cluster: Choice,
}

/// Writes to standard output whether they come, and what to look at if not.
pub async fn run(args: Args) -> Result<Outcome, Failure> {
    let (client, server) = args.cluster.client().await?;
    let (namespace, deadline) = (&args.namespace, Instant::now() + args.wait);
    let (outcome, line) = loop {
        let is_last = Instant::now() >= deadline;
        match is_called(&client, namespace).await {
            Ok(true) => break (Outcome::Done, format!("{namespace}: Pods come to Berth\n")),
            Ok(false) if is_last => {
                let reason = reason(&client, namespace).await;
                break (Outcome::Missing, format!("{namespace}: Pods do not come to Berth: {reason}\n"));
            }
            Err(failure) if failure.is_gone() => {
                return Err(Failure::Usage(anyhow!("there is no namespace {namespace}")));
            }
            Err(failure) if is_last || !failure.may_pass() => {
                return Err(Failure::Unavailable(anyhow!("{server}: {failure}")));
            }
            Ok(false) | Err(_) => sleep(PAUSE).await,
        }
    };
    print(&line).map_err(|error| Failure::Unavailable(error.into()))?;
    Ok(outcome)
}

/// Whether a new Pod comes back with a note by Berth.
async fn is_called(client: &Client, namespace: &str) -> Result<bool, call::Failure> {
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let created = within(Api::namespaced(client.clone(), namespace).create(&dry_run, &pod())).await?;
    Ok(created.annotations().contains_key(NOTES))
}

/// A Pod that the profile `restricted` of Pod security, quotas and namespaces that insist on digests let in.
fn pod() -> Pod {
    let amounts = json!({ "cpu": "1m", "memory": "1Mi" });
    let container = json!({
        "name": "called",
        "image": IMAGE,
        "resources": { "requests": amounts, "limits": amounts },
        "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
    });
    let security = json!({ "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } });
    let spec = json!({ "containers": [container], "securityContext": security });
    let pod = json!({ "metadata": { "generateName": "berth-called-" }, "spec": spec });
    serde_json::from_value(pod).unwrap_or_default()
}

/// What to look at, as far as the namespace can be read.
async fn reason(client: &Client, namespace: &str) -> String {
    let found = within(Api::<Namespace>::all(client.clone()).get(namespace)).await.ok();
    let label = found.as_ref().map(|found| found.labels().get(LABEL).map_or("", String::as_str));
    match label {
        Some("enabled") => "it has the label, so is berth-webhook ready, with a caBundle in zz-berth.dev? \
                            Berth's own namespace and those of the system are always left alone"
            .to_owned(),
        Some("observe") => format!("it is observed only ({LABEL}=observe), which cannot be seen on a Pod"),
        Some(_) => format!("label it: kubectl label namespace {namespace} {LABEL}=enabled --overwrite"),
        None => format!("has it the label {LABEL}=enabled, and is berth-webhook ready?"),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write it with a unit: `30s`, `5m`".to_owned())
}

/// No name of an image, so that Berth notes it without asking anybody.
const IMAGE: &str = "Not an image@sha256:0000000000000000000000000000000000000000000000000000000000000000";
/// By which namespaces let Berth in.
const LABEL: &str = "berth.dev/admission";
const PAUSE: Duration = Duration::from_secs(1);
