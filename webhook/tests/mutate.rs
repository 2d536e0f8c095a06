//! `berth mutate` as people run it: the real binary, a registry on loopback, files, exit codes.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Command, Stdio},
};

use axum::{Router, extract::Request, http::StatusCode, response::IntoResponse, routing::any};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A folder with manifests, a configuration, and a registry that the configuration names.
struct Bench {
    folder: TempDir,
    registry: Server,
}

/// What a run of the program gave.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: TempDir::new().unwrap(), registry: Server::of(any(registry)) };
        bench.configure("");
        bench
    }

    /// Writes `berth.yaml`: the registry, and what else `more` says.
    fn configure(&self, more: &str) {
        let address = self.registry.address;
        let registries = format!("registries: [{{host: registry.test, endpoint: \"http://{address}\"}}]\n");
        self.file("berth.yaml", &format!("apiVersion: berth.dev/v1alpha1\nkind: Configuration\n{registries}{more}"));
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Runs `berth mutate` in the folder, with an empty environment.
    fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, "")
    }

    fn run_with(&self, args: &[&str], stdin: &str) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_berth"))
            .arg("mutate")
            .args(args)
            .current_dir(&self.folder)
            .env_clear()
            .env("HOME", self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs with the configuration and without a cluster; the run must succeed.
    #[track_caller]
    fn output(&self, manifest: &str, format: &str) -> Ran {
        self.file("manifest.yaml", manifest);
        let ran = self.run(&["-f", "manifest.yaml", "-o", format, "--config", "berth.yaml", "--without-cluster"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran
    }
}

/// A server on loopback that ends with the test.
struct Server {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Server {
    fn of(handler: axum::routing::MethodRouter) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, Router::new().fallback_service(handler)).await
        });
        Self { address, _runtime: runtime }
    }
}

/// A registry that has `web:latest`, and `web` by its digest.
async fn registry(request: Request) -> impl IntoResponse {
    let has = ["latest", DIGEST].map(|reference| format!("/v2/shop/web/manifests/{reference}"));
    if has.iter().any(|path| path == request.uri().path()) {
        let headers = [("docker-content-digest", DIGEST), ("content-type", "application/vnd.oci.image.index.v1+json")];
        (StatusCode::OK, headers).into_response()
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}

fn pinned() -> String {
    format!("registry.test/shop/web:latest@{DIGEST}")
}

/// The nodes `a`, which does not hold `local:dev`, and `b`, which does.
fn nodes() -> Value {
    let node = |name: &str, image: &str| {
        json!({
            "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "status": {
                "images": [{"names": [image]}],
                "conditions": [{"type": "Ready", "status": "True"}],
                "nodeInfo": {"containerRuntimeVersion": "containerd://2.1.4", "kubeletVersion": "v1.36.3"},
            },
        })
    };
    let items = [node("a", "docker.io/library/other:1"), node("b", "docker.io/library/local:dev")];
    json!({"kind": "NodeList", "apiVersion": "v1", "metadata": {}, "items": items})
}

#[test]
fn yaml_differs_in_nothing_but_the_images() {
    let bench = Bench::new();
    let ran = bench.output(MANIFEST, "yaml");
    let (text, pods) = MANIFEST.split_once("---").unwrap();
    let want = format!("{text}---{}", pods.replace("registry.test/shop/web:latest", &pinned()));
    assert_eq!((ran.out, ran.err.as_str()), (want, ""));
}

#[test]
fn standard_input_is_read() {
    let bench = Bench::new();
    let ran = bench.run_with(&["-f", "-", "--config", "berth.yaml", "--without-cluster"], MANIFEST);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains(&pinned()), "{ran:?}");
    let ran = bench.run_with(&["-f", "-", "--without-cluster"], "a: [");
    assert_eq!((ran.code, ran.out.as_str()), (Some(64), ""), "{ran:?}");
    assert!(ran.err.starts_with("berth: stdin:1:"), "{ran:?}");
}

#[test]
fn json_shows_each_object_as_it_would_be_stored() {
    let ran = Bench::new().output(MANIFEST, "json");
    let documents: Vec<Value> =
        serde_json::Deserializer::from_str(&ran.out).into_iter().collect::<Result<_, _>>().unwrap();
    let [config, deployment, pod] = documents.as_slice() else { unreachable!("{documents:#?}") };
    assert_eq!(config.pointer("/data/image"), Some(&json!("image: registry.test/shop/web:latest")));
    assert_eq!(deployment.pointer("/spec/template/spec/containers/0/image"), Some(&json!(pinned())));
    assert_eq!(deployment.pointer("/spec/template/metadata"), None, "a file is not the place for notes");
    assert_eq!(pod.pointer("/spec/containers/0/image"), Some(&json!(pinned())));
    assert_eq!(pod.pointer("/spec/volumes/0/configMap/defaultMode"), Some(&json!(420)));
}

#[test]
fn diff_shows_the_lines_that_change() {
    let bench = Bench::new();
    let ran = bench.output(MANIFEST, "diff");
    let changed: Vec<_> = ran.out.lines().filter(|line| line.starts_with(['-', '+'])).collect();
    let want = [
        "--- manifest.yaml".to_owned(),
        "+++ manifest.yaml".to_owned(),
        "-      - image: registry.test/shop/web:latest # the shop".to_owned(),
        format!("+      - image: {} # the shop", pinned()),
        "-  containers: [{name: web, image: 'registry.test/shop/web:latest'}]".to_owned(),
        format!("+  containers: [{{name: web, image: '{}'}}]", pinned()),
    ];
    assert_eq!(changed, want);
}

#[test]
fn patch_names_its_objects() {
    let ran = Bench::new().output(MANIFEST, "patch");
    let blocks: Vec<_> = ran.out.split("---\n").collect();
    let [deployment, pod] = blocks.as_slice() else { unreachable!("{ran:?}") };
    let operations = deployment.strip_prefix("# Deployment/web in shop\n").unwrap();
    let want = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": pinned()}]);
    assert_eq!(serde_json::from_str::<Value>(operations).unwrap(), want);
    let operations: Value = serde_json::from_str(pod.strip_prefix("# Pod/web\n").unwrap()).unwrap();
    assert_eq!(operations[0], json!({"op": "replace", "path": "/spec/containers/0/image", "value": pinned()}));
}

#[test]
fn mirrors_newer_builds_and_policies_are_shown_as_a_review_decides_them() {
    let bench = Bench::new();
    bench.file("nodes.json", &nodes().to_string());
    bench.configure(
        "pin: {repin: replace, repinImages: ['registry.test/*'], pullPolicy: IfNotPresent}\n\
         mirror: {rules: [{source: docker.io, mirror: registry.test, resolve: mirror, pullSecret: harbor}]}\n",
    );
    let old = format!("registry.test/shop/web:latest@sha256:{}", "7".repeat(64));
    let spec = |image: &str, policy: &str, other: &str| {
        format!(
            "{{containers: [{{name: a, image: '{image}', imagePullPolicy: {policy}}}, \
             {{name: b, image: '{other}', imagePullPolicy: IfNotPresent}}]}}"
        )
    };
    let file = |spec: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: p}}, spec: {spec}}}\n---\n\
             {{apiVersion: apps/v1, kind: Deployment, metadata: {{name: d}}, spec: {{template: {{spec: {spec}}}}}}}\n"
        )
    };
    bench.file("shop.yaml", &file(&spec("docker.io/shop/web:latest", "Always", &old)));
    let args = ["-f", "shop.yaml", "--config", "berth.yaml", "--nodes", "nodes.json"];
    let ran = bench.run(&args);
    assert_eq!((ran.code, ran.out), (Some(0), file(&spec(&pinned(), "IfNotPresent", &pinned()))), "{}", ran.err);
    let check = "nodes have not pulled from registry.test yet: check DNS, CA, pull secret there";
    let lines: Vec<_> = ran.err.lines().collect();
    let want = [
        format!("Pod/p: a: {check}"),
        "Pod/p: b: re-pinned: latest means another build now".to_owned(),
        format!("Deployment/d: a: {check}"),
        "Deployment/d: b: re-pinned: latest means another build now".to_owned(),
        "Deployment/d: the mirror needs pull secret harbor: add it to the template's imagePullSecrets".to_owned(),
    ];
    assert_eq!(lines, want);

    let ran = bench.run(&[&args[..], &["-o", "json"]].concat());
    let mut documents = serde_json::Deserializer::from_str(&ran.out).into_iter::<Value>();
    let (pod, deployment) = (documents.next().unwrap().unwrap(), documents.next().unwrap().unwrap());
    assert_eq!(pod.pointer("/spec/imagePullSecrets"), Some(&json!([{"name": "harbor"}])));
    assert_eq!(deployment.pointer("/spec/template/spec/imagePullSecrets"), None, "a template is the author's");
}

#[test]
fn placement_is_told_and_in_json_also_done() {
    let bench = Bench::new();
    bench.file("nodes.json", &nodes().to_string());
    let containers = "{containers: [{name: x, image: local:dev, imagePullPolicy: Never}]}";
    let pod = format!("{{apiVersion: v1, kind: Pod, metadata: {{name: p}}, spec: {containers}}}\n");
    let deployment = format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: d}}, spec: {{template: {{spec: {containers}}}}}}}\n"
    );
    bench.file("local.yaml", &format!("{pod}---\n{deployment}"));

    let ran = bench.run(&["-f", "local.yaml", "--nodes", "nodes.json"]);
    assert_eq!((ran.code, ran.out), (Some(0), format!("{pod}---\n{deployment}")), "{}", ran.err);
    assert_eq!(
        ran.err,
        "Pod/p: would run only on b (see -o json)\n\
         Deployment/d: would run only on b (told only, as it may be another one tomorrow)\n"
    );
    let ran = bench.run(&["-f", "local.yaml", "--nodes", "nodes.json", "-o", "json"]);
    let mut documents = serde_json::Deserializer::from_str(&ran.out).into_iter::<Value>();
    let (pod, deployment) = (documents.next().unwrap().unwrap(), documents.next().unwrap().unwrap());
    let terms = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    let want = json!([{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["b"]}]}]);
    assert_eq!(pod.pointer(terms), Some(&want));
    assert_eq!(deployment.pointer("/spec/template/spec/affinity"), None);
}

#[test]
fn a_pod_that_no_node_can_run_waits() {
    let bench = Bench::new();
    bench.file("nodes.json", &nodes().to_string());
    let pod = "{apiVersion: v1, kind: Pod, spec: {containers: [{name: x, image: nobody:dev, imagePullPolicy: Never}]}}";
    let ran = bench.run_with(&["-f", "-", "--nodes", "nodes.json", "-o", "json"], pod);
    let stored: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(stored.pointer("/spec/schedulingGates"), Some(&json!([{"name": "berth.dev/image-on-node"}])));
    assert!(ran.err.contains("waits, since no node has nobody:dev"), "{ran:?}");
}

/// The Pods of a `DaemonSet` go to all nodes, so that none is chosen.
#[test]
fn a_daemon_set_lacks_what_one_of_its_nodes_lacks() {
    let bench = Bench::new();
    bench.file("nodes.json", &nodes().to_string());
    let template = "{spec: {containers: [{name: x, image: local:dev, imagePullPolicy: Never}]}}";
    let set =
        format!("{{apiVersion: apps/v1, kind: DaemonSet, metadata: {{name: d}}, spec: {{template: {template}}}}}");
    let ran = bench.run_with(&["-f", "-", "--nodes", "nodes.json"], &set);
    assert!(ran.err.starts_with("DaemonSet/d: x: a lacks local:dev: `"), "{ran:?}");
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
}

#[test]
fn the_cluster_of_the_kubeconfig_is_asked() {
    let bench = Bench::new();
    let answer = || async { ([("content-type", "application/json")], nodes().to_string()) };
    let api = Server::of(any(answer));
    let pod = |namespace: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p, {namespace}}}\nspec: {{containers: [{{name: x, image: local:dev, imagePullPolicy: Never}}]}}\n"
        )
    };
    fs::create_dir(bench.folder.path().join(".kube")).unwrap();

    bench.file(".kube/config", &kubeconfig(api.address).to_string());
    let ran = bench.run_with(&["-f", "-"], &pod("namespace: shop"));
    assert_eq!(ran.err, "Pod/p: would run only on b (see -o json)\n", "{ran:?}");
    let ran = bench.run_with(&["-f", "-"], &pod(""));
    assert!(ran.err.starts_with("Pod/p: left alone"), "the namespace of the context: {ran:?}");

    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    bench.file(".kube/config", &kubeconfig(nobody).to_string());
    let ran = bench.run_with(&["-f", "-"], &pod("namespace: shop"));
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), pod("namespace: shop").as_str()), "{ran:?}");
    assert!(ran.err.starts_with("images are not compared with what nodes hold: the cluster at http://127.0.0.1:1/ did not say: Connection refused"), "{ran:?}");
}

/// Outside the cluster its local registry is where people push to it, also on this machine.
#[test]
fn the_local_registry_of_the_cluster_is_trusted_by_the_dev_profile() {
    let (bench, local) = (Bench::new(), Server::of(any(registry)));
    let host = format!("localhost:{}", local.address.port());
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "local-registry-hosting", "namespace": "kube-public"},
        "data": {"localRegistryHosting.v1": format!("host: '{host}'\n")},
    });
    let answer = move |request: Request| async move {
        let is_map = request.uri().path() == "/api/v1/namespaces/kube-public/configmaps/local-registry-hosting";
        ([("content-type", "application/json")], if is_map { map.to_string() } else { nodes().to_string() })
    };
    let api = Server::of(any(answer));
    fs::create_dir(bench.folder.path().join(".kube")).unwrap();
    bench.file(".kube/config", &kubeconfig(api.address).to_string());
    let image = format!("{host}/shop/web:latest");
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: shop}}\nspec: {{containers: [{{name: x, image: '{image}'}}]}}\n"
    );
    for (profile, after) in [("dev", format!("{image}@{DIGEST}")), ("production", image.clone())] {
        bench.file(
            "profile.yaml",
            &format!("apiVersion: berth.dev/v1alpha1\nkind: Configuration\nprofile: {profile}\npin: {{tags: ['*']}}\n"),
        );
        let ran = bench.run_with(&["-f", "-", "--config", "profile.yaml"], &pod);
        assert!(ran.out.contains(&format!("image: '{after}'}}")), "{profile}: {ran:?}");
    }
}

fn kubeconfig(address: SocketAddr) -> Value {
    json!({"apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [],
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "", "namespace": "kube-system"}}]})
}

#[test]
fn a_registry_without_the_image_follows_the_policy() {
    let bench = Bench::new();
    let manifest = MANIFEST.replace("shop/web", "shop/nothing");
    let ran = bench.output(&manifest, "yaml");
    assert_eq!(ran.out, manifest);
    assert!(ran.err.contains("Deployment/web: web: not pinned: registry.test has no "), "{ran:?}");

    bench.configure("pin: {onFailure: deny}\n");
    let ran = bench.run(&["-f", "manifest.yaml", "--config", "berth.yaml", "--without-cluster"]);
    assert_eq!((ran.code, ran.out), (Some(1), manifest), "denied");
    assert!(ran.err.contains("Pod/web: denied: web: image registry.test/shop/nothing:latest"), "{}", ran.err);
}

#[test]
fn mistakes_are_named_and_exit_with_64() {
    let bench = Bench::new();
    bench.file("broken.yaml", "a: 1\nb: {{ .Values.image }}\n");
    bench.file("number.yaml", "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: x\n    image: 1.25\n");
    bench.file("nodes.json", r#"{"kind": "PodList"}"#);
    bench.file("fine.yaml", MANIFEST);
    let cases: [(&[&str], &str); 7] = [
        (&["-f", "nowhere.yaml"], "berth: nowhere.yaml cannot be read: "),
        (&["-f", "broken.yaml"], "berth: broken.yaml:2:5: this key is no text (this looks like a template"),
        (
            &["-f", "number.yaml", "--without-cluster"],
            "berth: number.yaml:6: Pod/(unnamed): spec.containers.0.image: invalid type: floating point `1.25`, expected a string",
        ),
        (&["-f", "fine.yaml", "--config", "nowhere"], "berth: nowhere cannot be read"),
        (
            &["-f", "fine.yaml", "--nodes", "nodes.json"],
            "berth: nodes.json is not what `kubectl get nodes -o json` says: it is of kind \"PodList\"",
        ),
        (&["-f", "fine.yaml", "-o", "xml"], "error: invalid value 'xml' for '--output <FORMAT>'"),
        (&[], "error: the following required arguments were not provided:\n  --filename <FILE>"),
    ];
    for (args, want) in cases {
        let ran = bench.run(args);
        assert_eq!((ran.code, ran.out.as_str()), (Some(64), ""), "{args:?}: {ran:?}");
        assert!(ran.err.starts_with(want), "{args:?}: {}", ran.err);
    }
}

#[test]
fn a_file_without_pods_is_passed_through() {
    let bench = Bench::new();
    let ran = bench.output("# nothing here\n\n", "yaml");
    assert_eq!(
        (ran.out.as_str(), ran.err.as_str()),
        ("# nothing here\n\n", "manifest.yaml: no Pod and no Pod template\n")
    );
}

const DIGEST: &str = "sha256:6a1b4e3c5d2f6a1b4e3c5d2f6a1b4e3c5d2f6a1b4e3c5d2f6a1b4e3c5d2f6a1b";

const MANIFEST: &str = "\
apiVersion: v1
kind: ConfigMap
data: {image: 'image: registry.test/shop/web:latest' }
---
# The shop.
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    spec:
      containers:
      - image: registry.test/shop/web:latest # the shop
        name: web
---
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  volumes: [{name: c, configMap: {name: c, defaultMode: 0644}}]
  containers: [{name: web, image: 'registry.test/shop/web:latest'}]
";
