//! The watch of Namespaces against a scripted API server.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::*;
use crate::follow::fake::{End, Reply, Server, event, page, until};

fn namespace(name: &str, skip: Option<&str>) -> Value {
    let annotations = skip.map(|skip| json!({ SKIP: skip, "other": "x" }));
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": { "name": name, "resourceVersion": "11", "annotations": annotations },
    })
}

#[tokio::test(start_paused = true)]
async fn keeps_the_annotation_up_to_date() {
    let expired = json!({ "status": "Failure", "reason": "Expired", "message": "too old", "code": 410 });
    let server = Server::new([
        page(
            &[
                namespace("a", Some("pin")),
                namespace("b", None),
                namespace("c", Some("place")),
                namespace("d", Some("mirror")),
            ],
            "",
        ),
        Reply::Watch(
            vec![
                event("MODIFIED", &namespace("a", None)),
                event("MODIFIED", &namespace("b", Some("pin,mirror"))),
                event("DELETED", &namespace("c", Some("place"))),
                event("ADDED", &namespace("e", Some("nonsense"))),
            ],
            End::Close,
        ),
        Reply::Watch(vec![event("ERROR", &expired)], End::Close),
    ]);
    let namespaces = Arc::new(Namespaces::default());
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&namespaces).follow(server.client(), Arc::default()));
    let skips =
        || ["a", "b", "c", "d", "e"].map(|name| namespaces.skip(name).map_or(String::new(), |skip| skip.to_string()));

    until(|| server.asked().len() == 4).await; // a list that hangs: what was known stays known
    assert_eq!(skips(), ["", "pin,mirror", "", "mirror", "nonsense"]);
    server.reply(page(&[namespace("b", Some("pin"))], ""));
    until(|| skips() == ["", "pin", "", "", ""]).await;
}

#[test]
fn fixed_ones_are_as_given() {
    let namespaces = Namespaces::fixed([("a", "pin")]);
    assert_eq!(namespaces.skip("a").as_deref(), Some("pin"));
    assert_eq!(namespaces.skip("b"), None);
}
