use std::{
    io::{Cursor, Write as _},
    iter,
};

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A tar archive of these files.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let entries = files.iter().flat_map(|(name, content)| entry(name, b'0', content));
    entries.chain(iter::repeat_n(0, 1024)).collect()
}

fn entry(name: &str, kind: u8, content: &[u8]) -> Vec<u8> {
    let padding = content.len().wrapping_neg() % 512;
    [&header(name, kind, &format!("{:011o}", content.len())), content, &vec![0; padding]].concat()
}

fn header(name: &str, kind: u8, size: &str) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[124..124 + size.len()].copy_from_slice(size.as_bytes());
    block[156] = kind;
    block[257..263].copy_from_slice(b"ustar\0");
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn config(architecture: &str) -> Vec<u8> {
    json!({ "architecture": architecture, "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] } })
        .to_string()
        .into()
}

fn manifest(tags: &Value) -> Vec<u8> {
    json!([{ "Config": "c.json", "RepoTags": tags, "Layers": ["a/layer.tar"] }]).to_string().into()
}

/// As `docker save` wrote it before version 25, and as podman does.
fn docker(tags: &Value) -> Vec<u8> {
    let layer = vec![7; 10_000];
    tar(&[("a/layer.tar", &layer), ("c.json", &config("amd64")), ("manifest.json", &manifest(tags))])
}

/// An OCI layout whose index has one image for two platforms, with these annotations.
fn layout(annotations: &Value) -> Vec<u8> {
    let name = |bytes: &[u8]| format!("blobs/sha256/{}", &Digest::of(bytes).as_str()[7..]);
    let (amd, arm) = (config("amd64"), config("arm64"));
    let attestation = config("unknown");
    let manifests: Vec<Vec<u8>> = [&amd, &arm, &attestation]
        .map(|config| json!({ "config": { "digest": Digest::of(config).as_str() } }).to_string().into())
        .into();
    let digests: Vec<Value> =
        manifests.iter().map(|bytes| json!({ "digest": Digest::of(bytes).as_str(), "annotations": null })).collect();
    let image: Vec<u8> = json!({ "manifests": digests }).to_string().into();
    let index = json!({ "manifests": [{ "digest": Digest::of(&image).as_str(), "annotations": annotations }] });
    let blobs = [&amd, &arm, &attestation, &image].into_iter().chain(&manifests);
    let mut files: Vec<(String, Vec<u8>)> = blobs.map(|bytes| (name(bytes), bytes.clone())).collect();
    files.push(("index.json".to_owned(), index.to_string().into()));
    files.push(("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
    files.push(("manifest.json".to_owned(), manifest(&json!(["other:1"]))));
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    tar(&files)
}

/// The architectures of the builds of `image`, or why there are none.
#[track_caller]
fn check(archive: &[u8], image: &str, want: Result<&[&str], &str>) {
    let archive = Archive::read(archive);
    let image: Reference = image.parse().unwrap();
    let got = archive.and_then(|archive| {
        let builds = archive.builds(&image)?;
        assert!(builds.iter().all(|build| build.id == Digest::of(&config(&build.architecture))));
        Ok(builds.iter().map(|build| build.architecture.clone()).collect::<Vec<_>>())
    });
    let want = want.map(|names| names.iter().map(ToString::to_string).collect()).map_err(str::to_owned);
    assert_eq!(got.map_err(|error| error.to_string()), want);
}

#[test]
fn what_docker_saves_is_found_by_every_spelling() {
    let archive = docker(&json!(["webapp:dev", "localhost/tool:latest"]));
    check(&archive, "webapp:dev", Ok(&["amd64"]));
    check(&archive, "docker.io/library/webapp:dev", Ok(&["amd64"]));
    check(&archive, "localhost/tool", Ok(&["amd64"]));
    check(&gzip(&archive), "webapp:dev", Ok(&["amd64"]));
    let dotted = tar(&[
        ("./c.json", &config("arm64")),
        ("./manifest.json", b"[{\"Config\":\"c.json\",\"RepoTags\":[\"a:1\"]}]"),
    ]);
    check(&dotted, "a:1", Ok(&["arm64"]));
}

#[test]
fn an_oci_layout_counts_by_the_name_that_containerd_gives_it() {
    let full = json!({ IMAGE_NAME: "docker.io/library/webapp:dev", REF_NAME: "dev" });
    check(&layout(&full), "webapp:dev", Ok(&["amd64", "arm64"]));
    check(&layout(&json!({ REF_NAME: "docker.io/library/webapp:dev" })), "webapp:dev", Ok(&["amd64", "arm64"]));
    check(
        &layout(&full),
        "other:1",
        Err("the archive does not have docker.io/library/other:1, but docker.io/library/webapp:dev"),
    );
    let unusable = "the archive calls it webapp:dev: nodes would list it, and kubelets would still not find it. Save it as \
                    docker.io/library/webapp:dev, with `docker save` or `podman save --format docker-archive`";
    check(&layout(&json!({ REF_NAME: "webapp:dev" })), "webapp:dev", Err(unusable));
    let only_tag = layout(&json!({ REF_NAME: "dev" }));
    check(&only_tag, "webapp:dev", Err("the archive does not have docker.io/library/webapp:dev, but dev"));
    let nameless = "the archive does not have docker.io/library/webapp:dev, nor any other image with a name: save it by \
                    name, not by ID";
    check(&layout(&json!({})), "webapp:dev", Err(nameless));
    check(&layout(&Value::Null), "webapp:dev", Err(nameless));
}

#[test]
fn podmans_names_are_explained() {
    let want = "the archive does not have docker.io/library/webapp:dev, but localhost/webapp:dev: to podman it is another \
                image. Load localhost/webapp:dev and name that in Pods, or `podman tag localhost/webapp:dev \
                docker.io/library/webapp:dev`";
    check(&docker(&json!(["localhost/webapp:dev"])), "webapp:dev", Err(want));
}

#[test]
fn what_is_no_whole_archive_is_refused() {
    let no_tar = "that is no archive of images: neither a tar archive nor one that is gzipped";
    for bytes in [&b""[..], b"hello", &[0; 2048], &[7; 2048], &gzip(b""), b"\x1f\x8b"] {
        let want = if bytes == b"\x1f\x8b" { CUT } else { no_tar };
        check(bytes, "a:1", Err(want));
    }
    let archive = docker(&json!(["a:1"]));
    let zipped = gzip(&archive);
    for length in [600, 5_000, archive.len() - 1024 - 300] {
        check(&archive[..length], "a:1", Err(CUT));
    }
    for length in [1, 10, zipped.len() / 2, zipped.len() - 1] {
        let error = Archive::read(&zipped[..length]).unwrap_err();
        assert!(matches!(error, ArchiveError::Truncated | ArchiveError::NoTar), "{length}: {error}");
    }
    check(&tar(&[("c.json", &config("amd64"))]), "a:1", Err(&ArchiveError::NoImages.to_string()));
    check(&tar(&[("oci-layout", b"{}"), ("manifest.json", b"[]")]), "a:1", Err(&ArchiveError::NoImages.to_string()));
    check(
        &tar(&[("manifest.json", &manifest(&json!(["a:1"])))]),
        "a:1",
        Err("the archive lacks the configuration of a:1"),
    );
    check(
        b"\x28\xb5\x2f\xfd....",
        "a:1",
        Err("the archive is compressed by zstd: write `zstd -dc FILE | berth load IMAGE --from -`"),
    );
    for (name, bytes) in [("manifest.json", "[{}"), ("manifest.json", "{}"), ("index.json", "[]"), ("index.json", "")] {
        let error = Archive::read(&*tar(&[(name, bytes.as_bytes())])).unwrap_err().to_string();
        assert!(error.starts_with(&format!("the archive's {name} cannot be understood: ")), "{error}");
    }
}

#[test]
fn hostile_archives_cost_little_and_reach_nothing() {
    // Entries that say they are gigabytes: skipped without room for them, and an error when they are not there.
    let large = [header("layer.tar", b'0', "77777777777"), docker(&json!(["a:1"]))].concat();
    check(&large, "a:1", Err(CUT));
    let binary = header("layer.tar", b'0', "\u{7f}")
        .iter()
        .map(|byte| if *byte == 0x7f { 0xff } else { *byte })
        .collect::<Vec<_>>();
    assert!(Archive::read(&*binary).is_err());
    let name = [header("././@LongLink", b'L', "77777777777"), docker(&json!(["a:1"]))].concat();
    check(&name, "a:1", Err("that is no archive of images: neither a tar archive nor one that is gzipped"));
    let mut described = header("manifest.json", b'0', "77777777777");
    described.extend([b' '; 4096]);
    check(&described, "a:1", Err("the archive's manifest.json cannot be understood: it is too large"));

    // Names are keys: nothing is ever written by them.
    let outside = tar(&[("../../../../tmp/berth-was-here", b"{}"), ("/etc/berth-was-here", b"{}"), ("..", b"{}")]);
    check(&outside, "a:1", Err(&ArchiveError::NoImages.to_string()));
    assert!(!std::path::Path::new("/tmp/berth-was-here").exists());

    // A name in a message is bounded and shows no control characters.
    let loud = layout(&json!({ IMAGE_NAME: format!("x/\u{1b}[31m{}", "y".repeat(5_000)) }));
    let error = Archive::read(&*loud).unwrap().builds(&"a:1".parse().unwrap()).unwrap_err().to_string();
    assert!(error.len() < 300 && error.contains("\\u{1b}[31m") && !error.contains('\u{1b}'), "{error}");
    let error =
        Archive::read(&*tar(&[("manifest.json", format!("[\"{}\"]", "y".repeat(5_000)).as_bytes())])).unwrap_err();
    assert!(error.to_string().len() < 300, "{error}");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Archive::read(&*tar(&[("manifest.json", deep.as_bytes())])).is_err());
}

#[test]
fn a_gigabyte_passes_by_without_room_for_it() {
    let size = 1_u64 << 30;
    let layer = header("layer.tar", b'0', &format!("{size:011o}"));
    let stream = layer.chain(io::repeat(0).take(size)).chain(Cursor::new(docker(&json!(["a:1"]))));
    let before = peak();
    let archive = Archive::read(stream).unwrap();
    assert!(archive.builds(&"a:1".parse().unwrap()).is_ok());
    assert!(peak() - before < 512 << 10, "KiB: {}", peak() - before); // other tests run beside this one
    assert!(archive.needed > size);
}

/// The most memory that this process ever had, KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

#[test]
fn an_importer_needs_all_entries_and_not_the_padding() {
    let archive = docker(&json!(["a:1"]));
    let needed = Archive::read(&*archive).unwrap().needed;
    assert_eq!(needed, archive.len() as u64 - 1024);
    let padded = [archive, vec![0; 9 * 1024]].concat();
    assert_eq!(Archive::read(&*padded).unwrap().needed, needed);
    let zipped = gzip(&padded);
    assert_eq!(Archive::read(&*zipped).unwrap().needed, zipped.len() as u64);
}

#[test]
fn long_names_are_read_in_both_ways() {
    let long = ["x"; 120].join("/");
    let item = json!([{ "Config": long, "RepoTags": ["a:1"] }]).to_string();
    let record = format!("path={long}\n");
    let length = record.len() + 4;
    let pax = format!("{length} {record}");
    assert_eq!(pax.len(), length);
    for before in [entry("././@LongLink", b'L', format!("{long}\0").as_bytes()), entry("pax", b'x', pax.as_bytes())] {
        let files = tar(&[("short", &config("amd64")), ("manifest.json", item.as_bytes())]);
        check(&[before, files].concat(), "a:1", Ok(&["amd64"]));
    }
}

proptest! {
    #[test]
    fn whatever_is_done_to_an_archive_the_answer_is_short_and_plain(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        end in any::<prop::sample::Index>(),
        whole in any::<bool>(),
        zipped in any::<bool>(),
        oci in any::<bool>(),
    ) {
        let names = json!({ IMAGE_NAME: "docker.io/library/a:1" });
        let mut bytes = if oci { layout(&names) } else { docker(&json!(["a:1"])) };
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if zipped {
            bytes = gzip(&bytes);
        }
        let end = if whole { bytes.len() } else { end.index(bytes.len()) };
        let error = match Archive::read(&bytes[..end]) {
            Ok(archive) => {
                prop_assert!(archive.needed <= end as u64);
                archive.builds(&"a:1".parse().unwrap()).err()
            }
            Err(error) => Some(error),
        };
        let error = error.map(|error| error.to_string()).unwrap_or_default();
        prop_assert!(error.len() < 2_000 && !error.contains(char::is_control), "{}", error);
    }
}

const CUT: &str = "the archive is cut off: whoever wrote it did not finish";
