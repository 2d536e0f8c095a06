//! Pods that controllers make: they are changed, their makers are not.

use berth_tests::cluster::Node;

use super::*;

#[tokio::test]
async fn a_deployments_pod_is_pinned_and_the_deployment_shows_no_drift() {
    let world = world().await;
    let namespace = world.namespace("deployment").await;
    namespace.apply_without_drift(&deployment("nginx", "Always")).await;
    let pod = namespace.pod().await;
    assert_eq!(pod["metadata"]["ownerReferences"][0]["kind"], "ReplicaSet");
    assert_eq!(image(&pod), format!("nginx@{}", world.digest("library/nginx:latest")));
    for kind in ["deployment", "replicaset"] {
        let (list, _) = namespace.kubectl(&["get", kind, "-o", "json"], "").await;
        let list: Value = serde_json::from_str(&list).unwrap();
        let [object] = &list["items"].as_array().unwrap()[..] else { panic!("one {kind}: {list}") };
        assert_eq!(object["spec"]["template"]["spec"]["containers"][0]["image"], "nginx");
        assert_eq!(object["metadata"]["generation"], 1);
        assert!(!object.to_string().contains("berth.dev"), "{object}");
    }
}

#[tokio::test]
async fn a_jobs_pod_is_pinned_and_the_job_shows_no_drift() {
    let world = world().await;
    let namespace = world.namespace("job").await;
    let containers = json!([{"name": "main", "image": "busybox"}]);
    let template = json!({"spec": {"containers": containers, "restartPolicy": "Never"}});
    let spec = json!({"template": template});
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": spec});
    namespace.apply_without_drift(&job).await;
    assert_eq!(image(&namespace.pod().await), format!("busybox@{}", world.digest("library/busybox:latest")));
}

#[tokio::test]
async fn a_daemon_sets_pods_are_bound_everywhere_and_the_one_whose_node_lacks_the_image_says_so() {
    let world = world().await;
    let holder = Node::new("daemon-a").label("test", "daemon").image(&["docker.io/library/agent:dev"]);
    // A list that is neither empty nor cut proves that an image is absent.
    let other = Node::new("daemon-b").label("test", "daemon").image(&["docker.io/library/other:dev"]);
    for node in [&holder, &other] {
        world.cluster.add(node).await.unwrap();
    }
    let namespace = world.namespace("daemon").await;
    world.sees("docker.io/library/agent:dev", &["daemon-a"]).await;
    let mut set = deployment("agent:dev", "Never");
    set["kind"] = json!("DaemonSet");
    set["spec"]["template"]["spec"]["nodeSelector"] = json!({"test": "daemon"});
    namespace.kubectl(&["apply", "-f", "-"], &set.to_string()).await;
    let mut notes_by_node = BTreeMap::new();
    for pod in namespace.pods(2).await {
        let affinity = pod["spec"]["affinity"].to_string();
        assert!(affinity.contains("metadata.name") && !affinity.contains("kubernetes.io/hostname"), "{affinity}");
        notes_by_node.insert(namespace.node_of(&pod).await, notes(&pod).to_owned());
    }
    assert_eq!(notes_by_node.keys().collect::<Vec<_>>(), ["daemon-a", "daemon-b"]);
    assert_eq!(notes_by_node["daemon-a"], "");
    assert!(notes_by_node["daemon-b"].contains("daemon-b, its node, lacks agent:dev"), "{notes_by_node:?}");
}

#[tokio::test]
async fn the_pods_of_an_operator_that_compares_images_are_placed_and_never_pinned() {
    let world = world().await;
    world.cluster.add(&Node::new("operated").image(&["docker.io/library/operated:dev"])).await.unwrap();
    world.sees("docker.io/library/operated:dev", &["operated"]).await;
    let namespace = world.namespace("operated").await;
    namespace.kubectl(&["apply", "-f", "-"], CLUSTERS).await;
    namespace.kubectl(&["wait", "--for=condition=Established", "crd/clusters.postgresql.cnpg.io"], "").await;
    let owner = json!({"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "metadata": {"name": "db"}});
    let (owner, _) = namespace.kubectl(&["create", "-o", "json", "-f", "-"], &owner.to_string()).await;
    let owner: Value = serde_json::from_str(&owner).unwrap();

    let containers = json!([
        {"name": "main", "image": "nginx:latest"},
        {"name": "local", "image": "operated:dev", "imagePullPolicy": "Never"},
    ]);
    let mut pod = pod_with("db-1", &json!({"containers": containers}));
    pod["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "name": "db", "uid": owner["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": false,
    }]);
    let stored = namespace.create(&pod).await;
    assert_eq!(image(&stored), "nginx:latest");
    assert_eq!(namespace.node_of(&stored).await, "operated");
}

/// A Deployment of one Pod.
pub(super) fn deployment(image: &str, policy: &str) -> Value {
    let containers = json!([{"name": "main", "image": image, "imagePullPolicy": policy}]);
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}},
        },
    })
}

/// As much of `CloudNativePG` as an owner reference needs.
const CLUSTERS: &str = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: clusters.postgresql.cnpg.io}
spec:
  group: postgresql.cnpg.io
  names: {kind: Cluster, plural: clusters}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";
