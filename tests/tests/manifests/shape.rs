//! What keeps Berth up, and what keeps others up when it is down: judged on the rendered manifests.

use std::process::Command;

use berth::server::drain::Pauses;
use berth_tests::manifests::{kustomized, objects, path, templated, title, values};
use serde_json::{Value, json};

/// What a cluster that others rely on gets.
#[tokio::test]
async fn production_is_fit_for_production() {
    for (what, objects) in production().await {
        assert_eq!(unfit(&objects, true), Vec::<String>::new(), "{what}");
    }
}

/// The base has two replicas of each; all else is the same.
#[tokio::test]
async fn the_base_is_fit_but_for_zones() {
    assert_eq!(unfit(&objects(&kustomized("base").await.unwrap()).unwrap(), false), Vec::<String>::new());
    assert_eq!(unfit(&objects(&templated(&[]).await.unwrap()).unwrap(), false), Vec::<String>::new());
}

#[tokio::test]
async fn one_replica_is_for_development_only() {
    let unfit = unfit(&objects(&kustomized("overlays/dev").await.unwrap()).unwrap(), false);
    assert_eq!(unfit, ["berth-webhook: 1 replicas", "berth-controller: 1 replicas"]);
}

/// A check that cannot fail says nothing: each break is found, and nothing but it.
#[tokio::test]
async fn every_break_is_noticed() {
    let (_, good) = production().await.remove(0);
    let position = |kind: &str, name: &str| {
        good.iter().position(|object| object["kind"] == kind && object["metadata"]["name"] == name).unwrap()
    };
    let webhook = position("Deployment", "berth-webhook");
    let admission = position("MutatingWebhookConfiguration", "zz-berth.dev");
    let (pod, container) = ("/spec/template/spec", "/spec/template/spec/containers/0");
    for (object, pointer, value, problem) in [
        (webhook, "/spec/replicas".to_owned(), json!(1), "1 replicas"),
        (webhook, "/spec/strategy/rollingUpdate/maxUnavailable".to_owned(), json!(1), "a replica goes before"),
        (webhook, format!("{pod}/terminationGracePeriodSeconds"), json!(90), "killed while it drains"),
        (webhook, format!("{pod}/priorityClassName"), json!(null), "no priority class"),
        (webhook, format!("{pod}/nodeSelector"), json!({"pool": "any"}), "other systems"),
        (webhook, format!("{pod}/topologySpreadConstraints/0/topologyKey"), json!("rack"), "not spread over zones"),
        (webhook, format!("{pod}/topologySpreadConstraints/1/topologyKey"), json!("rack"), "not spread over nodes"),
        (webhook, format!("{pod}/topologySpreadConstraints/1/labelSelector/matchLabels"), json!({}), "not spread"),
        (webhook, format!("{pod}/securityContext/runAsNonRoot"), json!(false), "may run as root"),
        (webhook, format!("{pod}/securityContext/seccompProfile/type"), json!("Unconfined"), "seccomp"),
        (webhook, format!("{pod}/hostNetwork"), json!(true), "hostNetwork"),
        (webhook, format!("{pod}/volumes/0"), json!({"name": "config", "hostPath": {"path": "/"}}), "hostPath"),
        (webhook, format!("{container}/securityContext/readOnlyRootFilesystem"), json!(false), "can be written"),
        (webhook, format!("{container}/securityContext/allowPrivilegeEscalation"), json!(true), "escalation"),
        (webhook, format!("{container}/securityContext/capabilities/drop"), json!(["NET_RAW"]), "capabilities"),
        (webhook, format!("{container}/resources/limits/cpu"), json!("1"), "a CPU limit"),
        (webhook, format!("{container}/resources/limits/memory"), json!(null), "no memory limit"),
        (webhook, format!("{container}/resources/requests"), json!({}), "requests nothing"),
        (webhook, format!("{container}/command"), json!(["/bin/sh"]), "a command"),
        (webhook, format!("{container}/readinessProbe"), json!(null), "not probed"),
        (admission, "/webhooks/0/timeoutSeconds".to_owned(), json!(10), "10 s"),
        (admission, "/webhooks/1/failurePolicy".to_owned(), json!("Fail"), "Fail"),
        (admission, "/webhooks/0/sideEffects".to_owned(), json!("Some"), "dry run"),
        (admission, "/webhooks/0/clientConfig/caBundle".to_owned(), json!("Cg=="), "caBundle"),
        (admission, "/webhooks/1/rules/0/scope".to_owned(), json!("*"), "scope"),
        (
            admission,
            "/webhooks/1/namespaceSelector/matchExpressions/0/values".to_owned(),
            json!(["kube-system", "kube-node-lease"]),
            "berth-system",
        ),
    ] {
        let mut broken = good.clone();
        set(&mut broken[object], &pointer, value);
        let found = unfit(&broken, true);
        assert!(matches!(found.as_slice(), [one] if one.contains(problem)), "{pointer}: {problem} expected: {found:?}");
    }
    for name in ["berth-webhook", "berth-controller"] {
        let mut broken = good.clone();
        broken.remove(position("PodDisruptionBudget", name));
        assert_eq!(unfit(&broken, true), [format!("{name}: no budget for disruptions")]);
    }
}

/// Jobs and tests run in a namespace with restricted Pod security, too, and by commands that the program has.
#[tokio::test]
async fn hooks_are_restricted_and_run_what_there_is() {
    let hooks = objects(&templated(&[]).await.unwrap()).unwrap().into_iter();
    let hooks: Vec<_> = hooks.filter(|one| one["metadata"]["annotations"]["helm.sh/hook"].is_string()).collect();
    let pods = hooks.iter().filter_map(|one| match one["kind"].as_str().unwrap() {
        "Job" => Some(&one["spec"]["template"]["spec"]),
        "Pod" => Some(&one["spec"]),
        _ => None,
    });
    let mut commands = Vec::new();
    for pod in pods {
        assert_eq!(restricted(pod), Vec::<String>::new(), "{pod}");
        let arguments: Vec<String> = serde_json::from_value(pod["containers"][0]["args"].clone()).unwrap();
        let program = berth_tests::berth::program().await.unwrap();
        let output = Command::new(program).args(&arguments).arg("--help").output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        commands.push(arguments.join(" "));
    }
    assert_eq!(commands, ["called --wait=90s berth-system-test", "controller --uninstall"]);
    for hook in hooks {
        let annotations = &hook["metadata"]["annotations"];
        assert_eq!(annotations["helm.sh/hook-delete-policy"], "before-hook-creation,hook-succeeded", "{hook}");
    }
}

/// The image has nothing but the program, so no shell that anybody could run.
#[test]
fn the_image_has_no_shell() {
    let file = std::fs::read_to_string(path("../Dockerfile")).unwrap();
    let last: Vec<_> = file.rsplit_once("\nFROM ").unwrap().1.lines().collect();
    assert_eq!(last[0], "scratch");
    let copied: Vec<_> = last.iter().filter_map(|line| line.strip_prefix("COPY --from=build ")).collect();
    assert_eq!(copied, ["/out/berth /berth", "/out/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt"]);
    assert!(!last.iter().any(|line| line.starts_with("ADD") || line.starts_with("RUN")), "{last:?}");
}

async fn production() -> Vec<(&'static str, Vec<Value>)> {
    let helm = templated(&[&values("values-production.yaml")]).await.unwrap();
    vec![
        ("kustomize", objects(&kustomized("overlays/production").await.unwrap()).unwrap()),
        ("Helm", objects(&helm).unwrap()),
    ]
}

/// What is wrong with these manifests.
fn unfit(objects: &[Value], zones: bool) -> Vec<String> {
    let mut problems = Vec::new();
    for name in ["berth-webhook", "berth-controller"] {
        let named = |kind: &str| objects.iter().find(|one| one["kind"] == kind && one["metadata"]["name"] == name);
        let deployment = named("Deployment").unwrap_or(&Value::Null);
        let mut found = available(deployment, named("PodDisruptionBudget"), zones);
        found.extend(restricted(&deployment["spec"]["template"]["spec"]));
        problems.extend(found.into_iter().map(|problem| format!("{name}: {problem}")));
    }
    for object in objects.iter().filter(|one| one["kind"].as_str().unwrap().ends_with("WebhookConfiguration")) {
        for webhook in object["webhooks"].as_array().unwrap() {
            let found = polite(webhook).into_iter();
            problems.extend(found.map(|problem| format!("{}: {}: {problem}", title(object), webhook["name"])));
        }
    }
    problems
}

/// What of it goes down with a node, a zone or a roll-out.
fn available(deployment: &Value, budget: Option<&Value>, zones: bool) -> Vec<String> {
    let (spec, pod) = (&deployment["spec"], &deployment["spec"]["template"]["spec"]);
    let labels = &spec["selector"]["matchLabels"];
    let mut problems = Vec::new();
    let mut demand = |holds: bool, problem: &str| problems.extend((!holds).then(|| problem.to_owned()));
    let replicas = spec["replicas"].as_u64().unwrap_or(1);
    demand(replicas >= 2, &format!("{replicas} replicas"));
    demand(spec["template"]["metadata"]["labels"] == *labels, "its Pods are not its own");
    let wanted = json!({
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": { "matchLabels": labels },
    });
    demand(budget.is_some_and(|one| one["spec"] == wanted), "no budget for disruptions");
    let spread = |key: &str| {
        let constraints = pod["topologySpreadConstraints"].as_array().into_iter().flatten();
        constraints.clone().any(|one| {
            one["topologyKey"] == key && one["maxSkew"] == 1 && one["labelSelector"]["matchLabels"] == *labels
        })
    };
    demand(spread("kubernetes.io/hostname"), "not spread over nodes");
    demand(!zones || spread("topology.kubernetes.io/zone"), "not spread over zones");
    demand(pod["priorityClassName"] == "system-cluster-critical", "no priority class");
    if deployment["metadata"]["name"] == "berth-webhook" {
        let update = &spec["strategy"]["rollingUpdate"];
        demand(update["maxUnavailable"] == 0, "a replica goes before another one serves");
        let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
        demand(grace > Pauses::REVIEWS.latest.as_secs(), "killed while it drains");
    }
    for container in pod["containers"].as_array().into_iter().flatten() {
        let (limits, requests) = (&container["resources"]["limits"], &container["resources"]["requests"]);
        demand(limits["cpu"].is_null(), "a CPU limit");
        demand(limits["memory"].is_string(), "no memory limit");
        demand(requests["cpu"].is_string() && requests["memory"].is_string(), "requests nothing");
        let probed = |probe: &str, path: &str| container[probe]["httpGet"]["path"] == path;
        demand(probed("livenessProbe", "/livez") && probed("readinessProbe", "/readyz"), "not probed");
    }
    problems
}

/// What the profile `restricted` of Pod security forbids, and what else keeps it from running.
fn restricted(pod: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let mut demand = |holds: bool, problem: &str| problems.extend((!holds).then(|| problem.to_owned()));
    for host in ["hostNetwork", "hostPID", "hostIPC"] {
        demand(pod[host].is_null(), host);
    }
    demand(pod["nodeSelector"]["kubernetes.io/os"] == "linux", "it may come to nodes of other systems");
    let context = &pod["securityContext"];
    let nobody = context["runAsNonRoot"] == true && context["runAsUser"].as_u64().is_some_and(|user| user > 0);
    demand(nobody, "may run as root");
    demand(context["seccompProfile"]["type"] == "RuntimeDefault", "no seccomp profile");
    for volume in pod["volumes"].as_array().into_iter().flatten() {
        demand(volume["hostPath"].is_null(), "a hostPath");
    }
    for container in pod["containers"].as_array().into_iter().flatten() {
        let context = &container["securityContext"];
        demand(context["allowPrivilegeEscalation"] == false, "privilege escalation");
        demand(context["privileged"].is_null(), "privileged");
        demand(context["readOnlyRootFilesystem"] == true, "its root can be written");
        demand(context["capabilities"] == json!({ "drop": ["ALL"] }), "capabilities");
        demand(container["command"].is_null(), "a command other than the image's");
    }
    problems
}

/// What of a webhook holds up others.
fn polite(webhook: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let mut demand = |holds: bool, problem: &str| problems.extend((!holds).then(|| problem.to_owned()));
    let timeout = webhook["timeoutSeconds"].as_u64().unwrap_or(10);
    demand(timeout <= 5, &format!("{timeout} s"));
    demand(webhook["failurePolicy"] == "Ignore", "Fail");
    demand(webhook["sideEffects"] == "None", "not called in a dry run");
    demand(webhook["clientConfig"]["caBundle"].is_null(), "a caBundle");
    for rule in webhook["rules"].as_array().into_iter().flatten() {
        demand(rule["scope"] == "Namespaced", "the scope");
    }
    let expressions = webhook["namespaceSelector"]["matchExpressions"].as_array();
    let spared = expressions.into_iter().flatten().find(|one| one["key"] == "kubernetes.io/metadata.name");
    let spared = spared.filter(|one| one["operator"] == "NotIn").map(|one| &one["values"]);
    for namespace in ["kube-system", "kube-node-lease", "berth-system"] {
        let is_spared =
            spared.and_then(Value::as_array).is_some_and(|names| names.iter().any(|name| name == namespace));
        demand(is_spared, namespace);
    }
    problems
}

/// Writes `value` at `pointer`; its parent is there.
fn set(object: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = object.pointer_mut(parent).unwrap();
    match key.parse::<usize>() {
        Ok(index) => parent[index] = value,
        Err(_) => parent[key] = value,
    }
}
