//! What an API server sends, and what strangers send.

use serde_json::{Value, json};

use super::*;

fn review() -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5", "operation": "CREATE", "namespace": "shop", "dryRun": false, "oldObject": null,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "object": {
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "web", "creationTimestamp": null, "managedFields": [{"manager": "kubectl"}]},
                "spec": {
                    "containers": [{"name": "c", "image": "nginx:1", "somethingNew": {"a": [1, null]}}],
                    "initContainers": null,
                    "volumes": [{"name": "v", "image": {"reference": "m:1", "pullPolicy": "Never"}}, {"name": "e", "emptyDir": {}}],
                },
            },
        },
    })
}

fn with(path: &str, value: Value) -> Value {
    let mut review = review();
    *review.pointer_mut(path).unwrap() = value;
    review
}

#[test]
fn reads_what_the_rules_need() {
    let body = review().to_string();
    let Review::Readable(request) = decode(body.as_bytes()).unwrap() else { panic!("not a Pod") };
    assert_eq!((&*request.uid, &*request.namespace, &*request.operation), ("705ab4f5", "shop", "CREATE"));
    assert_eq!(request.resource.resource, "pods");
    assert_eq!(request.object.spec.containers[0].image, "nginx:1");
    assert!(request.object.spec.init_containers.is_empty() && request.old_object.is_none());
    let volume = request.object.spec.volumes[0].image.as_ref().unwrap();
    assert_eq!((&*volume.reference, &*volume.pull_policy), ("m:1", "Never"));
    assert!(matches!(request.object.spec.containers[0].image, Cow::Borrowed(_)), "decoded without a copy");
}

#[test]
fn escapes_are_undone() {
    // Go writes `<`, `>` and `&` as six bytes.
    let body = with("/request/object/spec/containers/0/image", json!("a<b")).to_string().replace('<', "\\u003c");
    let Review::Readable(request) = decode(body.as_bytes()).unwrap() else { panic!("not a Pod") };
    assert_eq!(request.object.spec.containers[0].image, "a<b");
}

#[track_caller]
fn refused(body: &[u8], why: &str) {
    let error = decode(body).unwrap_err();
    assert!(error.to_string().contains(why), "{error}");
}

#[test]
fn what_cannot_be_answered_is_refused() {
    refused(b"", "not an AdmissionReview");
    refused(b"{", "not an AdmissionReview");
    refused(b"[]", "\"\" \"\"");
    refused(b"{}", "\"\" \"\"");
    refused(b"\xff\xfe", "not an AdmissionReview");
    refused(with("/kind", json!("Pod")).to_string().as_bytes(), r#""Pod""#);
    refused(with("/apiVersion", json!("admission.k8s.io/v1beta1")).to_string().as_bytes(), "v1beta1");
    refused(with("/request/uid", json!("")).to_string().as_bytes(), "no uid");
    refused(with("/request", json!(null)).to_string().as_bytes(), "no request");
    refused(with("/request", json!({})).to_string().as_bytes(), "no uid");
    refused(with("/request/uid", json!(7)).to_string().as_bytes(), "not an AdmissionReview");
}

#[test]
fn an_object_that_is_no_pod_is_answered() {
    let wrong = [json!("x"), json!({"spec": {"containers": "x"}}), json!({"spec": {"containers": [{"image": 7}]}})];
    for object in wrong {
        let body = with("/request/object", object).to_string();
        let Review::Opaque { uid, reason } = decode(body.as_bytes()).unwrap() else { panic!("read as a Pod: {body}") };
        assert_eq!(uid, "705ab4f5");
        assert!(!reason.is_empty());
    }
}

#[test]
fn depth_and_breadth_are_survived() {
    let deep = format!(r#"{{"apiVersion":{}"#, "[".repeat(3_000_000));
    refused(deep.as_bytes(), "not an AdmissionReview");
    let mut nested = review().to_string();
    let deep = format!(r#""metadata":{{"annotations":{}{},"#, "[".repeat(1_000_000), "]".repeat(1_000_000));
    nested = nested.replacen(r#""metadata":{"#, &deep, 1);
    assert!(decode(nested.as_bytes()).is_ok());
    let container = json!({"name": "c", "image": "nginx:1"});
    let wide = with("/request/object/spec/containers", Value::Array(vec![container; 200_000])).to_string();
    let Review::Readable(request) = decode(wide.as_bytes()).unwrap() else { panic!("not a Pod") };
    assert_eq!(request.object.spec.containers.len(), 200_000);
}
