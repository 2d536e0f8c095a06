//! Telling Berth that an image is on a node, by the node's annotation `berth.dev/loaded`.
//!
//! Two people can load at the same time: every write is conditional on what was read, and the one who comes second reads
//! again. The kubelet renews its Node every few seconds, so this is no rare thing.

use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    image::Reference,
    nodes::loaded::{LOADED, Load, Loaded},
};

/// Writes that `image` is on `node`.
pub async fn tell(client: &Client, node: &str, image: &Reference, load: &Load) -> Result<(), TellError> {
    let nodes = Api::<Node>::all(client.clone());
    for attempt in 0..ATTEMPTS {
        let before = within(nodes.get_metadata(node)).await?.metadata;
        let said = before.annotations.as_ref().and_then(|annotations| annotations.get(LOADED));
        let patch = patch(said.map(String::as_str), before.resource_version.as_deref(), image, load);
        let written = within(nodes.patch_metadata(node, &PatchParams::default(), &Patch::Merge(patch))).await;
        match written {
            Err(TellError::Api(kube::Error::Api(status))) if status.code == CONFLICT => sleep(PAUSE * attempt).await,
            other => return other.map(drop),
        }
    }
    Err(TellError::Busy)
}

/// What changes on the Node, if it is still the one that was read.
fn patch(said: Option<&str>, version: Option<&str>, image: &Reference, load: &Load) -> Value {
    let mut loaded = said.map(Loaded::parse).unwrap_or_default();
    loaded.insert(image, load.clone());
    json!({ "metadata": { "resourceVersion": version, "annotations": { LOADED: loaded.to_string() } } })
}

async fn within<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, TellError> {
    match timeout(CALL_LIMIT, call).await {
        Ok(Err(kube::Error::Api(status))) if status.is_not_found() => Err(TellError::Gone),
        Ok(answer) => Ok(answer?),
        Err(_) => Err(TellError::Silent),
    }
}

/// Why Berth could not be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TellError {
    /// The API server refused, or was not reached.
    #[error("{}", words(.0))]
    Api(#[from] kube::Error),
    /// The node was deleted.
    #[error("the node is gone from the cluster")]
    Gone,
    /// No answer.
    #[error("the API server did not answer within {} s", CALL_LIMIT.as_secs())]
    Silent,
    /// It never stayed the same between reading and writing.
    #[error("its Node changed {ATTEMPTS} times while it was being written: try again")]
    Busy,
}

/// Without what kube's own words repeat.
fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => std::iter::successors(Some(other as &dyn std::error::Error), |error| error.source())
            .last()
            .map(ToString::to_string)
            .unwrap_or_default(),
    }
}

/// Tries to write, each after reading again.
const ATTEMPTS: u32 = 12;
/// Time before the next try, and twice as much before the one after that.
const PAUSE: Duration = Duration::from_millis(40);
/// How long one call may take.
const CALL_LIMIT: Duration = Duration::from_secs(10);
const CONFLICT: u16 = 409;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_of_other_images_stays() {
        let load = |at: &str| Load { at: at.parse().unwrap(), id: None };
        let image = |text: &str| text.parse::<Reference>().unwrap();
        let said = |patch: &Value| patch["metadata"]["annotations"][LOADED].as_str().unwrap().to_owned();
        let first = patch(None, Some("7"), &image("a:1"), &load("2026-11-21T08:00:00Z"));
        assert_eq!(first["metadata"]["resourceVersion"], "7");
        let second = patch(Some(&said(&first)), Some("8"), &image("b:1"), &load("2026-11-21T08:00:01Z"));
        let loaded = Loaded::parse(&said(&second));
        assert!(loaded.get(&image("a:1")).is_some() && loaded.get(&image("b:1")).is_some());
        let third = patch(Some("not JSON"), Some("9"), &image("b:1"), &load("2026-11-21T08:00:02Z"));
        assert_eq!(Loaded::parse(&said(&third)).iter().count(), 1, "unreadable counts as not said");
    }
}
