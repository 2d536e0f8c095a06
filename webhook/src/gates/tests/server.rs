//! An API server that gates are opened at.

use std::{collections::BTreeMap, convert::Infallible};

use bytes::Bytes;
use futures::channel::mpsc::{self, UnboundedSender};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

use super::super::*;

/// An API server that keeps Nodes and Pods, tells watches about changes, and takes patches.
#[derive(Clone, Default)]
pub(super) struct Server(Arc<Mutex<State>>);

#[derive(Default)]
pub(super) struct State {
    version: u64,
    /// By collection and name.
    objects: BTreeMap<(&'static str, String), Value>,
    watches: Vec<(&'static str, UnboundedSender<Value>)>,
    /// The patches that were taken.
    pub(super) taken: Vec<Value>,
    /// The statuses of all answers to patches.
    pub(super) answers: Vec<u16>,
    /// Pods that change just before the next patch arrives.
    pub(super) touched: Vec<String>,
    /// Pods that are listed and gone.
    pub(super) lost: Vec<String>,
    /// A policy refuses all patches.
    pub(super) refuses: bool,
    /// The notes of all Events.
    pub(super) said: Vec<String>,
}

impl State {
    pub(super) fn put(&mut self, collection: &'static str, mut object: Value) {
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

    pub(super) fn delete(&mut self, name: &str) {
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

/// What an API server says about once a minute where it has nothing else to say.
fn bookmarks(collection: &str, version: &Value) -> impl futures::Stream<Item = Value> + use<> {
    let kind = if collection == "nodes" { "Node" } else { "Pod" };
    let object = json!({ "kind": kind, "apiVersion": "v1", "metadata": version });
    let bookmark = json!({ "type": "BOOKMARK", "object": object });
    stream::repeat(bookmark).then(async |bookmark| {
        time::sleep(Duration::from_secs(60)).await;
        bookmark
    })
}

/// Whether a watch shows the object: the one for Pods is by label.
fn is_watched(collection: &str, object: &Value) -> bool {
    collection == "nodes" || object["metadata"]["labels"].get(GATED_LABEL).is_some()
}

impl Server {
    pub(super) fn state(&self) -> std::sync::MutexGuard<'_, State> {
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
            let version = json!({ "resourceVersion": state.version.to_string() });
            let lines = stream::select(events, bookmarks(collection, &version))
                .map(|event| Ok(Frame::data(Bytes::from(format!("{event}\n")))));
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
    pub(super) fn controller(&self, tasks: &mut tokio::task::JoinSet<()>) {
        let metrics = Arc::new(Metrics::default());
        let nodes = Arc::new(Nodes::new(50));
        let events = Arc::new(Recorder::new(self.client(), "controller", metrics.clone()));
        let gates = Gates::new(Means {
            client: self.client(),
            nodes: nodes.clone(),
            config: Arc::default(),
            own_namespace: "berth-system".to_owned(),
            events: events.clone(),
            metrics: metrics.clone(),
        });
        tasks.spawn(nodes.follow(self.client(), metrics));
        tasks.spawn(async move { gates.run().await });
        tasks.spawn(async move { events.run().await });
    }

    pub(super) fn pod(&self, name: &str) -> Value {
        self.state().objects[&("pods", name.to_owned())].clone()
    }

    /// Whether the Pod is still gated, after `wait`.
    pub(super) async fn is_gated_after(&self, name: &str, wait: Duration) -> bool {
        time::sleep(wait).await;
        let gates = self.pod(name)["spec"]["schedulingGates"].clone();
        gates.as_array().is_some_and(|gates| gates.iter().any(|gate| gate["name"] == "berth.dev/image-on-node"))
    }
}

pub(super) fn node(name: &str, image: &str) -> Value {
    json!({
        "metadata": { "name": name, "uid": name, "labels": { "kubernetes.io/hostname": name } },
        "status": {
            "conditions": [{ "type": "Ready", "status": "True" }],
            "nodeInfo": { "containerRuntimeVersion": "containerd://2.1.4", "kubeletVersion": "v1.36.3" },
            "images": [{ "names": [image] }],
        },
    })
}

pub(super) fn pod(name: &str) -> Value {
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
pub(super) fn cluster(pods: &[Value]) -> Server {
    let server = Server::default();
    for name in ["a", "b"] {
        server.state().put("nodes", node(name, "docker.io/library/other:1"));
    }
    for pod in pods {
        server.state().put("pods", pod.clone());
    }
    server
}
