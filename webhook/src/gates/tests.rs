use std::{collections::BTreeMap, convert::Infallible};

use bytes::Bytes;
use futures::channel::mpsc::{self, UnboundedSender};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

use super::*;

/// An API server that keeps Nodes and Pods, tells watches about changes, and takes patches.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    version: u64,
    /// By collection and name.
    objects: BTreeMap<(&'static str, String), Value>,
    watches: Vec<(&'static str, UnboundedSender<Value>)>,
    /// The patches that were taken.
    taken: Vec<Value>,
    /// The statuses of all answers to patches.
    answers: Vec<u16>,
    /// Pods that change just before the next patch arrives.
    touched: Vec<String>,
    /// Pods that are listed and gone.
    lost: Vec<String>,
    /// A policy refuses all patches.
    refuses: bool,
    /// The notes of all Events.
    said: Vec<String>,
}

impl State {
    fn put(&mut self, collection: &'static str, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let key = (collection, object["metadata"]["name"].as_str().unwrap().to_owned());
        let known = self.objects.insert(key, object.clone());
        let was = known.is_some_and(|known| is_watched(collection, &known));
        let kind = match (was, is_watched(collection, &object)) {
            (false, false) => return,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        self.tell(collection, kind, &object);
    }

    fn tell(&mut self, collection: &'static str, kind: &str, object: &Value) {
        let event = json!({ "type": kind, "object": object });
        self.watches.retain(|(about, watch)| *about != collection || watch.unbounded_send(event.clone()).is_ok());
    }

    fn delete(&mut self, name: &str) {
        let object = self.objects.remove(&("pods", name.to_owned())).unwrap();
        self.tell("pods", "DELETED", &object);
    }

    fn patch(&mut self, name: &str, merge: bool, patch: &Value) -> (u16, Value) {
        if self.refuses {
            return (403, json!({ "code": 403, "reason": "Forbidden", "message": "a policy" }));
        }
        let known = self.objects.get(&("pods", name.to_owned())).filter(|_| !self.lost.iter().any(|lost| lost == name));
        let Some(object) = known else { return (404, json!({ "code": 404, "reason": "NotFound" })) };
        let mut object = object.clone();
        if self.touched.iter().any(|touched| touched == name) {
            self.touched.clear();
            self.put("pods", object.clone());
            object = self.objects[&("pods", name.to_owned())].clone();
        }
        if merge {
            json_patch::merge(&mut object, patch);
        } else if json_patch::patch(&mut object, &serde_json::from_value::<json_patch::Patch>(patch.clone()).unwrap())
            .is_err()
        {
            return (422, json!({ "code": 422, "message": "a test failed" }));
        }
        self.put("pods", object.clone());
        self.taken.push(patch.clone());
        (200, object)
    }
}

/// Whether a watch shows the object: the one for Pods is by label.
fn is_watched(collection: &str, object: &Value) -> bool {
    collection == "nodes" || object["metadata"]["labels"].get(GATED_LABEL).is_some()
}

impl Server {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn client(&self) -> Client {
        let server = self.clone();
        Client::new(service_fn(move |request| server.clone().answer(request)), "default")
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, Infallible> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().unwrap_or_default());
        let collection = if path.ends_with("/nodes") { "nodes" } else { "pods" };
        let mut state = self.state();
        if query.contains("watch=true") {
            let (sender, events) = mpsc::unbounded();
            state.watches.push((collection, sender));
            let lines = events.map(|event| Ok(Frame::data(Bytes::from(format!("{event}\n")))));
            return Ok(Response::new(StreamBody::new(lines).boxed_unsync()));
        }
        let (status, answer) = if parts.method == Method::POST {
            let event: Value = serde_json::from_slice(&body).unwrap();
            let (reason, note) = (event["reason"].as_str().unwrap(), event["note"].as_str().unwrap());
            state.said.push(format!("{reason}: {note}"));
            (201, event)
        } else if parts.method == Method::PATCH {
            let merge = parts.headers["content-type"].to_str().unwrap().contains("merge");
            let name = path.rsplit('/').next().unwrap();
            let answer = state.patch(name, merge, &serde_json::from_slice(&body).unwrap());
            state.answers.push(answer.0);
            answer
        } else {
            let by_label = query.contains("labelSelector");
            let shown = |object: &&Value| !by_label || is_watched(collection, object);
            let items = state.objects.iter().filter(|(key, _)| key.0 == collection).map(|(_, object)| object);
            let metadata = json!({ "resourceVersion": state.version.to_string() });
            (200, json!({ "metadata": metadata, "items": items.filter(shown).collect::<Vec<_>>() }))
        };
        let body = Full::from(answer.to_string()).boxed_unsync();
        Ok(Response::builder().status(status).body(body).unwrap())
    }

    /// Runs a controller until the test ends.
    fn controller(&self, tasks: &mut tokio::task::JoinSet<()>) {
        let metrics = Arc::new(Metrics::default());
        let nodes = Arc::new(Nodes::new(50));
        let events = Arc::new(Recorder::new(self.client(), "controller", metrics.clone()));
        let own = "berth-system".to_owned();
        let gates = Gates::new(self.client(), nodes.clone(), Arc::default(), own, events.clone(), metrics.clone());
        tasks.spawn(nodes.follow(self.client(), metrics));
        tasks.spawn(async move { gates.run().await });
        tasks.spawn(async move { events.run().await });
    }

    fn pod(&self, name: &str) -> Value {
        self.state().objects[&("pods", name.to_owned())].clone()
    }

    /// Whether the Pod is still gated, after `wait`.
    async fn is_gated_after(&self, name: &str, wait: Duration) -> bool {
        time::sleep(wait).await;
        let gates = self.pod(name)["spec"]["schedulingGates"].clone();
        gates.as_array().is_some_and(|gates| gates.iter().any(|gate| gate["name"] == "berth.dev/image-on-node"))
    }
}

fn node(name: &str, image: &str) -> Value {
    json!({
        "metadata": { "name": name, "uid": name, "labels": { "kubernetes.io/hostname": name } },
        "status": {
            "conditions": [{ "type": "Ready", "status": "True" }],
            "nodeInfo": { "containerRuntimeVersion": "containerd://2.1.4", "kubeletVersion": "v1.36.3" },
            "images": [{ "names": [image] }],
        },
    })
}

fn pod(name: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid-of-{name}"),
            "labels": { "app": name, "berth.dev/gated": "true" },
        },
        "spec": {
            "schedulingGates": [{ "name": "other" }, { "name": "berth.dev/image-on-node" }],
            "containers": [{ "name": "main", "image": "app:dev", "imagePullPolicy": "Never" }],
        },
    })
}

/// Two nodes without the image, and `pods`.
fn cluster(pods: &[Value]) -> Server {
    let server = Server::default();
    for name in ["a", "b"] {
        server.state().put("nodes", node(name, "docker.io/library/other:1"));
    }
    for pod in pods {
        server.state().put("pods", pod.clone());
    }
    server
}

const APP: &str = "docker.io/library/app:dev";
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_gate_opens_within_a_second_of_the_report_and_the_node_is_required() {
    let (server, mut tasks) = (cluster(&[pod("web")]), tokio::task::JoinSet::new());
    server.controller(&mut tasks);
    assert!(server.is_gated_after("web", 60 * SECOND).await, "no node has the image yet");
    assert_eq!(server.state().answers, [] as [u16; 0]);

    server.state().put("nodes", node("b", APP));
    assert!(!server.is_gated_after("web", SECOND).await, "node b has the image");
    let web = server.pod("web");
    assert_eq!(web["metadata"]["labels"], json!({ "app": "web", "berth.dev/placed": "true" }));
    assert_eq!(web["metadata"]["annotations"]["berth.dev/notes"], "waited until b had its image");
    assert_eq!(web["spec"]["schedulingGates"], json!([{ "name": "other" }]));
    let terms = &web["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let wanted = json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": ["b"] });
    assert_eq!(*terms, json!({ "nodeSelectorTerms": [{ "matchExpressions": [wanted] }] }));
    assert_eq!(server.state().answers, [200], "one patch does it all");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_has_changed_is_looked_at_afresh() {
    let (server, mut tasks) = (cluster(&[pod("web")]), tokio::task::JoinSet::new());
    server.controller(&mut tasks);
    assert!(server.is_gated_after("web", SECOND).await);
    server.state().touched.push("web".into());
    server.state().put("nodes", node("a", APP));
    assert!(!server.is_gated_after("web", SECOND).await);
    assert_eq!(server.state().answers, [422, 200]);
}

#[tokio::test(start_paused = true)]
async fn two_controllers_are_harmless() {
    let pods: Vec<Value> = (0..40).map(|number| pod(&format!("web-{number}"))).collect();
    let (server, mut tasks) = (cluster(&pods), tokio::task::JoinSet::new());
    server.controller(&mut tasks);
    server.controller(&mut tasks);
    assert!(server.is_gated_after("web-0", SECOND).await);
    server.state().put("nodes", node("a", APP));
    for number in 0..40 {
        assert!(!server.is_gated_after(&format!("web-{number}"), SECOND).await, "{number}");
    }
    let state = server.state();
    assert_eq!(state.taken.len(), 40, "each gate is opened once");
    assert!(state.answers.iter().all(|answer| [200, 422].contains(answer)), "{:?}", state.answers);
}

#[tokio::test(start_paused = true)]
async fn a_gate_whose_label_was_lost_is_found_within_five_minutes() {
    let mut lost = pod("web");
    lost["metadata"]["labels"] = json!({ "app": "web" });
    let (server, mut tasks) = (cluster(&[]), tokio::task::JoinSet::new());
    server.controller(&mut tasks);
    time::sleep(SECOND).await;
    server.state().put("pods", lost);
    server.state().put("nodes", node("a", APP));
    assert!(server.is_gated_after("web", 60 * SECOND).await, "nobody watches it");
    assert!(!server.is_gated_after("web", 300 * SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn pods_that_are_gone_or_going_are_left_alone() {
    let mut going = pod("going");
    going["metadata"]["deletionTimestamp"] = json!("2026-11-21T00:00:00Z");
    let (server, mut tasks) = (cluster(&[going, pod("gone")]), tokio::task::JoinSet::new());
    server.controller(&mut tasks);
    time::sleep(SECOND).await;
    server.state().delete("gone");
    server.state().put("nodes", node("a", APP));
    time::sleep(60 * SECOND).await;
    assert_eq!(server.state().answers, [] as [u16; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_has_nothing_to_wait_for_any_more_goes() {
    let mut other = pod("web");
    other["spec"]["containers"][0] = json!({ "name": "main", "image": "app:1", "imagePullPolicy": "Always" });
    let (server, mut tasks) = (cluster(&[other]), tokio::task::JoinSet::new());
    server.controller(&mut tasks);
    assert!(!server.is_gated_after("web", SECOND).await);
    assert!(server.pod("web")["spec"].get("affinity").is_none());
}

#[tokio::test(start_paused = true)]
async fn what_it_waits_for_is_said_once_and_again_when_that_changes_or_is_forgotten() {
    let (server, mut tasks) = (cluster(&[pod("web")]), tokio::task::JoinSet::new());
    server.controller(&mut tasks);
    time::sleep(SECOND).await;
    let lacks = "WaitingForImage: main: waits, since no node has app:dev: `ctr -n k8s.io images import FILE` on a node \
                 or `berth load app:dev --via COMMAND`";
    assert_eq!(server.state().said, [lacks]);
    time::sleep(600 * SECOND).await;
    assert_eq!(server.state().said.len(), 1);

    let mut tainted = node("b", APP);
    tainted["spec"]["taints"] = json!([{ "key": "team", "value": "a", "effect": "NoSchedule" }]);
    server.state().put("nodes", tainted);
    time::sleep(31 * SECOND).await;
    assert!(server.state().said[1].contains("no node that it can use has app:dev (b has the taint team)"));
    time::sleep(3500 * SECOND).await;
    assert_eq!(server.state().said.len(), 2);
    time::sleep(600 * SECOND).await;
    assert_eq!(server.state().said.len(), 3, "the API server has forgotten it by now");

    server.state().put("nodes", node("a", APP));
    assert!(!server.is_gated_after("web", SECOND).await);
    assert_eq!(server.state().said[3], "GateLifted: waited until nodes had its image");
}

/// A list that cannot tell may be one that is not filled yet, or one that never will say more.
#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_for_lists_that_cannot_tell() {
    let (server, mut tasks) = (cluster(&[pod("web")]), tokio::task::JoinSet::new());
    server.controller(&mut tasks);
    time::sleep(SECOND).await;
    let mut joined = node("c", APP);
    joined["status"]["images"] = json!([]);
    server.state().put("nodes", joined.clone());
    assert!(server.is_gated_after("web", 60 * SECOND).await, "its list may come");
    server.state().put("nodes", node("c", "docker.io/library/other:1"));
    assert!(server.is_gated_after("web", 300 * SECOND).await, "it does not have the image");
    server.state().put("nodes", joined);
    assert!(server.is_gated_after("web", 100 * SECOND).await, "from the beginning");
    assert!(!server.is_gated_after("web", 30 * SECOND).await, "a new Pod would be admitted");
    let terms =
        &server.pod("web")["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(terms["nodeSelectorTerms"][0]["matchExpressions"][0]["values"], json!(["c"]));
}

#[tokio::test(start_paused = true)]
async fn a_patch_that_is_refused_is_tried_ever_more_seldom_and_at_once_when_the_pod_changes() {
    let (server, mut tasks) = (cluster(&[pod("web")]), tokio::task::JoinSet::new());
    server.controller(&mut tasks);
    server.state().refuses = true;
    server.state().put("nodes", node("a", APP));
    assert!(server.is_gated_after("web", 3600 * SECOND).await);
    let tries = server.state().answers.len();
    assert!((10..25).contains(&tries), "{tries} in an hour");
    server.state().refuses = false;
    let web = server.pod("web");
    server.state().put("pods", web);
    assert!(!server.is_gated_after("web", SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn one_pod_that_cannot_get_its_label_back_holds_up_no_other() {
    let lost = |name: &str| {
        let mut lost = pod(name);
        lost["metadata"]["labels"] = json!({ "app": name });
        lost
    };
    let (server, mut tasks) = (cluster(&[]), tokio::task::JoinSet::new());
    server.controller(&mut tasks);
    time::sleep(SECOND).await;
    server.state().put("nodes", node("a", APP));
    for name in ["a", "b"] {
        server.state().put("pods", lost(name));
    }
    server.state().lost.push("a".into());
    assert!(!server.is_gated_after("b", 300 * SECOND).await);
}
