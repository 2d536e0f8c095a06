//! The cases of `distribution/reference` (`reference_test.go`, `normalize_test.go`, `regexp_test.go`), hostile texts,
//! and properties.

use proptest::prelude::*;

use super::*;

const F: &str = "sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

/// The repository that `text` names, defaults filled in, with its tag and digest as written.
#[track_caller]
fn check(text: &str, host: &str, path: &str, tag: Option<&str>, digest: Option<&str>) {
    let image: Reference = text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"));
    assert_eq!((image.host(), &*image.path()), (host, path), "text: {text:?}");
    assert_eq!(image.repository(), format!("{host}/{path}"), "text: {text:?}");
    assert_eq!((image.tag(), image.digest().map(Digest::as_str)), (tag, digest), "text: {text:?}");
    assert_eq!(image.to_string(), text);
}

#[test]
fn names_get_the_defaults_of_docker_hub() {
    for name in ["nginx", "docker.io/nginx", "index.docker.io/nginx", "library/nginx", "index.docker.io/library/nginx"]
    {
        check(name, "docker.io", "library/nginx", None, None);
    }
    check("bitnami/redis", "docker.io", "bitnami/redis", None, None);
    check("index.docker.io/fooo/bar", "docker.io", "fooo/bar", None, None);
    check("library/foo/bar", "docker.io", "library/foo/bar", None, None);
    check("docker.io/library/foo/bar", "docker.io", "library/foo/bar", None, None);
    check("test_com/foo", "docker.io", "test_com/foo", None, None);
    check("docker/migrator", "docker.io", "docker/migrator", None, None);
    check("ubuntu-12.04-base", "docker.io", "library/ubuntu-12.04-base", None, None);
}

#[test]
fn the_first_component_names_a_registry_by_its_shape() {
    check("test.com/foo", "test.com", "foo", None, None);
    check("test:5000/repo", "test:5000", "repo", None, None);
    check("test-com:8080/foo", "test-com:8080", "foo", None, None);
    check("localhost/foo", "localhost", "foo", None, None);
    check("localhost:5000/app", "localhost:5000", "app", None, None);
    check("Foo/bar", "Foo", "bar", None, None);
    check("DOCKER/docker", "DOCKER", "docker", None, None);
    check("xn--n3h.com:18080/foo", "xn--n3h.com:18080", "foo", None, None);
    check("192.168.0.1:8/debian", "192.168.0.1:8", "debian", None, None);
    check("[fc00::1]:5000/docker", "[fc00::1]:5000", "docker", None, None);
    check("[2001:db8::1]/repo", "[2001:db8::1]", "repo", None, None);
    check("[fc00:1:2:3:4:5:6:7]:5000/library/debian", "[fc00:1:2:3:4:5:6:7]:5000", "library/debian", None, None);
    // Without a slash there is no registry, whatever it looks like.
    check("localhost", "docker.io", "library/localhost", None, None);
    check("192.168.0.1", "docker.io", "library/192.168.0.1", None, None);
    check("test.com:5000", "docker.io", "library/test.com", Some("5000"), None);
}

#[test]
fn tags_and_digests_follow_the_name() {
    check("test.com:tag", "docker.io", "library/test.com", Some("tag"), None);
    check("test:5000/repo:tag", "test:5000", "repo", Some("tag"), None);
    check(&format!("test:5000/repo@{F}"), "test:5000", "repo", None, Some(F));
    check(&format!("test:5000/repo:tag@{F}"), "test:5000", "repo", Some("tag"), Some(F));
    check("lowercase:Uppercase", "docker.io", "library/lowercase", Some("Uppercase"), None);
    check("foo/foo_bar.com:8080", "docker.io", "foo/foo_bar.com", Some("8080"), None);
    check("192.168.1.1:5000/repo:5050", "192.168.1.1:5000", "repo", Some("5050"), None);
    check("[2001:db8::1]:5000/repo:tag", "[2001:db8::1]:5000", "repo", Some("tag"), None);
    check(&format!("localhost:8080@{F}"), "docker.io", "library/localhost", Some("8080"), Some(F));
    check("xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com", "myimage", Some("xn--n3h.com"), None);
    let long = format!("sha512:{}", "f".repeat(128));
    check(&format!("reg.io/x:v@{long}"), "reg.io", "x", Some("v"), Some(&long));
    check(&format!("x:{}", "t".repeat(128)), "docker.io", "library/x", Some(&"t".repeat(128)), None);
    check("x:_tag.-", "docker.io", "library/x", Some("_tag.-"), None);
}

#[test]
fn separators_stand_inside_components_only() {
    for path in ["docker---rules/docker", "dock__er/docker", "d/docker", "project--id.module--name.ver---sion--name"] {
        check(&format!("reg.io/{path}"), "reg.io", path, None, None);
    }
    for path in
        ["-docker", "docker-", "_docker/x", "docker_", "dock..er", "dock_.er", "dock-.er", "a___b", ".a", "a./b"]
    {
        refuse(&format!("reg.io/{path}"));
    }
}

#[test]
fn an_image_id_is_no_name_unless_something_says_that_it_is_one() {
    let id = "1a3f5e7d9c1b3a5f7e9d1c3b5a7f9e1d3c5b7a9f1e3d5d7c9b1a3f5e7d9c1b3a";
    refuse(id);
    check(&format!("docker.io/{id}"), "docker.io", &format!("library/{id}"), None, None);
    check(&format!("{id}:tag"), "docker.io", &format!("library/{id}"), Some("tag"), None);
    check(&id[1..], "docker.io", &format!("library/{}", &id[1..]), None, None);
    let song = "thisisthesongthatneverendsitgoesonandonandonthisisthesongthatnev";
    check(song, "docker.io", &format!("library/{song}"), None, None);
}

#[test]
fn a_path_has_at_most_255_characters() {
    let path = "a/".repeat(127) + "a";
    check(&format!("reg.io/{path}:tag-puts-this-over-max"), "reg.io", &path, Some("tag-puts-this-over-max"), None);
    let error = format!("reg.io/{path}/b").parse::<Reference>().unwrap_err();
    assert!(matches!(error, ParseError::TooLong { .. }) && error.to_string().len() < 200, "{error}");
    let name = "a".repeat(247); // with library/, 255
    check(&name, "docker.io", &format!("library/{name}"), None, None);
    refuse(&format!("{name}a"));
}

#[track_caller]
fn refuse(text: &str) {
    let error = text.parse::<Reference>().map(|image| image.repository()).expect_err(text);
    assert!(!error.to_string().contains(char::is_control), "{text:?}: {error}");
}

#[test]
fn what_go_refuses_is_refused() {
    for text in [
        "",
        ":justtag",
        "@",
        "/",
        "a/",
        "docker/Docker",
        "docker.io/docker/Docker",
        "docker///docker",
        "-docker.io/a/b",
        "https://github.com/docker/docker",
        "[fc00::1]",
        "[fc00::1]:5000",
        "[2001:db8::1]:tag",
        "fc00::1:5000/debian",
        "[fe80::1%eth0]:5000/debian",
        "[fe80::1%@invalidzone]:5000/repo",
        "[2001:db8:3:4::192.0.2.33]:5000/debian",
        "[fd00:1:2::3]75050/x",
        "[fd00:1:2::3]::75050/x",
        "[]/x",
        "aa/asdf$$^/aa",
        "Uppercase:tag",
        "test:5000/Uppercase/x:tag",
        "foo.com:http/bar",
        "foo_bar.com:8080/app",
        "do__cker:8080/docker",
        "-ab.com/x",
        "ab-.com/x",
        "ab.-com/x",
        "a..b/x",
        "repo:",
        "repo:-foo",
        "repo:invalid~tag",
        "repo@bad",
        "validname@invaliddigest:ffff",
        "localhost:http/x",
    ] {
        refuse(text);
    }
    refuse(&format!("@{F}"));
    refuse(&format!("repo:@{F}"));
    refuse(&format!("repo@{F}@{F}"));
    refuse(&format!("repo@{}", F.to_uppercase()));
    refuse(&format!("repo@sha256:{}", "F".repeat(64)));
    refuse(&format!("repo@md5:{}", "f".repeat(32)));
    refuse(&format!("repo:{}", "t".repeat(129)));
}

/// Runtimes look for an image of this ID before they look for a name.
#[test]
fn what_a_runtime_takes_for_an_image_id_is_no_name() {
    let words = |text: &str| text.parse::<Reference>().unwrap_err().to_string();
    assert_eq!(words(F), "`sha256:ffffffffffff…` is an image ID, which nodes do not list");
    let (short, long) = ("f".repeat(63), "f".repeat(65));
    for tag in [&short, &long, &"F".repeat(64)] {
        check(&format!("sha256:{tag}"), "docker.io", "library/sha256", Some(tag), None);
    }
    check(&format!("library/{F}"), "docker.io", "library/sha256", Some(&F[7..]), None);
    check(&format!("{F}@{F}"), "docker.io", "library/sha256", Some(&F[7..]), Some(F));
}

#[test]
fn hostile_texts_are_refused_and_quoted_without_harm() {
    for text in [
        "reg.io/a//b",
        "reg.io/../../etc",
        "reg.io/a/../b",
        "reg.io/./a",
        "reg.io/a?x=y",
        "reg.io/a#b",
        "reg.io/a%2fb",
        "user:pw@reg.io/x",
        "user@reg.io/x",
        "reg.io@evil.io/x",
        "reg.io\\evil.io/x",
        "reg.io /x",
        " reg.io/x",
        "reg.io/x ",
        "reg.io/x\0",
        "reg.io\0.evil.io/x",
        "reg.io/x\r\nHost: evil.io",
        "reg.io/x\n",
        "reg.io/\u{202e}x",
        "reg.io/x:\u{202e}v",
        "r\u{435}g.io/x",
        "reg.io/\u{ff41}",
        "\u{ff0f}/x",
        "reg.io/x:v1;id",
        "reg.io/$(id)",
        "reg.io:+443/x",
        "reg.io:/x",
        "\u{feff}nginx",
        "nginx\u{200b}",
    ] {
        refuse(text);
    }
    refuse(&"a".repeat(300));
    refuse(&"a/".repeat(100_000));
}

#[test]
fn pinning_keeps_the_spelling() {
    let digest: Digest = F.parse().unwrap();
    for (text, kept, bare) in [
        ("nginx", format!("nginx@{F}"), format!("nginx@{F}")),
        ("index.docker.io/nginx:1", format!("index.docker.io/nginx:1@{F}"), format!("index.docker.io/nginx@{F}")),
        ("Foo:5000/a/b:v", format!("Foo:5000/a/b:v@{F}"), format!("Foo:5000/a/b@{F}")),
    ] {
        let image: Reference = text.parse().unwrap();
        assert_eq!(image.pinned(&digest, true).to_string(), kept);
        assert_eq!(image.pinned(&digest, false).to_string(), bare);
    }
}

#[test]
fn renaming_takes_a_name_only() {
    let image: Reference = format!("nginx:1@{F}").parse().unwrap();
    assert_eq!(image.renamed("harbor.local/hub/nginx").unwrap().to_string(), format!("harbor.local/hub/nginx:1@{F}"));
    for name in ["harbor.local/hub/nginx:1", &format!("nginx@{F}"), "harbor.local/Hub", ""] {
        assert!(image.renamed(name).is_err(), "name: {name}");
    }
}

#[test]
fn one_target_for_all_spellings() {
    for text in ["nginx", "nginx:latest", "docker.io/nginx", "index.docker.io/library/nginx:latest"] {
        assert_eq!(text.parse::<Reference>().unwrap().target(), "docker.io/library/nginx:latest");
    }
    for text in ["reg.io/x@", "reg.io/x:v1@"] {
        assert_eq!(format!("{text}{F}").parse::<Reference>().unwrap().target(), format!("reg.io/x@{F}"));
    }
    assert_eq!("docker.io:443/nginx".parse::<Reference>().unwrap().target(), "docker.io:443/nginx:latest");
}

#[test]
fn the_tag_that_counts_is_latest_only_where_nothing_is_said() {
    for (text, tag) in [("nginx", Some("latest")), ("nginx:1", Some("1")), (&*format!("nginx@{F}"), None)] {
        assert_eq!(text.parse::<Reference>().unwrap().effective_tag(), tag, "text: {text}");
    }
}

const HOST: &str = r"localhost|([a-zA-Z0-9]([a-zA-Z0-9-]{0,5}[a-zA-Z0-9])?\.){1,3}[a-zA-Z]{2,4}(:[0-9]{1,5})?|\[[0-9a-f]{1,4}::[0-9a-f]{1,4}\](:[0-9]{1,5})?";
const PATH: &str = r"[a-z0-9]{1,6}((\.|_|__|-{1,3})[a-z0-9]{1,6}){0,2}(/[a-z0-9]{1,6}(__[a-z0-9]{1,3})?){0,3}";
const TAG: &str = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}";
const DIGEST: &str = "sha256:[0-9a-f]{64}";

prop_compose! {
    /// A reference that follows the grammar, by its parts.
    fn parts()(
        host in prop::option::of(HOST),
        path in PATH,
        tag in prop::option::of(TAG),
        digest in prop::option::of(DIGEST),
    ) -> (Option<String>, String, Option<String>, Option<String>) {
        (host, path, tag, digest)
    }
}

proptest! {
    #[test]
    fn parts_that_follow_the_grammar_are_found_again((host, path, tag, digest) in parts()) {
        prop_assume!(host.is_some() || !names_a_host(path.split('/').next().unwrap()) || !path.contains('/'));
        let name = host.as_ref().map_or_else(|| path.clone(), |host| format!("{host}/{path}"));
        let suffix = |mark: &str, part: &Option<String>| part.as_ref().map_or_else(String::new, |part| format!("{mark}{part}"));
        let text = format!("{name}{}{}", suffix(":", &tag), suffix("@", &digest));
        let image: Reference = text.parse().unwrap();
        prop_assert_eq!(image.as_str(), &text);
        prop_assert_eq!(image.name(), &name);
        prop_assert_eq!(image.host(), host.as_deref().unwrap_or("docker.io"));
        prop_assert!(image.path() == path || image.path() == ["library/", &path].concat());
        prop_assert_eq!(image.tag(), tag.as_deref());
        prop_assert_eq!(image.digest().map(Digest::as_str), digest.as_deref());
        let target: Reference = image.target().parse().unwrap();
        prop_assert_eq!(target.repository(), image.repository());
        prop_assert_eq!(target.digest(), image.digest());
        prop_assert_eq!(target.target(), image.target());
    }

    #[test]
    fn what_parses_is_written_as_it_was(text in r"[a-zA-Z0-9@:/._\[\]-]{0,40}") {
        if let Ok(image) = text.parse::<Reference>() {
            prop_assert_eq!(image.to_string(), text);
        }
    }

    #[test]
    fn any_text_is_judged_without_panic(text in any::<String>()) {
        let judged = text.parse::<Reference>();
        prop_assert!(judged.is_err() || text.is_ascii());
    }

    #[test]
    fn pinned_is_the_same_name_and_parses((host, path, tag, _) in parts(), digest in DIGEST, keep_tag in any::<bool>()) {
        let name = host.map_or_else(|| path.clone(), |host| format!("{host}/{path}"));
        let text = tag.as_ref().map_or_else(|| name.clone(), |tag| format!("{name}:{tag}"));
        let Ok(image) = text.parse::<Reference>() else { return Ok(()) };
        let pinned = image.pinned(&digest.parse().unwrap(), keep_tag);
        prop_assert_eq!(pinned.name(), &name);
        prop_assert_eq!(pinned.tag(), tag.as_deref().filter(|_| keep_tag));
        prop_assert_eq!(pinned.digest().map(Digest::as_str), Some(&*digest));
        prop_assert_eq!(&pinned.to_string().parse::<Reference>().unwrap(), &pinned);
    }

    #[test]
    fn renamed_keeps_version_and_parses((_, path, tag, digest) in parts(), host in HOST, other in PATH) {
        let suffix = |mark: &str, part: &Option<String>| part.as_ref().map_or_else(String::new, |part| format!("{mark}{part}"));
        let Ok(image) = format!("{path}{}{}", suffix(":", &tag), suffix("@", &digest)).parse::<Reference>() else { return Ok(()) };
        let renamed = image.renamed(&format!("{host}/{other}")).unwrap();
        prop_assert_eq!(renamed.host(), &*host);
        prop_assert_eq!((renamed.tag(), renamed.digest()), (image.tag(), image.digest()));
        prop_assert_eq!(&renamed.to_string().parse::<Reference>().unwrap(), &renamed);
    }
}
