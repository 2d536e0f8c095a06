//! `berth load`, `berth loaded` and `berth where` on a real API server. Nodes are objects, and what brings an archive to
//! them is a script that notes what it got; Docker and Podman are scripts as well.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what a test does not find, it fails by")]

mod importer;
mod loading;
mod sources;
mod terminals;
mod together;
mod trouble;
mod whereabouts;

use std::{
    path::Path,
    process::{Output, Stdio},
    str,
};

use berth::image::Reference;
use berth_tests::{
    berth::program,
    cluster::{Cluster, Node, Options},
    image::Image,
};
use k8s_openapi::api::core::v1;
use kube::Api;
use serde_json::Value;
use tokio::{process::Command, sync::OnceCell};

/// The cluster of all these tests: each has nodes with a label of its own.
async fn cluster() -> &'static Cluster {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    let options = Options { only_api_server: true, ..Options::default() };
    CLUSTER.get_or_try_init(|| Cluster::start_with(&options)).await.unwrap()
}

/// Adds nodes of a test: `names`, each prefixed by the test's.
async fn nodes(test: &str, names: &[&str]) -> Vec<String> {
    let mut added = Vec::new();
    for name in names {
        let name = format!("{test}-{name}");
        cluster()
            .await
            .add(&Node::new(&name).label("test", test).image(&["registry.k8s.io/pause:3.10"]))
            .await
            .unwrap();
        added.push(name);
    }
    added
}

/// `berth`, as an administrator of the cluster.
async fn berth(words: &[&str]) -> Command {
    let mut command = Command::new(program().await.unwrap());
    command.args(words).env("KUBECONFIG", cluster().await.kubeconfig());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// What a command did.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    /// Runs it to its end.
    async fn of(mut command: Command) -> Self {
        Self::from(command.output().await.unwrap())
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| str::from_utf8(bytes).unwrap().to_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// The annotation `berth.dev/loaded` of a node.
async fn loaded(node: &str) -> Value {
    let nodes: Api<v1::Node> = Api::all(cluster().await.client().await.unwrap());
    let metadata = nodes.get_metadata(node).await.unwrap().metadata;
    let text = metadata.annotations.unwrap_or_default().remove("berth.dev/loaded");
    text.map(|text| serde_json::from_str(&text).unwrap()).unwrap_or_default()
}

/// Writes an archive that has an image under `names`.
async fn archive(file: &Path, build: &str, names: &[&str]) -> Image {
    let image = Image::of(build).await.unwrap();
    std::fs::write(file, image.archive(names)).unwrap();
    image
}

/// As nodes list it.
fn full(image: &str) -> String {
    image.parse::<Reference>().unwrap().target().into_owned()
}
