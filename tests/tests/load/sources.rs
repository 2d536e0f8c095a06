//! Where images come from. Docker and Podman are stand-ins, first on the path.

use std::{env, fs};

use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    Ran, archive, berth,
    importer::{Importer, script, sum},
    loaded, nodes,
};

/// A folder with programs, and `berth` that finds them first.
async fn with(programs: &TempDir, words: &[&str]) -> Command {
    let path = format!("{}:{}", programs.path().display(), env::var("PATH").unwrap());
    let mut command = berth(words).await;
    command.env("PATH", path);
    command
}

/// A stand-in for Docker or Podman that has the images whose archives lie in its folder.
fn engine(programs: &TempDir, name: &str, save: &str) {
    let text = format!(
        r#"#!/bin/sh
folder=$(dirname "$0")/{name}.images
case "$*" in
"image inspect --format {{{{.Id}}}} "*) test -e "$folder/$5" || {{ echo "Error: No such image: $5" >&2; exit 1; }} ;;
"{save} "*) for image; do :; done; cat "$folder/$image" ;;
*) echo "unknown: $*" >&2; exit 125 ;;
esac
"#
    );
    script(&programs.path().join(name), &text);
    fs::create_dir(programs.path().join(format!("{name}.images"))).unwrap();
}

fn engines() -> TempDir {
    let programs = tempfile::tempdir().unwrap();
    engine(&programs, "docker", "save");
    engine(&programs, "podman", "save --format docker-archive");
    programs
}

#[tokio::test]
async fn the_engine_that_has_the_image_gives_it() {
    let (importer, programs, names) = (Importer::new(), engines(), nodes("engine", &["a"]).await);
    let via = importer.via();
    let words = |image: &'static str| ["load", image, "--via", &via, "--node", &names[0]].map(str::to_owned);
    for (engine, image) in [("docker", "app:docker"), ("podman", "localhost/app:podman")] {
        let file = programs.path().join(format!("{engine}.images")).join(image);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        archive(&file, engine, &[image]).await;
        let words = words(image);
        let ran = Ran::of(with(&programs, &words.each_ref().map(String::as_str)).await).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.err.to_lowercase().contains(&format!(" from {engine}, to one node")), "{ran:?}");
        assert_eq!(importer.got(&names[0]), Some(sum(&fs::read(&file).unwrap())));
    }
    let words = words("nobody:1");
    let ran = Ran::of(with(&programs, &words.each_ref().map(String::as_str)).await).await;
    let want = "berth: nobody:1 was found nowhere; --from FILE takes an archive\n  docker: Error: No such image: nobody:1\n  \
                podman: Error: No such image: nobody:1\n";
    assert_eq!((ran.code, ran.err.as_str()), (Some(69), want));
}

#[tokio::test]
async fn what_cannot_be_used_reaches_no_node() {
    let (importer, programs, names) = (Importer::new(), engines(), nodes("useless", &["a", "b"]).await);
    let via = importer.via();
    archive(&importer.path("localhost.tar"), "one", &["localhost/app:x"]).await;
    archive(&importer.path("good.tar"), "one", &["app:x"]).await;
    let whole = fs::read(importer.path("good.tar")).unwrap();
    fs::write(importer.path("cut.tar"), &whole[..whole.len() / 2]).unwrap();
    fs::write(importer.path("text"), "hello").unwrap();
    fs::write(programs.path().join("podman.images/app:x"), &whole[..whole.len() / 2]).unwrap();
    script(&programs.path().join("docker"), "#!/bin/sh\nhead -c 4096 /dev/zero\necho 'no such driver' >&2\nexit 1\n");
    let file = |name: &str| importer.path(name).to_str().unwrap().to_owned();
    for (image, from, via, code, why) in [
        ("app:x", file("localhost.tar"), via.as_str(), 64, "but localhost/app:x: to podman it is another image"),
        ("app:y", file("good.tar"), &via, 64, "does not have docker.io/library/app:y, but docker.io/library/app:x"),
        ("app:x", file("cut.tar"), &via, 64, "the archive is cut off"),
        ("app:x", file("text"), &via, 64, "that is no archive of images"),
        ("app:x", file("missing.tar"), &via, 64, "missing.tar cannot be read: No such file"),
        ("app:x", file(""), &via, 64, "directory"),
        ("app:x", "docker".to_owned(), &via, 69, "docker save failed with exit status: 1: no such driver"),
        ("app:x", "podman".to_owned(), &via, 64, "the archive is cut off"),
        (
            "app:x",
            file("good.tar"),
            "docker load",
            64,
            "--via would run the same command for all nodes: write {node} in it",
        ),
        ("app:x", file("good.tar"), "x '{node}", 64, "--via: a quotation mark is not closed"),
        (
            "app:x@sha256:0000000000000000000000000000000000000000000000000000000000000000",
            file("good.tar"),
            &via,
            64,
            "leave the digest out",
        ),
    ] {
        let words = ["load", image, "--from", &from, "--via", via, "-l", "test=useless"];
        let ran = Ran::of(with(&programs, &words).await).await;
        assert!(ran.code == Some(code) && ran.out.is_empty() && ran.err.contains(why), "{words:?}: {ran:?}");
        assert!(ran.err.contains("berth: ") && ran.err.lines().count() == 1, "{ran:?}");
    }
    let ran =
        Ran::of(with(&programs, &["load", "app:x", "--from", &file("good.tar"), "-l", "test=useless"]).await).await;
    assert!(
        ran.code == Some(64) && ran.err.contains("how is useless-a reached, and 1 more? Say --via COMMAND"),
        "{ran:?}"
    );
    for name in &names {
        assert!(importer.arguments(name).is_empty() && loaded(name).await.is_null());
    }
}
