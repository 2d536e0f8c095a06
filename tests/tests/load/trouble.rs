//! Nodes that fail, stand still or vanish, rights that are missing, and a person who has changed their mind.

use std::{fs, time::Instant};

use k8s_openapi::api::core::v1::Node;
use kube::{Api, api::DeleteParams};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    Ran, archive, berth, cluster, full,
    importer::{Importer, LIMIT, gone},
    loaded, nodes,
};

#[tokio::test]
async fn one_node_that_fails_is_said_loudly_and_leaves_the_others_loaded() {
    let (importer, names) = (Importer::new(), nodes("sick", &["a", "b-fails", "c-stalls", "d"]).await);
    let (file, via) = (importer.path("app.tar"), importer.via());
    archive(&file, "one", &["app:sick"]).await;
    let from = file.to_str().unwrap();
    let words =
        ["load", "app:sick", "--from", from, "--via", &via, "-l", "test=sick", "--timeout", "2s", "--parallel", "2"];
    let began = Instant::now();
    let ran = Ran::of(berth(&words).await).await;
    assert!(began.elapsed() < LIMIT, "the one that stalls holds up nobody for ever");
    assert_eq!(ran.code, Some(69), "{ran:?}");
    assert!(ran.out.contains("sick-a: loaded in ") && ran.out.contains("sick-d: loaded in "), "{ran:?}");
    let failed = "sick-b-fails: FAILED: exit status: 3: ctr: failed to extract layer: no space left on device\n";
    assert!(ran.out.contains(failed), "{ran:?}");
    assert!(ran.out.contains("sick-c-stalls: FAILED: nothing moved for 2 s (see --timeout)\n"), "{ran:?}");
    let summary = "berth: app:sick: 2 of 4 nodes FAILED: sick-b-fails, sick-c-stalls\n";
    assert!(ran.err.ends_with(summary), "{ran:?}");
    let told = [loaded(&names[0]).await, loaded(&names[3]).await];
    assert!(told.iter().all(|told| told.get(full("app:sick")).is_some()));
    assert!(loaded(&names[1]).await.is_null() && loaded(&names[2]).await.is_null());
    gone(importer.running(&names[2]).await).await;
}

#[tokio::test]
async fn a_node_that_is_deleted_meanwhile_is_told_of() {
    let (importer, names) = (Importer::new(), nodes("fleeting", &["a", "b-waits"]).await);
    let (file, via) = (importer.path("app.tar"), importer.via());
    archive(&file, "one", &["app:fleeting"]).await;
    let words = ["load", "app:fleeting", "--from", file.to_str().unwrap(), "--via", &via, "-l", "test=fleeting"];
    let running = berth(&words).await.spawn().unwrap();
    importer.running(&names[1]).await;
    let api: Api<Node> = Api::all(cluster().await.client().await.unwrap());
    api.delete(&names[1], &DeleteParams::default()).await.unwrap();
    importer.go_on();
    let ran = Ran::from(running.wait_with_output().await.unwrap());
    assert_eq!(ran.code, Some(69), "{ran:?}");
    let gone = "fleeting-b-waits: loaded, but Berth could not be told: the node is gone from the cluster\n";
    assert!(ran.out.contains(gone) && ran.out.contains("fleeting-a: loaded in "), "{ran:?}");
    assert!(loaded(&names[0]).await.get(full("app:fleeting")).is_some());
}

#[tokio::test]
async fn missing_rights_are_named() {
    let (importer, names, cluster) = (Importer::new(), nodes("rights", &["a"]).await, cluster().await);
    let rights = serde_json::json!({
        "apiVersion": "v1", "kind": "List", "items": [
            {
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": "sees-nodes" },
                "rules": [{ "apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list"] }],
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
                "metadata": { "name": "sees-nodes" },
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "sees-nodes" },
                "subjects": [{ "kind": "User", "name": "reader", "apiGroup": "rbac.authorization.k8s.io" }],
            },
        ],
    });
    cluster.apply(&rights.to_string()).await.unwrap();
    let (file, via) = (importer.path("app.tar"), importer.via());
    archive(&file, "one", &["app:rights"]).await;
    let kubeconfig = |user: &str| {
        let path = importer.path(user);
        fs::write(&path, cluster.authority().kubeconfig(cluster.server(), user, None).unwrap()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (reader, nobody) = (kubeconfig("reader"), kubeconfig("nobody"));

    let from = file.to_str().unwrap();
    let words = ["load", "app:rights", "--from", from, "--via", &via, "--node", &names[0], "--kubeconfig", &reader];
    let ran = Ran::of(berth(&words).await).await;
    let want = "rights-a: loaded, but Berth could not be told: nodes \"rights-a\" is forbidden: User \"reader\" cannot patch \
                resource \"nodes\" in API group \"\" at the cluster scope\n";
    assert_eq!((ran.code, ran.out.as_str()), (Some(69), want), "{ran:?}");
    let ran = Ran::of(berth(&["loaded", "app:rights", "--node", &names[0], "--kubeconfig", &reader]).await).await;
    assert!(ran.code == Some(69) && ran.out.contains("cannot patch resource \"nodes\""), "{ran:?}");

    for words in [&["where", "app:rights"][..], &["load", "app:rights"], &["loaded", "app:rights", "--node", "x"]] {
        let ran = Ran::of(berth(&[words, &["--kubeconfig", &nobody]].concat()).await).await;
        let why = "nodes is forbidden: User \"nobody\" cannot list resource \"nodes\" in API group \"\" at the cluster scope\n";
        assert!(ran.code == Some(69) && ran.out.is_empty() && ran.err.ends_with(why), "{words:?}: {ran:?}");
    }
    let ran = Ran::of(berth(&["where", "app:rights", "--context", "no-such"]).await).await;
    assert!(ran.code == Some(64) && ran.err.contains("no-such"), "{ran:?}");
    let ran = Ran::of(berth(&["where", "app:rights", "--context", "berth-tests", "--kubeconfig", &reader]).await).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
}

#[tokio::test]
async fn an_interrupt_ends_the_children_and_leaves_nothing() {
    let (importer, names) = (Importer::new(), nodes("interrupt", &["a", "b-stalls", "c-stalls"]).await);
    let (file, via, spool) = (importer.path("app.tar"), importer.via(), tempfile::tempdir().unwrap());
    archive(&file, "one", &["app:interrupt"]).await;
    for (signal, name) in [(Signal::INT, "SIGINT"), (Signal::TERM, "SIGTERM")] {
        let words = ["load", "app:interrupt", "--from", "-", "--via", &via, "-l", "test=interrupt"];
        let mut command = berth(&words).await;
        command.env("TMPDIR", spool.path()).stdin(fs::File::open(&file).unwrap());
        let running = command.spawn().unwrap();
        let children = [importer.running(&names[1]).await, importer.running(&names[2]).await];
        kill(running.id().unwrap(), signal);
        let ran = Ran::from(running.wait_with_output().await.unwrap());
        assert_eq!(ran.code, Some(69), "{ran:?}");
        assert!(ran.err.ends_with(&format!("berth: {name}: nodes without a result were not loaded\n")), "{ran:?}");
        for child in children {
            gone(child).await;
        }
        assert!(fs::read_dir(spool.path()).unwrap().next().is_none());
        for name in &names[1..] {
            assert!(loaded(name).await.is_null());
            fs::remove_file(importer.path(&format!("{name}.id"))).unwrap();
        }
    }
    // Also while the archive comes in, from somebody who does not go on.
    let mut command = berth(&["load", "app:interrupt", "--from", "-", "--via", &via, "-l", "test=interrupt"]).await;
    command.env("TMPDIR", spool.path()).stdin(std::process::Stdio::piped());
    let mut running = command.spawn().unwrap();
    let _open = running.stdin.take();
    tokio::time::sleep(std::time::Duration::from_secs(2)).await; // it is ready for signals before it asks the cluster
    kill(running.id().unwrap(), Signal::INT);
    assert_eq!(Ran::from(running.wait_with_output().await.unwrap()).code, Some(69));
}

fn kill(process: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(process).unwrap()).unwrap(), signal).unwrap();
}
