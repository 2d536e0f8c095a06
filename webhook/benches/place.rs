//! What placing costs by the size of the cluster: a review in instructions, its patch in bytes.
//!
//! `cargo bench -p berth --bench place`; the instruction counts need valgrind and take some minutes.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::indexing_slicing)]

mod measure;

use std::{
    collections::BTreeMap,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use berth::{
    admission::{App, Caller, Mode},
    config::{Config, LabelOperator, LabelRequirement, Newest, Provided, Selector},
    nodes::{
        Heartbeat, Index, Node, Nodes, Now,
        node::{Condition, Image},
    },
    registry::{Fake, Keychain, Shared},
};
use serde_json::{Value, json};

fn main() {
    if let Some((mode, rounds)) = measure::asked() {
        let (what, nodes) = mode.split_once('-').unwrap();
        let bench = Bench::new(what, nodes.parse().unwrap());
        (0..rounds).for_each(|_| drop(black_box(bench.review())));
        return;
    }
    for what in ["pinned", "few", "newest", "provided", "guess", "mixed", "many"] {
        for nodes in [100, 1_000, 5_000, 50_000] {
            let bytes = Bench::new(what, nodes).patch();
            #[allow(clippy::cast_precision_loss, reason = "some thousands")]
            measure::verdict(&format!("{}, {nodes} nodes: bytes of the patch", words(what)), bytes as f64, 16_384.0);
        }
    }
    // Where half of the lists are cut, the Pod names all of a hundred nodes but only the cap's worth of more: 2.6 times
    // the work. From there on it must not grow.
    for (what, base, most) in [
        ("pinned", 100, 1.02),
        ("few", 100, 1.3),
        ("newest", 100, 1.3),
        ("provided", 100, 1.3),
        ("guess", 100, 1.3),
        ("mixed", 1_000, 1.3),
    ] {
        let count = |nodes: u32| measure::instructions(&format!("{what}-{nodes}"), FEW, MANY);
        let Some(small) = count(base) else {
            println!("instructions: skipped, because valgrind is not installed");
            return;
        };
        for nodes in [5_000, 50_000] {
            let large = count(nodes).unwrap();
            let what = format!("{}: instructions at {nodes} nodes ÷ at {base}", words(what));
            measure::verdict(&what, large / small, most);
        }
    }
}

/// Rounds of the two runs that are subtracted: the cost of building the cluster varies with the seeds of hash maps, by
/// less than a hundredth of this many reviews.
const FEW: u32 = 20;
const MANY: u32 = 2_020;

fn words(what: &str) -> &'static str {
    match what {
        "pinned" => "a pinned image",
        "few" => "Never, held by three nodes",
        "newest" => "Never, held by three nodes, one of them with another build",
        "provided" => "Never, held by three nodes and provided by a third of all",
        "guess" => "Never, held by three nodes, all lists cut",
        "mixed" => "Never, held by three nodes, every other list cut",
        _ => "Never, held by every other node",
    }
}

/// A webhook that knows a cluster, and a review for it.
struct Bench {
    app: App<Shared<Fake>>,
    body: Vec<u8>,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new(what: &str, nodes: u32) -> Self {
        let registry = Fake::new();
        registry.push("registry.example/team/app:latest");
        let now = Now::read();
        let index = Index::from_nodes((0..nodes).map(|number| node(what, number, nodes)), 50, now);
        let app = App {
            config: Arc::new(config(what)),
            keychain: Keychain::default(),
            pull_secrets: None,
            registry: Shared::new(registry, Duration::from_secs(300)),
            nodes: Some(Arc::new(Nodes::fixed(index))),
            namespaces: None,
            controller: Some(Arc::new(Heartbeat::fixed(now.instant))),
            own_namespace: "berth-system".to_owned(),
            metrics: Arc::default(),
        };
        let (image, policy) = match what {
            "pinned" => ("registry.example/team/app:latest", "IfNotPresent"),
            _ => ("app:dev", "Never"),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { app, body: review(image, policy).to_string().into_bytes(), runtime }
    }

    fn review(&self) -> Vec<u8> {
        let deadline = Instant::now() + Duration::from_secs(5);
        self.runtime.block_on(self.app.review(Mode::Enforce, Caller::Anyone, &self.body, deadline)).unwrap()
    }

    /// Bytes of the patch, as it is sent.
    fn patch(&self) -> usize {
        let answer: Value = serde_json::from_slice(&self.review()).unwrap();
        let base64 = answer["response"]["patch"].as_str().map_or(0, str::len);
        base64 / 4 * 3
    }
}

fn config(what: &str) -> Config {
    let mut config = Config::default();
    match what {
        "newest" => config.place.newest = Newest::Require,
        "provided" => {
            let (key, values) = ("topology.kubernetes.io/zone".to_owned(), vec!["eu-central-1a".to_owned()]);
            let requirements = vec![LabelRequirement { key, operator: LabelOperator::In, values }];
            let images = vec!["app".parse().unwrap()];
            config.place.provided = vec![Provided { images, nodes: Selector { requirements } }];
        }
        _ => (),
    }
    config
}

/// A node of a cloud, by its number.
fn node(what: &str, number: u32, nodes: u32) -> Node {
    let name = format!("ip-10-{}-{}-{}.eu-central-1.compute.internal", number >> 16, number >> 8 & 255, number & 255);
    let holds = match what {
        "many" => number.is_multiple_of(2),
        "pinned" => false,
        _ => [nodes / 5, nodes / 3, nodes / 2].contains(&number),
    };
    let cut = what == "guess" || what == "mixed" && number % 2 == 1;
    let image = |name: &str| Image { names: vec![name.to_owned()], size: 1 };
    let mut images =
        vec![image("registry.k8s.io/pause:3.10"), image(&format!("docker.io/library/other:{}", number % 7))];
    if holds {
        images.push(Image { size: i64::from(number == nodes / 2), ..image("docker.io/library/app:dev") });
    } else if cut {
        images.clear(); // the same to the index as a list of fifty, and sooner built
    }
    let mut node = Node::default();
    node.metadata.labels = Some(BTreeMap::from([
        ("kubernetes.io/hostname".to_owned(), name.clone()),
        ("topology.kubernetes.io/zone".to_owned(), format!("eu-central-1{}", ["a", "b", "c"][number as usize % 3])),
    ]));
    node.metadata.name = Some(name);
    node.status.conditions = vec![Condition { kind: "Ready".to_owned(), status: "True".to_owned() }];
    "containerd://2.1.4".clone_into(&mut node.status.node_info.container_runtime_version);
    node.status.images = images;
    node
}

fn review(image: &str, policy: &str) -> Value {
    json!({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "namespace": "shop", "operation": "CREATE",
            "object": {
                "metadata": { "generateName": "web-6d4cf56db6-" },
                "spec": { "containers": [{ "name": "main", "image": image, "imagePullPolicy": policy }] },
            },
        },
    })
}
