//! The rights of both `ServiceAccounts` are those that the real programs use: the API server writes down what they ask
//! for while they do all they ever do, and every right is used and nothing is denied.

use std::{collections::BTreeSet, fs, process::Command};

use anyhow::{Context as _, ensure};
use berth_tests::{
    berth::program,
    cluster::{Cluster, Node, Options},
    manifests::{SYSTEM, kustomized, objects},
    processes::{Folder, Process},
    wait::until,
};
use serde_json::{Value, json};

use super::LIMIT;

/// A right, or a request: `list leases/berth-controller`.
type Right = String;

#[tokio::test]
async fn every_right_is_used_and_no_request_is_denied() {
    let folder = Folder::new("used").unwrap();
    let cluster = audited(&folder).await.unwrap();
    cluster.apply(&kustomized("base").await.unwrap()).await.unwrap();
    let local = "host: localhost:5001\nhostFromClusterNetwork: 127.0.0.1:1\n";
    let local = json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": { "localRegistryHosting.v1": local },
        "metadata": { "name": "local-registry-hosting", "namespace": "kube-public" } });
    cluster.apply(&local.to_string()).await.unwrap();
    cluster.add(&Node::new("first").image(&["docker.io/library/other:dev"])).await.unwrap();
    in_force(&cluster).await.unwrap();
    let _webhook = start(&cluster, &folder, "webhook", &["--listen", "127.0.0.1:0"]).await.unwrap();
    let _controller = start(&cluster, &folder, "controller", &[]).await.unwrap();

    wait_and_go(&cluster).await.unwrap();
    certificate(&cluster).await.unwrap();
    let mut uninstall = berth(&cluster, &folder, "controller").await.unwrap();
    let output = tokio::task::spawn_blocking(move || uninstall.args(["controller", "--uninstall"]).output());
    assert!(output.await.unwrap().unwrap().status.success());

    let mut summary = Vec::new();
    for account in ["berth-webhook", "berth-controller"] {
        let granted = granted(account).await.unwrap();
        let unused = until("every right is used", LIMIT, async || {
            let used = used(&folder, account)?;
            let unused: Vec<_> = granted.difference(&used).cloned().collect();
            ensure!(unused.is_empty(), "{account} never uses {unused:?}; it asked for {used:?}");
            Ok(())
        });
        unused.await.unwrap();
        assert_eq!(denied(&folder, account).unwrap(), Vec::<String>::new(), "{account}");
        summary.push(format!("{account} uses its {} rights", granted.len()));
    }
    println!("{}", summary.join(", "));
}

/// Waits until the API server knows the roles: it learns of them in its own time.
async fn in_force(cluster: &Cluster) -> anyhow::Result<()> {
    for (account, verb, what, namespace) in [
        ("berth-webhook", "list", "nodes", "default"),
        ("berth-webhook", "list", "secrets/berth-tls", SYSTEM),
        ("berth-webhook", "list", "configmaps/local-registry-hosting", "kube-public"),
        ("berth-controller", "list", "pods", "default"),
        ("berth-controller", "create", "secrets", SYSTEM),
    ] {
        let user = format!("--as=system:serviceaccount:{SYSTEM}:{account}");
        until(&format!("{account} may {verb} {what}"), LIMIT, async || {
            let asked = cluster.kubectl(&["auth", "can-i", verb, what, "--namespace", namespace, &user], "").await?;
            ensure!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stdout));
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Pods of a Deployment, of a Job and alone wait for an image, are spoken of in Events, and go on when a node has it.
async fn wait_and_go(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.namespace("shop", &[]).await?;
    let labels = json!({ "app": "web", "berth.dev/gated": "true" });
    let spec = json!({
        "containers": [{ "name": "main", "image": "web:dev", "imagePullPolicy": "Never" }],
        "schedulingGates": [{ "name": "berth.dev/image-on-node" }],
    });
    let template = json!({ "metadata": { "labels": labels }, "spec": spec });
    let mut once = template.clone();
    once["spec"]["restartPolicy"] = json!("Never");
    let selector = json!({ "matchLabels": { "app": "web" } });
    let deployment = |replicas: u32| {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": "shop" },
            "spec": { "replicas": replicas, "selector": selector, "template": template },
        })
    };
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "job", "namespace": "shop" },
        "spec": { "template": { "metadata": { "labels": { "berth.dev/gated": "true" } }, "spec": once["spec"] } },
    });
    cluster.apply(&deployment(1).to_string()).await?;
    cluster.apply(&job.to_string()).await?;
    said(cluster, "Deployment", 1).await?;
    // The same of one more Pod is counted at the Event of its owner.
    cluster.apply(&deployment(2).to_string()).await?;
    said(cluster, "Deployment", 2).await?;
    cluster.add(&Node::new("second").image(&["docker.io/library/web:dev"])).await?;
    until("all gates are open", LIMIT, async || {
        let pods = cluster.kubectl(&["get", "pods", "-n", "shop", "-l", "berth.dev/gated", "-o", "name"], "").await?;
        ensure!(pods.stdout.is_empty(), "{}", String::from_utf8_lossy(&pods.stdout));
        Ok(())
    })
    .await
}

/// Waits for an Event on this kind of owner, about so many Pods.
async fn said(cluster: &Cluster, kind: &str, pods: u64) -> anyhow::Result<()> {
    until(&format!("an Event on the {kind} counts {pods}"), LIMIT, async || {
        let arguments = ["get", "events.events.k8s.io", "-n", "shop", "-o", "json"];
        let events: Value = serde_json::from_slice(&cluster.kubectl(&arguments, "").await?.stdout)?;
        let ours = events["items"].as_array().context("a list")?.iter();
        let mut ours = ours.filter(|one| one["reportingController"] == "berth.dev/controller");
        let count = |one: &Value| one["series"]["count"].as_u64().unwrap_or(1);
        ensure!(ours.any(|one| one["regarding"]["kind"] == kind && count(one) == pods), "{events}");
        Ok(())
    })
    .await
}

/// Waits for a certificate, breaks it, and waits for the next one; the bundle is wiped as well.
async fn certificate(cluster: &Cluster) -> anyhow::Result<()> {
    let bundle =
        ["get", "mutatingwebhookconfiguration", "zz-berth.dev", "-o", "jsonpath={.webhooks[0].clientConfig.caBundle}"];
    let published = async || {
        let output = cluster.kubectl(&bundle, "").await?;
        ensure!(!output.stdout.is_empty(), "there is no caBundle");
        Ok(())
    };
    until("the bundle is published", LIMIT, published).await?;
    let leaf = ["get", "secret", "berth-tls", "-n", SYSTEM, "-o", "jsonpath={.data.tls\\.crt}"];
    let first = until("there is a certificate", LIMIT, async || {
        let output = cluster.kubectl(&leaf, "").await?.stdout;
        ensure!(!output.is_empty(), "there is none");
        Ok(output)
    })
    .await?;
    let garbage = "{\"data\": {\"tls.crt\": \"Cg==\"}}";
    cluster.kubectl(&["patch", "secret", "berth-tls", "-n", SYSTEM, "--type=merge", "-p", garbage], "").await?;
    until("there is another certificate", LIMIT, async || {
        let output = cluster.kubectl(&leaf, "").await?.stdout;
        ensure!(output.len() > 100 && output != first, "it is the old one, or none");
        Ok(())
    })
    .await
}

/// `berth` with the rights of a `ServiceAccount`.
async fn berth(cluster: &Cluster, folder: &Folder, subcommand: &str) -> anyhow::Result<Command> {
    let user = format!("system:serviceaccount:{SYSTEM}:berth-{subcommand}");
    let kubeconfig = cluster.authority().kubeconfig(cluster.server(), &user, None)?;
    let mut command = Command::new(program().await?);
    command.env("KUBECONFIG", folder.write(&format!("{subcommand}.kubeconfig"), kubeconfig)?);
    Ok(command)
}

async fn start(cluster: &Cluster, folder: &Folder, subcommand: &str, more: &[&str]) -> anyhow::Result<Process> {
    let configuration = "apiVersion: berth.dev/v1alpha1\nkind: Configuration\nprofile: dev\n";
    let mut command = berth(cluster, folder, subcommand).await?;
    command.arg(subcommand).arg("--config").arg(folder.write("config.yaml", configuration)?);
    command.args(["--status-listen", "127.0.0.1:0"]).args(more);
    Process::spawn(subcommand, &command, folder.path())
}

/// A cluster that writes down what the two accounts ask for.
async fn audited(folder: &Folder) -> anyhow::Result<Cluster> {
    let users = ["berth-webhook", "berth-controller"].map(|name| format!("system:serviceaccount:{SYSTEM}:{name}"));
    let rules =
        json!([{ "level": "Metadata", "users": users, "omitStages": ["RequestReceived"] }, { "level": "None" }]);
    let policy = json!({ "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules }).to_string();
    let flags = vec![
        format!("--audit-policy-file={}", folder.write("policy.yaml", policy)?.display()),
        format!("--audit-log-path={}", log(folder)),
    ];
    Cluster::start_with(&Options { api_server: flags, ..Options::default() }).await
}

fn log(folder: &Folder) -> String {
    folder.path().join("audit.log").display().to_string()
}

/// What the API server has written down about `account`.
fn entries(folder: &Folder, account: &str) -> anyhow::Result<Vec<Value>> {
    let user = format!("system:serviceaccount:{SYSTEM}:{account}");
    let text = fs::read_to_string(log(folder))?;
    let complete = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
    let entries = complete.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    Ok(entries.into_iter().filter(|entry| entry["user"]["username"] == *user).collect())
}

fn used(folder: &Folder, account: &str) -> anyhow::Result<BTreeSet<Right>> {
    let entries = entries(folder, account)?;
    let rights =
        entries.iter().filter(|entry| entry["responseStatus"]["code"].as_u64() != Some(403)).flat_map(|entry| {
            let part = |key: &str| entry["objectRef"][key].as_str().unwrap_or_default();
            let verb = entry["verb"].as_str().unwrap_or_default();
            let resource = [part("resource"), part("subresource")].join("/");
            let resource = resource.trim_end_matches('/');
            [format!("{verb} {resource}"), format!("{verb} {resource}/{}", part("name"))]
        });
    Ok(rights.collect())
}

/// What it was denied. What a policy refuses is not in it.
fn denied(folder: &Folder, account: &str) -> anyhow::Result<Vec<String>> {
    let entries = entries(folder, account)?.into_iter();
    Ok(entries.filter(|entry| entry["responseStatus"]["code"] == 403).map(|entry| entry.to_string()).collect())
}

/// What the roles say that are bound to `account`.
async fn granted(account: &str) -> anyhow::Result<BTreeSet<Right>> {
    let objects = objects(&kustomized("base").await?)?;
    let bound = objects.iter().filter(|one| one["subjects"][0]["name"] == account).map(|one| {
        (one["roleRef"]["kind"].clone(), one["roleRef"]["name"].clone(), one["metadata"]["namespace"].clone())
    });
    let mut rights = BTreeSet::new();
    for (kind, name, namespace) in bound {
        let role = objects.iter().find(|one| {
            one["kind"] == kind && one["metadata"]["name"] == name && one["metadata"]["namespace"] == namespace
        });
        let rules = role.with_context(|| format!("{kind} {name} is bound and not there"))?["rules"].clone();
        for rule in rules.as_array().context("a role has rules")? {
            let list = |key: &str| -> Vec<String> { serde_json::from_value(rule[key].clone()).unwrap_or_default() };
            let (verbs, resources, names) = (list("verbs"), list("resources"), list("resourceNames"));
            for (verb, resource) in verbs.iter().flat_map(|verb| resources.iter().map(move |one| (verb, one))) {
                let each = names.iter().map(|name| format!("{verb} {resource}/{name}"));
                rights.extend(each.chain(names.is_empty().then(|| format!("{verb} {resource}"))));
            }
        }
    }
    ensure!(!rights.is_empty(), "{account} has no rights");
    Ok(rights)
}
