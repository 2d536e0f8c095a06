//! What people see at `kubectl apply` of a workload: what would happen to its Pods, and nothing where all is well.

mod strange;

use std::time::Instant;

use berth_tests::{
    cluster::Node,
    faults::{Fault, FaultProxy},
};
use http::{Request, header::CONTENT_TYPE};
use kube::Client;

use super::{failures::webhook, workloads::deployment, *};

#[tokio::test]
async fn a_deployment_that_could_not_run_is_told_where_it_is_applied_and_stored_as_it_is() {
    let world = world().await;
    world.cluster.add(&Node::new("told").image(&["docker.io/library/other:dev"])).await.unwrap();
    let namespace = world.namespace("told").await;
    let lines = applied(&namespace, &deployment("gone", "Always"), &[]).await;
    let gone = "berth: web: main: not pinned: docker.io has no such image: push it or correct the name: gone";
    assert_eq!(lines, [gone]);
    namespace.kubectl(&["diff", "-f", "-"], &deployment("gone", "Always").to_string()).await;
    let (stored, _) = namespace.kubectl(&["get", "deployment", "web", "-o", "json"], "").await;
    assert!(!stored.contains("berth.dev"), "{stored}");
    // The Pod's own review says the same, where nobody hears it.
    assert_eq!(notes(&namespace.pod().await), gone.strip_prefix("berth: web: ").unwrap());

    until("Berth knows the node", LIMIT, async || {
        let dry = applied(&namespace, &deployment("gone:v2", "Never"), &["--dry-run=server"]).await;
        ensure!(dry[0].starts_with("berth: web: main: no node has gone:v2"), "{dry:?}");
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(applied(&namespace, &deployment("nginx", "Always"), &[]).await, [""; 0]);
}

/// A file of everything that makes Pods: each object has its line, and a word of its own in it, because kubectl says
/// equal lines once.
#[tokio::test]
async fn every_kind_of_workload_has_its_line() {
    let namespace = world().await.namespace("kinds").await;
    let manifest = KINDS.map(|(version, kind, spec)| workload(version, kind, spec)).join("\n---\n");
    let (_, said) = namespace.kubectl(&["apply", "-f", "-"], &manifest).await;
    let want = KINDS.map(|(_, kind, _)| {
        let name = kind.to_lowercase();
        format!("berth: {name}: main: not pinned: docker.io has no such image: push it or correct the name: gone")
    });
    assert_eq!(warnings(&said), want);
}

/// Counted by Berth itself: what is not called for costs nobody anything.
#[tokio::test]
async fn only_a_person_who_changes_images_is_waited_for() {
    let world = world().await;
    let settings = docker_hub_at(&world.registry.endpoint());
    let (webhook, namespace) = webhook(world.cluster, "called", &settings).await;
    let before = counted(&webhook, "workloads").await;
    let mut web = deployment("nginx", "Always");
    web["spec"]["replicas"] = json!(2);
    for _ in 0..3 {
        namespace.kubectl(&["apply", "-f", "-"], &web.to_string()).await;
    }
    namespace.pods(2).await;
    let status = [
        "patch",
        "deployment",
        "web",
        "--subresource=status",
        "--type=merge",
        "-p",
        r#"{"status":{"observedGeneration":7}}"#,
    ];
    for arguments in [
        &["scale", "deployment", "web", "--replicas=3"][..],
        &["annotate", "deployment", "web", "a=b"],
        &["label", "deployment", "web", "a=b"],
        &["rollout", "pause", "deployment", "web"],
        &["rollout", "resume", "deployment", "web"],
        &status,
    ] {
        namespace.kubectl(arguments, "").await;
    }
    namespace.pods(3).await;
    let cron = workload("batch/v1", "CronJob", CRON).replace("gone", "busybox");
    namespace.kubectl(&["apply", "-f", "-"], &cron).await;
    namespace.kubectl(&["create", "job", "once", "--from=cronjob/cronjob"], "").await;
    namespace.pods(4).await;
    let created = BTreeMap::from([("silent".to_owned(), before.get("silent").unwrap_or(&0) + 2)]);
    let expected: BTreeMap<_, _> =
        before.iter().map(|(outcome, count)| (outcome.clone(), *count)).chain(created).collect();
    assert_eq!(counted(&webhook, "workloads").await, expected, "a Deployment and a CronJob, once each");

    // A changed template is looked at, and silent: only its environment is another.
    namespace.kubectl(&["set", "env", "deployment/web", "A=b"], "").await;
    // Images are what it is about.
    let (_, said) = namespace.kubectl(&["set", "image", "deployment/web", "main=gone"], "").await;
    assert_eq!(warnings(&said).len(), 1, "{said}");
    let after = counted(&webhook, "workloads").await;
    assert_eq!(after["skipped"] - expected.get("skipped").unwrap_or(&0), 1, "{after:?}");
    assert_eq!(after["warned"] - expected["warned"], 1, "{after:?}");
    assert!(counted(&webhook, "reviews").await.values().sum::<u32>() >= 4, "Pods are counted by themselves");
}

#[tokio::test]
async fn refusals_are_told_and_observed_ones_as_such() {
    let world = world().await;
    let settings = configuration(&world.registry.endpoint(), "pin: {onFailure: deny}");
    let (_webhook, namespace) = webhook(world.cluster, "told-deny", &settings).await;
    let reason = "main: image gone could not be pinned: docker.io has no such image";
    let lines = applied(&namespace, &deployment("gone", "Always"), &[]).await;
    assert!(lines[0].starts_with(&format!("berth: web: its Pods are refused: {reason}")), "{lines:?}");
    assert!(lines[1].starts_with("berth: web: … ") && lines.len() == 2, "{lines:?}");
    // What was foretold.
    namespace.described(&["replicaset"], reason).await;

    let labels = [("berth.dev/admission", "observe"), (ONLY, "told-deny")];
    let observed = Namespace::new(world.cluster, "told-observed", &labels).await;
    let lines = applied(&observed, &deployment("gone", "Always"), &[]).await;
    assert!(
        lines[0].starts_with(&format!("berth observes: web: its Pods would be refused: {reason}")[..100]),
        "{lines:?}"
    );
    assert_eq!(image(&observed.pod().await), "gone");
}

#[tokio::test]
async fn nobody_is_told_about_what_is_left_alone() {
    let namespace = world().await.namespace("left").await;
    let gone = deployment("gone", "Always");
    let mut skips = gone.clone();
    skips["spec"]["template"]["metadata"]["annotations"] = json!({"berth.dev/skip": "pin"});
    assert_eq!(applied(&namespace, &skips, &["--dry-run=server"]).await, [""; 0]);
    for labels in [&[(ONLY, "world")][..], &[("berth.dev/admission", "enabled"), (ONLY, "nobody")]] {
        let name = if labels.len() == 1 { "left-plain" } else { "left-other" };
        let other = Namespace::new(namespace.cluster, name, labels).await;
        assert_eq!(applied(&other, &gone, &["--dry-run=server"]).await, [""; 0], "{labels:?}");
    }
    for system in ["kube-system", "kube-node-lease", "berth-system"] {
        namespace
            .kubectl(&["label", "namespace", system, "berth.dev/admission=enabled", "berth-tests/only=world"], "")
            .await;
        let pods = namespace.cluster.pods(system).await.unwrap();
        let system = Namespace { cluster: namespace.cluster, name: system, pods };
        assert_eq!(applied(&system, &gone, &["--dry-run=server"]).await, [""; 0], "{}", system.name);
    }
}

/// The registration as it ships (`Ignore`), a registry that never answers, and then nobody who answers: applying goes on.
#[tokio::test]
async fn a_sick_registry_and_a_dead_berth_stop_nobody() {
    let world = world().await;
    let door = FaultProxy::start(world.registry.endpoint(), None).unwrap();
    door.set(Fault::BlackHole).await.unwrap();
    let settings = configuration(&door.endpoint(), "pin: {tags: ['*']}");
    let (webhook, namespace) = webhook(world.cluster, "told-never", &settings).await;
    let (client, mut took) = (world.cluster.client().await.unwrap(), Vec::new());
    for number in 0..8 {
        let mut web = deployment(&format!("nginx:{number}"), "IfNotPresent");
        web["spec"]["replicas"] = json!(0);
        let begun = Instant::now();
        let lines = applied_at_once(&client, &namespace, &web).await;
        took.push(begun.elapsed());
        assert!(lines.len() <= 2 && lines[0].starts_with("berth: web: main: not pinned: docker.io"), "{lines:?}");
    }
    assert!(took.iter().all(|took| took.as_secs() < 5), "{took:?}");
    assert!(took.iter().rev().take(2).all(|took| took.as_secs() < 2), "a sick registry is left alone: {took:?}");

    ignoring(&namespace, "zz-berth-told-never").await;
    drop(webhook);
    for image in ["nginx:8", "nginx:9"] {
        let begun = Instant::now();
        until("the API server knows the failure policy", LIMIT, async || {
            let arguments = ["-n", namespace.name, "apply", "-f", "-"];
            let output = namespace.cluster.kubectl(&arguments, &deployment(image, "IfNotPresent").to_string()).await?;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Ok(())
        })
        .await
        .unwrap();
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    }
}

/// How often Berth has counted each outcome of `what`.
async fn counted(webhook: &Webhook, what: &str) -> BTreeMap<String, u32> {
    let metrics = webhook.status("/metrics").await.unwrap();
    let prefix = format!("berth_{what}_total{{outcome=\"");
    let counts = metrics.lines().filter_map(|line| line.strip_prefix(&prefix)?.split_once("\"} "));
    counts.map(|(outcome, count)| (outcome.to_owned(), count.parse().unwrap())).collect()
}

/// Applies `manifest`; the warnings that a person sees.
async fn applied(namespace: &Namespace, manifest: &Value, flags: &[&str]) -> Vec<String> {
    let arguments = [&["apply", "-f", "-"], flags].concat();
    warnings(&namespace.kubectl(&arguments, &manifest.to_string()).await.1)
}

/// The same by one request and without kubectl, which takes its time to start; whole lines.
async fn applied_at_once(client: &Client, namespace: &Namespace, web: &Value) -> Vec<String> {
    let url = format!("/apis/apps/v1/namespaces/{}/deployments/web?fieldManager=any", namespace.name);
    let request = Request::patch(url).header(CONTENT_TYPE, "application/apply-patch+yaml").body(web.to_string());
    berth_tests::berth::warnings(client, request.unwrap()).await.unwrap()
}

/// Berth's lines; others warn, too.
fn warnings(said: &str) -> Vec<String> {
    let warnings = said.lines().filter_map(|line| line.strip_prefix("Warning: "));
    let warnings: Vec<_> = warnings.filter(|line| line.starts_with("berth")).map(str::to_owned).collect();
    assert!(warnings.iter().all(|line| line.chars().count() < 120), "{warnings:?}");
    warnings
}

/// Gives the registrations `name` the failure policy that they ship with.
async fn ignoring(namespace: &Namespace, name: &str) {
    for resource in ["mutatingwebhookconfiguration", "validatingwebhookconfiguration"] {
        let operation =
            |place| json!({"op": "replace", "path": format!("/webhooks/{place}/failurePolicy"), "value": "Ignore"});
        let patch = json!([operation(0), operation(1)]).to_string();
        namespace.kubectl(&["patch", resource, name, "--type=json", "-p", &patch], "").await;
    }
}

/// A workload of `kind`, which is its name as well.
fn workload(version: &str, kind: &str, spec: &str) -> String {
    let template = "metadata: {labels: {app: any}}, spec: {containers: [{name: main, image: gone}]";
    let spec = spec.replace("TEMPLATE", template);
    format!("{{apiVersion: {version}, kind: {kind}, metadata: {{name: {}}}, spec: {spec}}}", kind.to_lowercase())
}

const CRON: &str = "{schedule: '0 0 1 1 *', jobTemplate: {spec: {template: {TEMPLATE, restartPolicy: Never}}}}}";
const KINDS: [(&str, &str, &str); 7] = [
    ("apps/v1", "Deployment", "{selector: {matchLabels: {app: any}}, template: {TEMPLATE}}}"),
    ("apps/v1", "StatefulSet", "{serviceName: any, selector: {matchLabels: {app: any}}, template: {TEMPLATE}}}"),
    ("apps/v1", "DaemonSet", "{selector: {matchLabels: {app: any}}, template: {TEMPLATE}}}"),
    ("apps/v1", "ReplicaSet", "{selector: {matchLabels: {app: any}}, template: {TEMPLATE}}}"),
    ("batch/v1", "Job", "{template: {TEMPLATE, restartPolicy: Never}}}"),
    ("batch/v1", "CronJob", CRON),
    ("v1", "ReplicationController", "{selector: {app: any}, template: {TEMPLATE}}}"),
];
