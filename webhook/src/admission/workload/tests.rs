//! Which requests are looked at, and as whose Pods.

use serde_json::{Value, json};

use super::*;

fn template(images: &[&str]) -> Value {
    let container = |(number, image): (usize, &&str)| json!({ "name": format!("c{number}"), "image": image });
    json!({ "spec": { "containers": images.iter().enumerate().map(container).collect::<Vec<_>>() } })
}

fn object(template: &Value) -> Value {
    json!({ "metadata": { "name": "web" }, "spec": { "template": template } })
}

fn request(resource: [&str; 2], operation: &str, object: &Value, old: &Value) -> Value {
    json!({
        "uid": "u", "operation": operation, "namespace": "shop", "object": object, "oldObject": old,
        "resource": { "group": resource[0], "version": "v1", "resource": resource[1] },
    })
}

/// The name and the first image of the Pod that is looked at, and its owner.
fn planned(request: &Value) -> Option<(String, String, String)> {
    let review = json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request });
    let body = review.to_string();
    let Review::Readable(request) = read::<Workload<'_>, Workload<'_>>(body.as_bytes()).unwrap() else {
        panic!("{review}")
    };
    let Planned { name, namespace, pod } = Planned::of(*request)?;
    assert_eq!(namespace, "shop");
    let [owner] = &*pod.metadata.owner_references else { panic!("one owner: {:?}", pod.metadata) };
    let image = pod.spec.containers.first().map_or("", |container| &container.image);
    Some((name, image.to_owned(), format!("{} {}", owner.api_version, owner.kind)))
}

const DEPLOYMENT: [&str; 2] = ["apps", "deployments"];

#[test]
fn every_kind_that_makes_pods_is_looked_at_as_their_owner() {
    let plain = object(&template(&["a"]));
    let cron = json!({ "metadata": { "name": "web" }, "spec": { "jobTemplate": { "spec": { "template": template(&["a"]) } } } });
    for (resource, object, owner) in [
        (DEPLOYMENT, &plain, "apps/v1 ReplicaSet"),
        (["apps", "replicasets"], &plain, "apps/v1 ReplicaSet"),
        (["apps", "statefulsets"], &plain, "apps/v1 StatefulSet"),
        (["apps", "daemonsets"], &plain, "apps/v1 DaemonSet"),
        (["batch", "jobs"], &plain, "batch/v1 Job"),
        (["batch", "cronjobs"], &cron, "batch/v1 Job"),
        (["", "replicationcontrollers"], &plain, "v1 ReplicationController"),
    ] {
        let found = planned(&request(resource, "CREATE", object, &Value::Null));
        assert_eq!(found, Some(("web".to_owned(), "a".to_owned(), owner.to_owned())), "{resource:?}");
    }
    for resource in [["", "pods"], ["extensions", "deployments"], ["", "jobs"], ["", ""]] {
        assert_eq!(planned(&request(resource, "CREATE", &plain, &Value::Null)), None, "{resource:?}");
    }
}

#[test]
fn what_nobody_hears_or_knows_already_is_not_looked_at() {
    let plain = object(&template(&["a", "b"]));
    let speaks =
        |operation, object: &Value, old: &Value| planned(&request(DEPLOYMENT, operation, object, old)).is_some();
    assert!(speaks("CREATE", &plain, &Value::Null));
    assert!(speaks("UPDATE", &plain, &object(&template(&["a"]))), "another container");
    assert!(speaks("UPDATE", &plain, &object(&template(&["a", "c"]))), "another image");
    assert!(speaks("UPDATE", &plain, &Value::Null), "who sends no old object is no API server");
    assert!(!speaks("UPDATE", &plain, &plain));
    assert!(!speaks("UPDATE", &plain, &object(&template(&["b", "a"]))), "in another order");
    assert!(!speaks("UPDATE", &plain, &object(&template(&["a", "b", "c"]))), "one container less");
    assert!(!speaks("DELETE", &plain, &plain) && !speaks("CONNECT", &plain, &plain) && !speaks("", &plain, &plain));

    let mut never = plain.clone();
    never["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = json!("Never");
    assert!(speaks("UPDATE", &never, &plain), "another policy");
    for (place, entry) in [
        ("initContainers", json!({ "name": "i", "image": "d" })),
        ("ephemeralContainers", json!({ "name": "e", "image": "d" })),
        ("volumes", json!({ "name": "v", "image": { "reference": "d" } })),
    ] {
        let mut more = plain.clone();
        more["spec"]["template"]["spec"][place] = json!([entry]);
        assert!(speaks("UPDATE", &more, &plain), "{place}");
        assert!(!speaks("UPDATE", &plain, &more), "{place}");
    }
    let mut other = plain.clone();
    other["spec"]["replicas"] = json!(7);
    other["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{ "name": "x", "value": "y" }]);
    assert!(!speaks("UPDATE", &other, &plain));

    let mut scale = request(DEPLOYMENT, "UPDATE", &plain, &object(&template(&["c"])));
    scale["subResource"] = json!("scale");
    assert_eq!(planned(&scale), None);
}

#[test]
fn what_a_controller_made_is_its_makers() {
    let silent = |owners: Value| {
        let mut object = object(&template(&["a"]));
        object["metadata"]["ownerReferences"] = owners;
        planned(&request(["batch", "jobs"], "CREATE", &object, &Value::Null)).is_none()
    };
    let owner = |controller: Value| json!({ "apiVersion": "batch/v1", "kind": "CronJob", "controller": controller });
    assert!(silent(json!([owner(json!(true))])) && silent(json!([owner(json!(false)), owner(json!(true))])));
    assert!(!silent(Value::Null) && !silent(json!([])) && !silent(json!([owner(json!(false)), owner(Value::Null)])));
    // Nobody copies owners from a template.
    let mut object = object(&template(&["a"]));
    object["spec"]["template"]["metadata"] = json!({ "ownerReferences": [owner(json!(true))] });
    assert_eq!(planned(&request(DEPLOYMENT, "CREATE", &object, &Value::Null)).unwrap().2, "apps/v1 ReplicaSet");
}

#[test]
fn a_name_that_is_made_later_is_said_as_far_as_it_is_known() {
    let mut object = object(&template(&["a"]));
    object["metadata"] = json!({ "generateName": "nightly-" });
    assert_eq!(planned(&request(["batch", "jobs"], "CREATE", &object, &Value::Null)).unwrap().0, "nightly-…");
    object["metadata"] = Value::Null;
    assert_eq!(planned(&request(["batch", "jobs"], "CREATE", &object, &Value::Null)).unwrap().0, "…");
}

#[test]
fn an_empty_or_missing_template_has_nothing_to_say() {
    let nothing = [json!(null), json!({}), json!({ "spec": null }), json!({ "spec": { "template": null } })];
    for object in nothing {
        let found = planned(&request(DEPLOYMENT, "CREATE", &object, &Value::Null)).unwrap();
        assert_eq!(found.1, "", "{object}");
        assert!(planned(&request(DEPLOYMENT, "UPDATE", &object, &json!({}))).is_none());
    }
}

/// A forged crowd costs by its size.
#[test]
fn a_crowd_of_containers_is_compared_in_one_go() {
    let many: Vec<_> = (0..100_000).map(|number| format!("image-{number}")).collect();
    let object = object(&template(&many.iter().map(String::as_str).collect::<Vec<_>>()));
    let began = Instant::now();
    assert_eq!(planned(&request(DEPLOYMENT, "UPDATE", &object, &object)), None);
    assert!(began.elapsed().as_secs() < 60, "each was compared with each");
}
