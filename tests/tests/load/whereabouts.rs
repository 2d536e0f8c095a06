//! `berth where`: the table of a real API server's nodes, once and while they change.

use std::{env, os::unix::fs::symlink, process::Stdio};

use anyhow::ensure;
use berth_tests::{berth::program, wait::until};
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::{Ran, berth, cluster, importer::LIMIT, nodes};

const PAUSE: &[&str] = &["registry.k8s.io/pause:3.10"];

#[tokio::test]
async fn the_table_is_the_same_from_the_cluster_and_from_a_file() {
    let (cluster, names) = (cluster().await, nodes("table", &["a", "b", "c"]).await);
    cluster.set_images(&names[1], &[&["docker.io/library/app:table"], PAUSE]).await.unwrap();
    let api: Api<Node> = Api::all(cluster.client().await.unwrap());
    let cordon = json!({ "spec": { "unschedulable": true } });
    api.patch(&names[1], &PatchParams::default(), &Patch::Merge(cordon)).await.unwrap();
    let ran = Ran::of(berth(&["where", "app:table"]).await).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let row = |name: &str| {
        let line = ran.out.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("NODE"), "STATUS READY ORIGIN SIZE SINCE DIGEST LISTED-AS");
    assert_eq!(row("table-b"), "holder Ready,SchedulingDisabled imported 976KiB - - docker.io/library/app:table");
    assert_eq!(row("table-a"), "absent Ready - - - - -");

    let listed = cluster.kubectl(&["get", "nodes", "-l", "test=table", "-o", "json"], "").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nodes.json");
    std::fs::write(&file, &listed.stdout).unwrap();
    let mut alone = berth(&["where", "app:table", "--nodes", file.to_str().unwrap()]).await;
    alone.env("KUBECONFIG", "/nowhere");
    let from_file = Ran::of(alone).await;
    let mine = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.starts_with("table-"));
        lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    assert_eq!(mine(&from_file.out), mine(&ran.out));
    assert_eq!(from_file.out.lines().count(), 4);

    let missing = Ran::of(berth(&["where", "app:nowhere", "--nodes", file.to_str().unwrap()]).await).await;
    let why = "no node is known to hold docker.io/library/app:nowhere\n";
    assert_eq!((missing.code, missing.err.as_str(), missing.out.lines().count()), (Some(1), why, 4));
    let mut unreachable = berth(&["where", "app:table"]).await;
    let kubeconfig = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
    let other = folder.path().join("kubeconfig");
    std::fs::write(&other, kubeconfig.replace(cluster.server(), "https://127.0.0.1:1")).unwrap();
    unreachable.env("KUBECONFIG", &other);
    let ran = Ran::of(unreachable).await;
    assert!(ran.code == Some(69) && ran.err.contains("Connection refused"), "{ran:?}");
}

#[tokio::test]
async fn what_changes_is_appended_into_a_pipe() {
    let (cluster, names) = (cluster().await, nodes("change", &["a", "b"]).await);
    let (mut child, mut lines) = watch(&["where", "app:change", "--watch"]).await;
    assert!(next(&mut lines, "NODE").await.contains("STATUS"));
    assert!(next(&mut lines, "change-a ").await.contains(" absent "));
    next(&mut lines, "change-b ").await;
    let app: &[&str] = &["docker.io/library/app:change"];
    cluster.set_images(&names[1], &[app, PAUSE]).await.unwrap();
    let row = next(&mut lines, "change-b ").await;
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!((cells[1], cells[3], cells[7]), ("holder", "imported", app[0]));
    let since: jiff::Timestamp = cells[5].parse().unwrap();
    assert!(jiff::Timestamp::now().duration_since(since).as_secs() < 30, "by our own watch: {row}");
    let told = Ran::of(berth(&["loaded", "app:change", "--node", &names[0]]).await).await;
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(next(&mut lines, "change-a ").await.contains(" told "));
    cluster.set_images(&names[1], &[PAUSE]).await.unwrap();
    assert!(next(&mut lines, "change-b ").await.contains(" absent "));
    let api: Api<Node> = Api::all(cluster.client().await.unwrap());
    api.delete(&names[1], &DeleteParams::default()).await.unwrap();
    assert!(next(&mut lines, "change-b ").await.contains(" gone "));
    assert_eq!(interrupted(&mut child).await, Some(0));
}

#[tokio::test]
async fn json_comes_a_line_for_each_change() {
    let (cluster, names) = (cluster().await, nodes("line", &["a"]).await);
    let (mut child, mut lines) = watch(&["where", "app:line", "-w", "-o", "json"]).await;
    let parse = |line: String| serde_json::from_str::<Value>(&line).unwrap();
    let first = parse(
        next(&mut lines, r#"{"cordoned":false,"digest":null,"imageID":null,"name":null,"names":[],"node":"line-a""#)
            .await,
    );
    assert_eq!(first["status"], "absent");
    cluster.set_images(&names[0], &[&["docker.io/library/app:line"], PAUSE]).await.unwrap();
    let changed = loop {
        let line = parse(next(&mut lines, "{").await);
        if line["node"] == "line-a" {
            break line;
        }
    };
    assert_eq!((&changed["status"], &changed["since"].is_string()), (&json!("holder"), &true), "{changed}");
    assert_eq!(interrupted(&mut child).await, Some(0));
}

#[tokio::test]
async fn whoever_reads_no_more_ends_it() {
    let (cluster, names) = (cluster().await, nodes("head", &["a"]).await);
    let (mut child, mut lines) = watch(&["where", "app:head", "--watch"]).await;
    next(&mut lines, "head-a ").await;
    drop(lines);
    cluster.set_images(&names[0], &[&["docker.io/library/app:head"], PAUSE]).await.unwrap();
    assert_eq!(timeout(LIMIT, child.wait()).await.unwrap().unwrap().code(), Some(0));
}

#[tokio::test]
async fn kubectl_has_it_as_a_plugin() {
    let (cluster, _) = (cluster().await, nodes("plugin", &["a"]).await);
    let folder = tempfile::tempdir().unwrap();
    symlink(program().await.unwrap(), folder.path().join("kubectl-berth")).unwrap();
    let kubectl = async |words: &[&str]| {
        let mut command = Command::new(cluster.kubectl_path());
        command.args(words).env("KUBECONFIG", cluster.kubeconfig());
        command.env("PATH", format!("{}:{}", folder.path().display(), env::var("PATH").unwrap()));
        Ran::of(command).await
    };
    let ran = kubectl(&["berth", "where", "app:plugin"]).await;
    assert!(ran.code == Some(1) && ran.out.contains("\nplugin-a "), "{ran:?}");
    let help = kubectl(&["berth", "load", "--help"]).await;
    assert!(help.out.contains("Usage: kubectl berth load [OPTIONS] <IMAGE>"), "{help:?}");
}

async fn watch(words: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut command = berth(words).await;
    command.stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

/// The next line that begins so; other tests change nodes as well.
async fn next(lines: &mut Lines<BufReader<ChildStdout>>, start: &str) -> String {
    let find = async {
        loop {
            let line = lines.next_line().await.unwrap().unwrap();
            if line.starts_with(start) {
                return line;
            }
        }
    };
    timeout(LIMIT, find).await.unwrap_or_else(|_| unreachable!("no line begins with {start}"))
}

async fn interrupted(child: &mut Child) -> Option<i32> {
    let id = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    kill_process(id, Signal::INT).unwrap();
    let ended = until("it has ended", LIMIT, async || {
        let status = child.try_wait()?;
        ensure!(status.is_some(), "it runs");
        Ok(status)
    });
    ended.await.unwrap().and_then(|status| status.code())
}
