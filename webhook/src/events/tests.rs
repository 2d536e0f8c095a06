use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::*;
use crate::follow::fake::{Reply, Server};

fn pod(name: &str, owner: Option<(&str, &str)>) -> PodRef {
    let owner = owner.map(|(api_version, kind)| OwnerReference {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        name: "web-5d4".to_owned(),
        uid: "uid-of-owner".to_owned(),
        controller: Some(true),
        block_owner_deletion: None,
    });
    PodRef { namespace: "shop".into(), name: name.into(), uid: format!("uid-of-{name}"), owner }
}

fn failed(code: u16, reason: &str) -> Reply {
    Reply::Json(code, json!({ "status": "Failure", "reason": reason, "message": "", "code": code }))
}

fn event(series: &Value) -> Reply {
    Reply::Json(201, json!({ "metadata": { "resourceVersion": "5" }, "eventTime": null, "series": series }))
}

/// A recorder that runs until the test ends.
fn recorder(server: &Server, tasks: &mut JoinSet<()>) -> Arc<Recorder> {
    let recorder = Arc::new(Recorder::new(server.client(), "controller-1", Arc::default()));
    let running = recorder.clone();
    tasks.spawn(async move { running.run().await });
    recorder
}

fn asked(server: &Server) -> Vec<String> {
    let short = |line: &String| line.split('?').next().unwrap_or_default().replace("/namespaces/shop", "");
    server.asked().iter().map(short).collect()
}

#[tokio::test(start_paused = true)]
async fn an_event_is_on_the_pod_and_on_its_top_owner_and_written_once() {
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "top", "controller": true,
    });
    let set = json!({ "metadata": { "name": "web-5d4", "uid": "uid-of-owner", "ownerReferences": [deployment] } });
    let server = Server::new([event(&Value::Null), Reply::Json(200, set), event(&Value::Null)]);
    let mut tasks = JoinSet::new();
    let events = recorder(&server, &mut tasks);
    let web = pod("web-5d4-x", Some(("apps/v1", "ReplicaSet")));
    for _ in 0..3 {
        events.say(&web, Reason::ImageNotes, "main: no digest\nside: no digest");
    }
    time::sleep(Duration::from_secs(10)).await;
    let post = "POST /apis/events.k8s.io/v1/events";
    assert_eq!(asked(&server), [post, "GET /apis/apps/v1/replicasets/web-5d4", post]);
    let bodies = server.bodies();
    let (on_pod, on_owner) = (&bodies[0], &bodies[bodies.len() - 1]);
    assert_eq!(on_pod["note"], "main: no digest; side: no digest");
    assert_eq!(on_pod["reportingController"], "berth.dev/controller");
    assert_eq!(on_pod["reportingInstance"], "controller-1");
    assert_eq!((&on_pod["type"], &on_pod["reason"]), (&json!("Warning"), &json!("ImageNotes")));
    assert_eq!(on_pod["regarding"]["uid"], "uid-of-web-5d4-x");
    assert_eq!((&on_owner["regarding"]["kind"], &on_owner["regarding"]["uid"]), (&json!("Deployment"), &json!("top")));
}

/// An Event must be in a namespace, and many objects are in none.
#[tokio::test(start_paused = true)]
async fn an_event_on_what_is_in_no_namespace_is_in_default() {
    let server = Server::new([event(&Value::Null), event(&Value::Null)]);
    let mut tasks = JoinSet::new();
    let events = recorder(&server, &mut tasks);
    for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        let about = ObjectReference {
            api_version: Some("admissionregistration.k8s.io/v1".to_owned()),
            kind: Some(kind.to_owned()),
            name: Some("zz-berth.dev".to_owned()),
            ..ObjectReference::default()
        };
        for _ in 0..2 {
            let reason = Reason::Certificate { word: "BundleRestored", warning: true };
            events.say_of(about.clone(), reason, "the CAs are back");
        }
    }
    time::sleep(Duration::from_secs(10)).await;
    let lines = server.asked();
    let paths: Vec<_> = lines.iter().filter_map(|line| line.split('?').next()).collect();
    assert_eq!(paths, ["POST /apis/events.k8s.io/v1/namespaces/default/events"; 2], "one for each, and each once");
    let [one, other] = &server.bodies()[..] else { panic!("two Events") };
    assert_ne!(one["metadata"]["name"], other["metadata"]["name"]);
    assert_eq!(
        one["regarding"],
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "name": "zz-berth.dev",
        })
    );
    assert_eq!((&one["type"], &one["action"]), (&json!("Warning"), &json!("Certify")));
}

/// After a restart all is said again, and nothing is written that is there.
#[tokio::test(start_paused = true)]
async fn what_stands_there_is_not_counted_again() {
    let server = Server::new([failed(409, "AlreadyExists")]);
    let mut tasks = JoinSet::new();
    let events = recorder(&server, &mut tasks);
    events.say(&pod("web", Some(("apps/v1", "StatefulSet"))), Reason::WaitingForImage, "waits");
    time::sleep(Duration::from_secs(10)).await;
    assert_eq!(asked(&server), ["POST /apis/events.k8s.io/v1/events"]);
}

#[tokio::test(start_paused = true)]
async fn a_series_is_counted_on_while_others_count() {
    let server = Server::new([
        event(&Value::Null),
        failed(409, "AlreadyExists"), // another controller has said it of another Pod
        event(&json!({ "count": 7, "lastObservedTime": "2026-11-21T12:00:00.000000Z" })),
        failed(409, "Conflict"), // and counts again
        event(&json!({ "count": 8, "lastObservedTime": "2026-11-21T12:00:00.000000Z" })),
        event(&Value::Null),
    ]);
    let mut tasks = JoinSet::new();
    let events = recorder(&server, &mut tasks);
    events.say(&pod("web-0", Some(("apps/v1", "StatefulSet"))), Reason::WaitingForImage, "waits");
    time::sleep(Duration::from_secs(10)).await;
    let methods: Vec<_> = asked(&server).iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(methods, ["POST", "POST", "GET", "PATCH", "GET", "PATCH"]);
    let last = server.bodies().pop().unwrap();
    assert_eq!(last["series"]["count"], 9);
    assert_eq!(last["metadata"]["resourceVersion"], "5");
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_again_and_what_is_refused_is_not() {
    let mut tasks = JoinSet::new();
    let server = Server::new([failed(500, "InternalError"), Reply::Refused, event(&Value::Null)]);
    recorder(&server, &mut tasks).say(&pod("web", None), Reason::GateLifted, "waited");
    time::sleep(Duration::from_secs(20)).await;
    assert_eq!(server.asked().len(), 3);

    let server = Server::new([failed(403, "Forbidden")]);
    let events = recorder(&server, &mut tasks);
    events.say(&pod("web", None), Reason::GateLifted, "waited");
    time::sleep(Duration::from_secs(20)).await;
    assert_eq!(server.asked().len(), 1, "its namespace is being deleted");
    server.reply(event(&Value::Null));
    events.say(&pod("web", None), Reason::GateLifted, "waited");
    time::sleep(Duration::from_secs(1)).await;
    assert_eq!(server.asked().len(), 2, "whoever says it again is heard");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_events_take_half_a_minute_and_no_less() {
    let server = Server::new((0..1000).map(|_| event(&Value::Null)));
    let mut tasks = JoinSet::new();
    let events = recorder(&server, &mut tasks);
    for number in 0..1000 {
        events.say(&pod(&format!("web-{number}"), None), Reason::WaitingForImage, "waits");
    }
    time::sleep(Duration::from_secs(10)).await;
    assert!((300..=501).contains(&server.asked().len()), "{}", server.asked().len());
    time::sleep(Duration::from_secs(20)).await;
    assert_eq!(server.asked().len(), 1000);
}
