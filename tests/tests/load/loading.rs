//! An image gets onto every node, and Berth knows.

use std::{fs, process::Stdio};

use berth_tests::cluster::Node;
use jiff::Timestamp;
use tokio::io::AsyncWriteExt as _;

use crate::{
    Ran, archive, berth, cluster, full,
    importer::{Importer, sum},
    loaded, nodes,
};

#[tokio::test]
async fn every_node_gets_every_byte_and_berth_knows_at_once() {
    let (importer, names) = (Importer::new(), nodes("all", &["a", "b", "c", "d", "e", "f"]).await);
    let (file, via) = (importer.path("app.tar"), importer.via());
    let image = archive(&file, "one", &["app:all", "other:1"]).await;
    let from = file.to_str().unwrap();
    let words = ["load", "app:all", "--from", from, "--via", &via, "-l", "test=all", "--parallel", "2"];
    let before = Timestamp::now();
    let ran = Ran::of(berth(&words).await).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.out.lines().count(), 6, "{ran:?}");
    assert!(ran.err.starts_with("app:all: ") && ran.err.ends_with(&format!(" from {from}, to 6 nodes\n")), "{ran:?}");
    let whole = sum(&fs::read(&file).unwrap());
    for name in &names {
        assert!(ran.out.contains(&format!("{name}: loaded in ")), "{ran:?}");
        assert_eq!(importer.got(name).as_ref(), Some(&whole));
        let label = "--label\nio.cri-containerd.pinned=pinned";
        assert_eq!(importer.arguments(name), format!("{name}\ntwo words\nctr\nimages\nimport\n{label}\n-\n"));
        let entry = &loaded(name).await[full("app:all")];
        assert_eq!(entry["id"], image.id());
        let at: Timestamp = entry["at"].as_str().unwrap().parse().unwrap();
        assert!(at >= before && at <= Timestamp::now(), "{entry}");
    }
    assert!(loaded(&names[0]).await.get(full("other:1")).is_none(), "only what was asked for");

    let asked = Ran::of(berth(&["where", "app:all", "-o", "json"]).await).await;
    let table: serde_json::Value = serde_json::from_str(&asked.out).unwrap();
    let told = table["nodes"].as_array().unwrap().iter().filter(|node| node["status"] == "told");
    assert_eq!((asked.code, told.count()), (Some(0), 6), "{table:#}");
}

#[tokio::test]
async fn an_archive_comes_by_a_pipe_and_to_the_named_nodes_only() {
    let (importer, names) = (Importer::new(), nodes("pipe", &["a", "b", "c"]).await);
    let (file, via) = (importer.path("app.tar"), importer.via());
    archive(&file, "one", &["app:pipe"]).await;
    let bytes = fs::read(&file).unwrap();
    let words =
        ["load", "app:pipe", "--from", "-", "--via", &via, "--node", &names[2], "--node", &names[0], "--no-protect"];
    let mut command = berth(&words).await;
    command.env("TMPDIR", importer.path("")).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&bytes).await.unwrap();
    drop(stdin);
    let ran = Ran::from(child.wait_with_output().await.unwrap());
    assert_eq!((ran.code, ran.out.lines().count()), (Some(0), 2), "{ran:?}");
    assert_eq!(importer.got(&names[0]), Some(sum(&bytes)));
    assert_eq!(importer.got(&names[2]), Some(sum(&bytes)));
    assert!(importer.got(&names[1]).is_none() && loaded(&names[1]).await.is_null());
    assert!(!importer.arguments(&names[0]).contains("--label"));
}

/// Pods must not be sent to a node where the build cannot run, past one where it can.
#[tokio::test]
async fn a_node_of_another_architecture_is_passed_over_unless_there_are_no_others() {
    let (importer, names) = (Importer::new(), nodes("alien", &["a"]).await);
    let alien = Node::new("alien-z").label("test", "alien").image(&["registry.k8s.io/pause:3.10"]);
    cluster().await.add(&alien.architecture("s390x")).await.unwrap();
    let (file, via) = (importer.path("app.tar"), importer.via());
    archive(&file, "one", &["app:alien"]).await;
    let load = ["load", "app:alien", "--from", file.to_str().unwrap(), "--via", &via];
    let ran = Ran::of(berth(&[&load[..], &["-l", "test=alien"]].concat()).await).await;
    assert_eq!((ran.code, ran.out.lines().count()), (Some(0), 2), "{ran:?}");
    let line = "alien-z: skipped: it is s390x, and the image is built for amd64\n";
    assert!(ran.out.starts_with(line) && ran.out.contains("alien-a: loaded in "), "{ran:?}");
    assert!(ran.err.ends_with(", to one node\n"), "{ran:?}");
    assert!(importer.got("alien-z").is_none() && loaded("alien-z").await.is_null());
    assert!(importer.got(&names[0]).is_some() && loaded(&names[0]).await.is_object());

    let ran = Ran::of(berth(&[&load[..], &["--node", "alien-z"]].concat()).await).await;
    assert!(ran.code == Some(0) && ran.out.starts_with("alien-z: loaded in "), "{ran:?}");
    assert!(ran.err.starts_with("warning: alien-z: it is s390x, "), "{ran:?}");
    assert!(importer.got("alien-z").is_some() && loaded("alien-z").await.is_object());
}

#[tokio::test]
async fn a_dry_run_prints_commands_and_does_nothing() {
    let (importer, names) = (Importer::new(), nodes("dry", &["a", "b"]).await);
    let ran = Ran::of(berth(&["load", "app:dry", "--via", &importer.via(), "-l", "test=dry", "--dry-run"]).await).await;
    let script = importer.path("importer");
    let line = |name: &String| {
        let label = "--label 'io.cri-containerd.pinned=pinned'";
        format!("{name}: {} {name} 'two words' ctr images import {label} -\n", script.display())
    };
    assert_eq!(ran.out, names.iter().map(line).collect::<String>(), "{ran:?}");
    assert!(ran.code == Some(0) && importer.arguments(&names[0]).is_empty());
}

#[tokio::test]
async fn who_loads_by_another_way_can_say_so() {
    let names = nodes("own", &["a", "b", "c"]).await;
    let id = format!("sha256:{}", "0".repeat(64));
    let ran = Ran::of(berth(&["loaded", "app:own", "--node", &names[0], "--node", &names[1], "--id", &id]).await).await;
    assert_eq!((ran.code, ran.out), (Some(0), format!("{}: told\n{}: told\n", names[0], names[1])));
    assert_eq!(loaded(&names[1]).await[full("app:own")]["id"], id);
    assert!(loaded(&names[2]).await.is_null());
    let ran = Ran::of(berth(&["loaded", "app:own", "-l", "test=own"]).await).await;
    assert_eq!((ran.code, ran.out.lines().count()), (Some(0), 3));
    assert!(loaded(&names[1]).await[full("app:own")].get("id").is_none(), "the newest word counts");
    for (words, why) in [
        (&["loaded", "app:own"][..], "on which nodes? Say --node NAME"),
        (&["loaded", "app:own", "--node", "nobody"], "there is no node nobody"),
        (&["loaded", "app:own", "-l", "test=none"], "no node has these labels"),
        (&["loaded", "app:own", "--node", &names[0], "--id", "sha256:1"], "`sha256:1` is not a digest"),
        (&["loaded", "APP:own", "--node", &names[0]], "must be lower case"),
    ] {
        let ran = Ran::of(berth(words).await).await;
        assert!(ran.code == Some(64) && ran.out.is_empty() && ran.err.contains(why), "{words:?}: {ran:?}");
    }
}
