//! Whole reviews while something is wrong with what is known: no list yet, cut lists, nobody who has the image, holders
//! that are cordoned, down or deleted since the list. Each comes out as documented, with the words for it.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::{collection::vec, prelude::*, sample::select, strategy::Strategy};

use super::*;
use crate::{
    admission::{App, Caller, Mode, fits::Needs},
    config::Strategy as Tactic,
    nodes::{Heartbeat, NodeView, Nodes},
    registry::{Fake, Keychain},
};

/// What is true of a node.
#[derive(Clone, Copy, Debug)]
struct Truth {
    /// It lists the image.
    has: bool,
    /// Its list is as long as lists get.
    cut: bool,
    now: State,
}

/// What became of a node since the first list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Ready,
    Cordoned,
    Down,
    Deleted,
}

/// How a review comes out.
#[derive(Debug, Eq, PartialEq)]
enum Outcome {
    /// Whatever the nodes, with these words at most.
    Anywhere(&'static str),
    /// On one of these.
    On(Vec<String>, &'static str),
    Gated,
    Denied,
}

/// A cluster with something wrong, and what is asked of it.
#[derive(Clone, Debug)]
struct Setting {
    nodes: Vec<Truth>,
    synced: bool,
    strategy: Tactic,
    on_missing: OnMissing,
    alive: bool,
}

fn any_setting() -> impl Strategy<Value = Setting> {
    let state = select(vec![State::Ready, State::Ready, State::Cordoned, State::Down, State::Deleted]);
    let node = (prop::bool::weighted(0.4), any::<bool>(), state).prop_map(|(has, cut, now)| Truth { has, cut, now });
    let on_missing = select(vec![OnMissing::Wait, OnMissing::Wait, OnMissing::Deny, OnMissing::Admit]);
    let strategy = select(vec![Tactic::Prefer, Tactic::Strict]);
    (vec(node, 0..6), prop::bool::weighted(0.9), strategy, on_missing, prop::bool::weighted(0.8))
        .prop_map(|(nodes, synced, strategy, on_missing, alive)| Setting { nodes, synced, strategy, on_missing, alive })
}

impl Truth {
    fn object(self, number: usize, now: State) -> Value {
        // One more entry is added to every list.
        let others: Vec<_> = (0..if self.cut { 49 } else { 3 }).map(|other| format!("other-{other}:1")).collect();
        let names: Vec<_> = others.iter().map(String::as_str).chain(self.has.then_some(APP)).collect();
        let node = super::node(&name(number), &names);
        match now {
            State::Cordoned => cordoned(node),
            State::Down => {
                with(node, &json!({ "status": { "conditions": [{ "type": "Ready", "status": "Unknown" }] } }))
            }
            State::Ready | State::Deleted => node,
        }
    }
}

fn name(number: usize) -> String {
    format!("n{number}")
}

impl Setting {
    /// The nodes as the watch saw them: first all well, then what became of each.
    fn index(&self) -> Index {
        let nodes = || self.nodes.iter().enumerate();
        let read = |value: Value| serde_json::from_value::<Node>(value).unwrap();
        let first = nodes().map(|(number, node)| read(node.object(number, State::Ready)));
        let mut index = Index::from_nodes(first, 50, Now::read());
        for (number, node) in nodes() {
            match node.now {
                State::Deleted => index.remove(&name(number)),
                _ => drop(index.apply(&read(node.object(number, node.now)))),
            }
        }
        index
    }

    fn app(&self) -> App<Fake> {
        let nodes = if self.synced { Nodes::fixed(self.index()) } else { Nodes::new(50) };
        let mut config = Config::default();
        config.place = config::Place { strategy: self.strategy, on_missing: self.on_missing, ..config.place };
        let beat = self.alive.then(|| Arc::new(Heartbeat::fixed(Instant::now() + Duration::from_secs(3_600))));
        App {
            config: Arc::new(config),
            keychain: Keychain::default(),
            pull_secrets: None,
            registry: Fake::new(),
            nodes: Some(Arc::new(nodes)),
            namespaces: None,
            controller: beat,
            own_namespace: "berth-system".to_owned(),
            metrics: Arc::default(),
        }
    }

    /// What the documents say.
    fn documented(&self) -> Outcome {
        let there: Vec<_> = self.nodes.iter().enumerate().filter(|(_, node)| node.now != State::Deleted).collect();
        if !self.synced || there.is_empty() {
            return Outcome::Anywhere("not placed, since no node is known");
        }
        let held = there.iter().any(|(_, node)| node.has);
        let counts = |node: &Truth| match (held, self.strategy) {
            (true, Tactic::Strict) => node.has,
            (true, Tactic::Prefer) => node.has || node.cut,
            (false, _) => node.cut,
        };
        let candidates: Vec<_> = there.iter().filter(|(_, node)| counts(node)).collect();
        if candidates.is_empty() {
            return match self.on_missing {
                OnMissing::Deny => Outcome::Denied,
                OnMissing::Wait if self.alive => Outcome::Gated,
                OnMissing::Wait => Outcome::Anywhere("nor can it wait without berth controller"),
                OnMissing::Admit => Outcome::Anywhere("no node has app:dev"),
            };
        }
        let words = match (candidates.iter().any(|(_, node)| node.now == State::Ready), held) {
            (false, _) => "can have app:dev; elsewhere: ",
            (true, false) => "no node is known to have app:dev, but ",
            (true, true) => "",
        };
        if candidates.len() == there.len() {
            return Outcome::Anywhere(words);
        }
        Outcome::On(candidates.into_iter().map(|(number, _)| name(*number)).collect(), words)
    }
}

/// What is answered to a Pod that is never pulled, and the Pod after it.
pub(super) async fn review(app: &App<Fake>) -> (Value, Value) {
    let container = json!({ "name": "main", "image": "app:dev", "imagePullPolicy": "Never" });
    let mut pod = json!({ "metadata": { "generateName": "web-" }, "spec": { "containers": [container] } });
    let body = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "operation": "CREATE", "namespace": "shop",
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "object": pod,
        },
    });
    let deadline = Now::read().instant + Duration::from_secs(5);
    let answer = app.review(Mode::Enforce, Caller::Anyone, body.to_string().as_bytes(), deadline).await.unwrap();
    let response = serde_json::from_slice::<Value>(&answer).unwrap()["response"].take();
    if let Some(patch) = response["patch"].as_str() {
        let operations: json_patch::Patch = serde_json::from_slice(&STANDARD.decode(patch).unwrap()).unwrap();
        json_patch::patch(&mut pod, &operations).unwrap();
    }
    (response, pod)
}

/// Where a stored Pod may go, of all the nodes that are there.
fn allowed(index: &Index, pod: &Value) -> Vec<String> {
    let text = pod.to_string();
    let pod = serde_json::from_str(&text).unwrap();
    let needs = Needs::of(&pod).unwrap();
    let admits = |node: &NodeView<'_>| needs.affinity().admits(node.name(), |key| node.label(key));
    index.nodes().filter(admits).map(|node| node.name().to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_wrong_comes_out_as_documented_and_says_so(setting in any_setting()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (response, pod) = runtime.block_on(review(&setting.app()));
        let placed = pod["spec"].get("affinity").is_some_and(|affinity| affinity.to_string().contains("required"));
        let gated = pod["spec"].get("schedulingGates").is_some();
        let notes = pod["metadata"]["annotations"]["berth.dev/notes"].as_str().unwrap_or_default();
        let warned = response["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<String>();
        let (index, documented) = (setting.index(), setting.documented());
        let words = match &documented {
            Outcome::Anywhere(words) | Outcome::On(_, words) => words,
            Outcome::Gated => "waits, since no node has app:dev: ",
            Outcome::Denied => "",
        };
        prop_assert!(notes.contains(words), "{notes:?} does not say {words:?}");
        prop_assert_eq!(warned.is_empty(), words.is_empty(), "{} warns of {:?}", warned, words);
        prop_assert!(!gated || !placed, "it waits, and would be held to where nothing is");
        match documented {
            Outcome::Denied => {
                prop_assert_eq!(&response["allowed"], &json!(false));
                let reason = response["status"]["message"].as_str().unwrap_or_default();
                prop_assert!(reason.contains("no node has app:dev: load it first: "), "{}", reason);
            }
            Outcome::Gated => prop_assert!(gated),
            Outcome::Anywhere(_) => prop_assert!(!placed && !gated, "{}", pod),
            Outcome::On(nodes, _) => prop_assert_eq!(allowed(&index, &pod), nodes),
        }
        prop_assert!(!placed || !allowed(&index, &pod).is_empty(), "no node at all: {}", pod);
    }
}
