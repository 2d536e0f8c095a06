//! The watch of the `ConfigMap` against a scripted API server.

use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::*;
use crate::{
    follow::fake::{End, Reply, Server, event, page, until},
    registry::{self, Candidates, Question, Resolve as _},
};

/// The `ConfigMap` of kind's documented script.
const KINDS_OWN: &str = "host: \"localhost:5001\"\nhelp: \"https://kind.sigs.k8s.io/docs/user/local-registry/\"\n";

fn map(text: &str) -> Value {
    json!({
        "kind": "ConfigMap", "apiVersion": "v1", "data": { KEY: text, "localRegistryHosting.v2": "host: other:1" },
        "metadata": { "name": NAME, "namespace": NAMESPACE, "resourceVersion": "11" },
    })
}

fn shown(local: &LocalRegistry) -> String {
    let one = |entry: Registry| {
        assert!(entry.local, "{entry:?}");
        format!("{} {}", entry.host, entry.endpoint.as_deref().unwrap_or("-"))
    };
    local.registries().into_iter().map(one).collect::<Vec<_>>().join(", ")
}

#[tokio::test(start_paused = true)]
async fn the_config_map_counts_until_it_is_deleted() {
    let at = |address: &str| map(&format!("{KINDS_OWN}hostFromClusterNetwork: {address}"));
    let server = Server::new([
        page(&[at("10.0.0.1:5000")], ""),
        Reply::Watch(vec![event("MODIFIED", &at("10.0.0.2:5000")), event("MODIFIED", &map("host: ["))], End::Silence),
    ]);
    let local = Arc::new(LocalRegistry::default());
    assert!(!local.looked());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (mut changes, told, from) = (local.changes(), seen.clone(), local.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(local.clone().follow(server.client(), Arc::default()));
    tasks.spawn(async move {
        while changes.changed().await.is_ok() {
            changes.borrow_and_update();
            told.lock().unwrap().push(shown(&from));
        }
    });
    // The broken one comes last, and what was said before it stays.
    until(|| shown(&local) == "localhost:5001 http://10.0.0.2:5000").await;
    until(|| server.asked().len() == 3).await; // silence: it is watched anew
    assert!(server.asked().iter().all(|line| line.contains("fieldSelector=metadata.name%3Dlocal-registry-hosting")));
    assert!(local.looked());
    server.reply(Reply::Watch(vec![event("DELETED", &map("host: ["))], End::Silence));
    until(|| shown(&local).is_empty()).await;
    assert_eq!(seen.lock().unwrap().last().map(String::as_str), Some(""));
}

#[tokio::test(start_paused = true)]
async fn where_there_is_none_somebody_has_looked() {
    let server = Server::new([page(&[], "")]);
    let local = Arc::new(LocalRegistry::default());
    let mut tasks = JoinSet::new();
    tasks.spawn(local.clone().follow(server.client(), Arc::default()));
    until(|| local.looked()).await;
    assert_eq!(shown(&local), "");
}

#[tokio::test(start_paused = true)]
async fn a_broken_one_at_first_is_as_good_as_none() {
    let server = Server::new([page(&[map("host: [")], "")]);
    let local = Arc::new(LocalRegistry::default());
    let mut tasks = JoinSet::new();
    tasks.spawn(local.clone().follow(server.client(), Arc::default()));
    until(|| local.looked()).await;
    assert_eq!(shown(&local), "");
}

/// What a Pod's note would say of an image of the registry whose `ConfigMap` this is.
async fn told(text: &str) -> String {
    let local = LocalRegistry::default();
    local.settle(Hosting::parse(text).unwrap()).await;
    let trusting = crate::config::Config {
        local_registry: crate::config::LocalRegistry::Trust,
        ..crate::config::Config::default()
    };
    let client = registry::Client::new(&trusting.with_local(&local.registries()), Arc::default()).unwrap();
    let (image, nobody) = ("localhost:5001/app:v2".parse().unwrap(), Candidates::anonymous());
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    client.resolve(&Question::new(&image, &nobody), deadline).await.unwrap_err().to_string()
}

#[tokio::test]
async fn where_it_may_not_be_nobody_is_asked() {
    for (address, kind) in [
        ("127.0.0.1:5000", "loopback"),
        ("'[::1]:5000'", "loopback"),
        ("169.254.169.254", "metadata"),
        ("https://169.254.1.1", "link-local"),
        ("0x7f000001:5000", "loopback"),
        ("0.0.0.0:5000", "no machine's"),
    ] {
        let told = told(&format!("{KINDS_OWN}hostFromClusterNetwork: {address}")).await;
        assert!(told.contains(kind) && told.contains("`registries`"), "{address}: {told}");
    }
}
