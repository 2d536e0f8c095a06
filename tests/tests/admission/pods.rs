//! Pods as people make them.

use super::*;

#[tokio::test]
async fn every_image_of_a_pod_is_pinned_and_what_it_was_stands_on_the_pod() {
    let world = world().await;
    let namespace = world.namespace("pinned").await;
    let web = pod_with(
        "web",
        &json!({
            "initContainers": [
                {"name": "first", "image": "busybox"},
                {"name": "sidecar", "image": "docker.io/library/nginx:latest", "restartPolicy": "Always"},
            ],
            "containers": [{"name": "main", "image": "nginx"}, {"name": "old", "image": "nginx:1.27"}],
            "volumes": [{"name": "files", "image": {"reference": "data:latest"}}, {"name": "tmp", "emptyDir": {}}],
        }),
    );
    let stored = namespace.create(&web).await;
    let spec = &stored["spec"];
    let [nginx, busybox, data] =
        ["nginx", "busybox", "data"].map(|name| world.digest(&format!("library/{name}:latest")));
    assert_eq!(spec["containers"][0]["image"], format!("nginx@{nginx}"));
    assert_eq!(spec["containers"][1]["image"], "nginx:1.27");
    assert_eq!(spec["initContainers"][0]["image"], format!("busybox@{busybox}"));
    assert_eq!(spec["initContainers"][1]["image"], format!("docker.io/library/nginx:latest@{nginx}"));
    assert_eq!(spec["volumes"][0]["image"]["reference"], format!("data:latest@{data}"));

    let pod = namespace.pod().await;
    let originals = pod["metadata"]["annotations"]["berth.dev/original-images"].as_str().unwrap();
    let expected = json!({"main": "nginx", "first": "busybox", "sidecar": "docker.io/library/nginx:latest", "files": "data:latest"});
    assert_eq!(serde_json::from_str::<Value>(originals).unwrap(), expected);
    assert_eq!((notes(&pod), pod["metadata"].get("labels")), ("", None), "there is nothing to say");
}

#[tokio::test]
async fn what_could_not_be_done_is_a_warning_of_kubectl_and_stands_on_the_pod() {
    let namespace = world().await.namespace("noted").await;
    let manifest = pod("web", "docker.io/library/gone:latest").to_string();
    let (results, warnings) = namespace.kubectl(&["apply", "-f", "-"], &manifest).await;
    assert_eq!(results, "pod/web created\n");
    assert!(
        warnings
            .starts_with("Warning: berth: main: not pinned: docker.io has no such image: push it or correct the name"),
        "{warnings}"
    );

    let pod = namespace.pod().await;
    assert_eq!(image(&pod), "docker.io/library/gone:latest");
    assert!(notes(&pod).starts_with("main: not pinned"), "{}", notes(&pod));
    assert_eq!(pod["metadata"]["labels"]["berth.dev/attention"], "true");
    let (described, _) = namespace.kubectl(&["describe", "pod", "web"], "").await;
    assert!(described.contains("berth.dev/notes") && described.contains("not pinned"), "{described}");
}

#[tokio::test]
async fn an_image_that_does_not_parse_is_quoted_and_admitted() {
    let namespace = world().await.namespace("unparsed").await;
    let (_, warnings) = namespace.kubectl(&["apply", "-f", "-"], &pod("web", "shop/Web App").to_string()).await;
    assert!(warnings.contains("main: `shop/Web App`"), "{warnings}");
    assert_eq!(image(&namespace.pod().await), "shop/Web App");
}

#[tokio::test]
async fn an_image_with_a_digest_is_stored_as_it_is_written() {
    let world = world().await;
    let namespace = world.namespace("digested").await;
    // Nobody has this digest: had the registry been asked, there would be a note.
    let written = format!("nginx:latest@sha256:{}", "7".repeat(64));
    let stored = namespace.create(&pod("web", &written)).await;
    assert_eq!((image(&stored), notes(&stored)), (written.as_str(), ""));
    assert_eq!(stored["metadata"].get("annotations"), None);
}

#[tokio::test]
async fn a_generated_name_is_no_obstacle() {
    let world = world().await;
    let namespace = world.namespace("generated").await;
    let mut pod = pod("", "nginx");
    pod["metadata"] = json!({"generateName": "web-"});
    let stored = namespace.create(&pod).await;
    assert!(stored["metadata"]["name"].as_str().unwrap().starts_with("web-"));
    assert_eq!(image(&stored), format!("nginx@{}", world.digest("library/nginx:latest")));
}

#[tokio::test]
async fn a_dry_run_answers_the_same_and_writes_nothing() {
    let world = world().await;
    let namespace = world.namespace("dry").await;
    let images = ["nginx", "docker.io/library/gone:latest", "busybox:latest"];
    let containers: Vec<_> = images
        .iter()
        .enumerate()
        .map(|(number, image)| json!({"name": format!("c{number}"), "image": image}))
        .collect();
    let pod = pod_with("web", &json!({"containers": containers}));
    let mut dry = Vec::new();
    for _ in 0..1_000 {
        dry.push(without_identity(namespace.dry_run(&pod).await));
    }
    assert_eq!(namespace.pods(0).await, [] as [Value; 0]);
    let (_, warnings) = namespace.kubectl(&["apply", "--dry-run=server", "-f", "-"], &pod.to_string()).await;
    assert!(warnings.contains("berth: c1: not pinned"), "{warnings}");
    let (events, _) = namespace.kubectl(&["get", "events", "-o", "name"], "").await;
    assert_eq!(events, "");

    let stored = without_identity(namespace.create(&pod).await);
    assert_eq!(image(&stored), format!("nginx@{}", world.digest("library/nginx:latest")));
    for dry in dry {
        assert_eq!(dry, stored);
    }
}

/// The Pod less what differs between any two Pods of the same name.
fn without_identity(mut pod: Value) -> Value {
    let volume = pod["spec"]["volumes"][0]["name"].as_str().unwrap().to_owned();
    for key in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
        pod["metadata"].as_object_mut().unwrap().remove(key);
    }
    // The token's volume has a random name.
    serde_json::from_str(&pod.to_string().replace(&volume, "token")).unwrap()
}

#[tokio::test]
async fn the_container_that_kubectl_debug_adds_is_pinned_and_nothing_else_changes() {
    let world = world().await;
    let namespace = world.namespace("debugged").await;
    let before = namespace.create(&pod("web", "nginx:1.27")).await;
    for (name, image) in
        [("first", "busybox:latest"), ("second", "docker.io/library/gone:latest"), ("third", "busybox")]
    {
        let image = format!("--image={image}");
        let debug = ["debug", "web", &image, "-c", name, "--attach=false", "-i=false", "-t=false", "--profile=general"];
        namespace.kubectl(&debug, "").await;
    }
    let after = namespace.pod().await;
    let digest = world.digest("library/busybox:latest");
    let images = after["spec"]["ephemeralContainers"].as_array().unwrap().iter().map(|container| &container["image"]);
    let expected =
        [format!("busybox:latest@{digest}"), "docker.io/library/gone:latest".to_owned(), format!("busybox@{digest}")];
    assert_eq!(images.collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>());
    assert_eq!(after["spec"]["containers"], before["spec"]["containers"]);
    assert_eq!(after["metadata"].get("annotations"), before["metadata"].get("annotations"));
}

#[tokio::test]
async fn setting_the_image_of_a_running_pod_is_left_alone() {
    let namespace = world().await.namespace("set").await;
    namespace.create(&pod("web", "nginx:1.27")).await;
    namespace.kubectl(&["set", "image", "pod/web", "main=nginx:latest"], "").await;
    assert_eq!(image(&namespace.pod().await), "nginx:latest");
}

#[tokio::test]
async fn a_pod_as_large_as_the_api_server_takes_is_pinned_all_the_same() {
    let world = world().await;
    let namespace = world.namespace("large").await;
    // In a review each of these takes six bytes.
    let large = "<".repeat(2_900_000);
    let container = json!({"name": "main", "image": "nginx", "env": [{"name": "LARGE", "value": large}]});
    let stored = namespace.dry_run(&pod_with("web", &json!({"containers": [container]}))).await;
    assert_eq!(image(&stored), format!("nginx@{}", world.digest("library/nginx:latest")));
    assert_eq!(stored["spec"]["containers"][0]["env"][0]["value"].as_str().map(str::len), Some(large.len()));
}
