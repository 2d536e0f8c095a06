//! How Berth gets out of the way: opening every gate, and what comes before it where Berth is uninstalled.

use std::{fmt::Debug, time::Duration};

use anyhow::{Context as _, anyhow};
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, Preconditions},
};
use serde::de::DeserializeOwned;
use tokio::time::{self, Instant};

use super::super::{Failure, Outcome, cluster, terminal::print};
use crate::{
    call::{self, within},
    certificates::CONFIGURATION,
    gates::all::{Opened, open_all},
};

/// Opens all gates, and says which.
pub(super) async fn lift_all() -> Result<Outcome, Failure> {
    let opened = lift(&cluster::client().await?, "`berth controller --lift-all` opened its gate").await?;
    tell(&[counted(opened.len(), "gate was", "gates were"), " opened\n".to_owned()].concat())?;
    Ok(Outcome::Done)
}

/// Takes Berth out of the API servers, and then opens all gates: in the other order, new Pods would be gated.
pub(super) async fn uninstall() -> Result<Outcome, Failure> {
    let client = cluster::client().await?;
    delete::<MutatingWebhookConfiguration>(&client).await?;
    delete::<ValidatingWebhookConfiguration>(&client).await?;
    // Also where another run deleted them: that may have been a moment ago.
    time::sleep(LEARN).await;
    let (started, mut opened) = (Instant::now(), 0);
    loop {
        let found = lift(&client, "Berth was uninstalled").await?.len();
        opened += found;
        if found == 0 {
            break;
        }
        if started.elapsed() > GIVE_UP {
            return Err(Failure::Unavailable(anyhow!(
                "Pods are still being gated {} s after the webhook configurations were deleted: does somebody make them \
                 again? Run it again when nobody does",
                GIVE_UP.as_secs()
            )));
        }
        time::sleep(LEARN).await;
    }
    tell(&[&counted(opened, "gate was", "gates were"), " opened, and Berth can be removed\n"].concat())?;
    Ok(Outcome::Done)
}

/// Opens all gates, and says of each what became of it. Fails where one is still closed.
async fn lift(client: &Client, until: &str) -> Result<Vec<Opened>, Failure> {
    let opened = open_all(client, until).await.context("the Pods cannot be listed").map_err(Failure::Unavailable)?;
    for Opened { pod, failure } in &opened {
        tell(&[&pod.namespace, "/", &pod.name, ": ", failure.as_deref().unwrap_or("opened"), "\n"].concat())?;
    }
    let failed = opened.iter().filter(|one| one.failure.is_some()).count();
    if failed > 0 {
        tell(&[counted(opened.len() - failed, "gate was", "gates were"), " opened\n".to_owned()].concat())?;
        let what = counted(failed, "gate is", "gates are");
        return Err(Failure::Unavailable(anyhow!("{what} still closed: mend what stands above, and run it again")));
    }
    Ok(opened)
}

/// Deletes Berth's configuration of this kind, if it is there.
async fn delete<K>(client: &Client) -> Result<(), Failure>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let what = format!("{} {CONFIGURATION}", K::kind(&()));
    let mut outcome = delete_once::<K>(client).await;
    for _ in 1..ATTEMPTS {
        // Another one of that name was made in between.
        if outcome.as_ref().is_err_and(call::Failure::is_changed) {
            outcome = delete_once::<K>(client).await;
        }
    }
    match outcome {
        Ok(true) => tell(&format!("{what}: deleted\n")),
        Ok(false) => tell(&format!("{what}: is not there\n")),
        Err(failure) => Err(Failure::Unavailable(anyhow!(
            "{what} cannot be deleted: {failure}; no gate was opened, because new Pods would be gated"
        ))),
    }
}

/// Whether it was there. What is deleted is what was seen.
async fn delete_once<K>(client: &Client) -> Result<bool, call::Failure>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let api = Api::<K>::all(client.clone());
    let outcome = async {
        let seen = within(api.get_metadata(CONFIGURATION)).await?;
        let preconditions = Preconditions { uid: seen.metadata.uid, ..Preconditions::default() };
        let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        within(api.delete(CONFIGURATION, &parameters)).await
    };
    match outcome.await {
        Ok(_) => Ok(true),
        Err(failure) if failure.is_gone() => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// `1 gate was`, `7 gates were`, `no gate was`.
fn counted(number: usize, one: &str, many: &str) -> String {
    match number {
        0 => format!("no {one}"),
        1 => format!("1 {one}"),
        _ => format!("{number} {many}"),
    }
}

fn tell(line: &str) -> Result<(), Failure> {
    print(line).context("standard output").map_err(Failure::Unavailable)
}

/// How long API servers get to learn of a configuration that was deleted: each follows them by a watch of its own.
const LEARN: Duration = Duration::from_secs(5);
/// New gates this long after that come from nobody that can be waited for.
const GIVE_UP: Duration = Duration::from_secs(120);
const ATTEMPTS: usize = 3;
