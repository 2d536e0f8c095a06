//! Files, good and bad, with the exact messages: they are what an administrator works by.

mod callers;

use std::fmt::Write as _;

use proptest::{prop_assert, proptest};

use super::*;

/// `body` below the two lines that say what the file is, so that its first line is line 3.
fn file(body: &str) -> String {
    format!("apiVersion: berth.dev/v1alpha1\nkind: Configuration\n{body}")
}

#[track_caller]
fn good(body: &str) -> Config {
    let (config, warnings) = parse(&file(body), "c.yaml").unwrap_or_else(|error| panic!("{body}\n{error}"));
    assert_eq!(warnings, [], "{body}");
    config
}

#[track_caller]
fn bad(body: &str, message: &str) {
    bad_file(&file(body), message);
}

#[track_caller]
fn bad_file(text: &str, message: &str) {
    let error = parse(text, "c.yaml").expect_err(text);
    let count = message.lines().count();
    let header = if count == 1 { String::new() } else { format!("c.yaml has {count} mistakes:\n") };
    assert_eq!(error.to_string(), [&header, message].concat(), "{text}");
}

#[track_caller]
fn warned(body: &str, message: &str) {
    let (_, warnings) = parse(&file(body), "c.yaml").unwrap_or_else(|error| panic!("{body}\n{error}"));
    let texts: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(texts.join("\n"), message, "{body}");
}

fn texts(patterns: &[crate::image::Pattern]) -> Vec<&str> {
    patterns.iter().map(crate::image::Pattern::as_str).collect()
}

#[test]
fn the_default_is_the_production_profile() {
    let said = good("profile: production\n");
    assert_eq!(format!("{said:?}"), format!("{:?}", Config::default()));
    assert_eq!(texts(&said.pin.tags), ["latest"]);
    assert_eq!(texts(&said.pin.ignore), ["docker.io/library/auto"]);
    assert_eq!((said.pin.keep_tag, said.pin.max_age, said.pin.on_failure), (true, Duration::ZERO, OnFailure::Admit));
    assert_eq!((said.place.infer_local, said.place.pull_policy), (false, PullPolicyChange::Keep));
    assert_eq!((said.place.list_limit, said.place.max_stale), (50, Duration::from_secs(300)));
    assert_eq!((said.place.strategy, said.place.on_missing), (Strategy::Prefer, OnMissing::Wait));
    assert_eq!(said.tenants.may_skip, Steps { pin: true, mirror: true, place: true });
    assert_eq!((said.limits.registry_timeout, said.limits.reviews_in_flight), (Duration::from_secs(3), 256));
    assert_eq!((said.limits.body_bytes, said.limits.bodies_bytes), (20 << 20, 128 << 20));
}

#[test]
fn the_dev_profile_sets_defaults_and_the_file_wins() {
    let dev = good("profile: dev\n");
    assert_eq!(texts(&dev.pin.tags), ["*"]);
    assert_eq!((dev.place.infer_local, dev.place.pull_policy), (true, PullPolicyChange::IfNotPresent));
    assert_eq!((dev.place.newest, good("").place.newest), (Newest::Require, Newest::Off));
    let own = good(
        "profile: dev\npin: {tags: [1.20, stable]}\nplace: {inferLocal: false, newest: \"off\", pullPolicy: keep}\n",
    );
    assert_eq!(texts(&own.pin.tags), ["1.20", "stable"]);
    assert_eq!((own.place.infer_local, own.place.pull_policy), (false, PullPolicyChange::Keep));
    assert_eq!(own.place.newest, Newest::Off);
}

#[test]
fn empty_sections_and_lists_are_fine() {
    let config = good("pin: {tags: []}\nmirror:\n  rules: []\nplace:\nskipOwners: []\ntenants: {maySkip: []}\n");
    assert_eq!(texts(&config.pin.tags), [""; 0]);
    assert_eq!(config.skip_owners, []);
    assert_eq!(config.tenants.may_skip, Steps::default());
}

#[test]
fn reads_every_key() {
    let config = good(
        "pin: {tags: [latest, 'v?'], ignore: [a/b], keepTag: false, maxAge: 5m, onFailure: deny}\n\
         mirror: {rules: [{source: a/b, mirror: 'localhost:30500/b', resolve: mirror, fallback: deny}]}\n\
         place: {local: ['*:tilt-*'], strategy: strict, onMissing: admit, listLimit: 100, maxStale: 10m}\n\
         registries: [{host: 'localhost:30500', endpoint: 'http://registry.kube-system.svc:5000'}, {host: '*.corp', caFile: /ca}]\n\
         credentials: [{dockerConfigFile: /a}, {dockerConfigFile: /b}]\n\
         skipOwners: [postgresql.cnpg.io/Cluster, Node]\n\
         tenants: {maySkip: [place]}\n\
         limits: {registryTimeout: 250ms, reviewsInFlight: 8, bodyBytes: 2Mi, bodiesBytes: 1Gi}\n",
    );
    assert_eq!((config.pin.keep_tag, config.pin.on_failure), (false, OnFailure::Deny));
    assert_eq!(config.pin.max_age, Duration::from_secs(300));
    let rule = Rule {
        source: "docker.io/a/b".into(),
        mirror: "localhost:30500/b".into(),
        resolve: Resolve::Mirror,
        fallback: Fallback::Deny,
        pull_secret: None,
        nodes_have_credentials: false,
    };
    assert_eq!(config.mirror.rules, [rule]);
    assert_eq!((config.place.strategy, config.place.on_missing), (Strategy::Strict, OnMissing::Admit));
    assert_eq!(config.registries[0].endpoint.as_deref(), Some("http://registry.kube-system.svc:5000"));
    assert_eq!(config.registries[1].ca_file.as_deref(), Some(std::path::Path::new("/ca")));
    let of_all =
        |file: &str| Credentials { namespaces: Vec::new(), source: CredentialSource::DockerConfig(file.into()) };
    assert_eq!(config.credentials, [of_all("/a"), of_all("/b")]);
    assert_eq!(config.skip_owners[1], OwnerKind { group: String::new(), kind: "Node".into() });
    assert_eq!(config.tenants.may_skip, Steps { place: true, ..Steps::default() });
    assert_eq!((config.limits.body_bytes, config.limits.bodies_bytes), (2 << 20, 1 << 30));
}

#[test]
fn says_what_the_file_is_not() {
    bad_file(
        "",
        "c.yaml:1: apiVersion: it is missing; write `apiVersion: berth.dev/v1alpha1`\nc.yaml:1: kind: it is missing; write `kind: Configuration`",
    );
    bad_file(
        "apiVersion: v1\nkind: ConfigMap\ndata: {}\n",
        "c.yaml:1: apiVersion: `v1` is not one of `berth.dev/v1alpha1`\n\
         c.yaml:2: kind: `ConfigMap` is not one of `Configuration`\n\
         c.yaml:3: data: there is no such key; here can stand `apiVersion`, `kind`, `profile`, `pin`, `mirror`, `place`, \
         `registries`, `localRegistry`, `unlistedRegistries`, `credentials`, `pullSecrets`, `certificates`, `skipOwners`, \
         `tenants`, `limits`",
    );
    bad_file(
        "- a\n",
        "c.yaml:1: a list is not a mapping of keys and values\nc.yaml:1: apiVersion: it is missing; write `apiVersion: berth.dev/v1alpha1`\nc.yaml:1: kind: it is missing; write `kind: Configuration`",
    );
    bad("pin: [\n", "c.yaml:3: this is not YAML: unclosed bracket '['");
    bad("pin: {}\npin: {}\n", "c.yaml:4: `pin` stands here a second time; keep one");
    bad("---\na: 1\n", "c.yaml:4: a second document starts here; a configuration is one document");
}

#[test]
fn reports_all_mistakes_at_once() {
    bad(
        "profile: prod\npin:\n  onFailure: reject\n  keepTag: yes\n  lastKnownGod: 24h\nlimits:\n  registryTimeout: 30s\n",
        "c.yaml:3: profile: `prod` is not one of `production`, `dev`\n\
         c.yaml:5: pin.onFailure: `reject` is not one of `admit`, `deny`\n\
         c.yaml:6: pin.keepTag: `yes` is not `true` or `false`\n\
         c.yaml:7: pin.lastKnownGod: there is no such key; here can stand `tags`, `ignore`, `keepTag`, `maxAge`, `onFailure`, \
         `repin`, `repinImages`, `pullPolicy`, `lastKnownGood`\n\
         c.yaml:9: limits.registryTimeout: `30s` is not between `100ms` and `25s`",
    );
}

#[test]
fn explains_wrong_values() {
    bad("pin: production\n", "c.yaml:3: pin: `production` is not a mapping of keys and values");
    bad("pin:\n  tags: latest\n", "c.yaml:4: pin.tags: `latest` is not a list; write `[]` for none");
    bad("pin:\n  tags:\n", "c.yaml:4: pin.tags: nothing is not a list; write `[]` for none");
    bad(
        "pin:\n  tags:\n    - latest\n    - a b\n",
        "c.yaml:6: pin.tags[1]: `a b` is not a pattern: some characters without spaces, `*` for any number of characters, `?` for one",
    );
    bad("pin: {tags: [{a: b}]}\n", "c.yaml:3: pin.tags[0]: a mapping is not a text");
    let duration = "is not a duration: numbers with units, as in `0s`, `250ms`, `5m`, `24h`";
    bad("pin: {maxAge: 5}\n", &format!("c.yaml:3: pin.maxAge: `5` {duration}"));
    bad("pin: {maxAge: 5 minutes}\n", &format!("c.yaml:3: pin.maxAge: `5 minutes` {duration}"));
    bad("pin: {maxAge: }\n", &format!("c.yaml:3: pin.maxAge: nothing {duration}"));
    bad("place: {inferLocal: 'true'}\n", "c.yaml:3: place.inferLocal: `true` is not `true` or `false`");
    bad("place: {listLimit: 0}\n", "c.yaml:3: place.listLimit: `0` is not a whole number from 1 to 1000000");
    bad("place: {listLimit: -1}\n", "c.yaml:3: place.listLimit: `-1` is not a whole number from 1 to 1000000");
    bad("place: {maxStale: 5s}\n", "c.yaml:3: place.maxStale: `5s` is not between `2m` and `24h`");
    bad("place: {onMissing: gate}\n", "c.yaml:3: place.onMissing: `gate` is not one of `wait`, `deny`, `admit`");
    bad("tenants: {maySkip: [all]}\n", "c.yaml:3: tenants.maySkip[0]: `all` is not one of `pin`, `mirror`, `place`");
    bad(
        "skipOwners: [apps/v1/Deployment]\n",
        "c.yaml:3: skipOwners[0]: `apps/v1/Deployment` is not `group/Kind`, as in `postgresql.cnpg.io/Cluster`, without a version",
    );
    bad(
        "credentials: [{}]\n",
        "c.yaml:3: credentials[0].dockerConfigFile: it is missing; write `dockerConfigFile: FILE`, or `providers:`",
    );
    bad(
        "credentials:\n- dockerConfigFile: []\n",
        "c.yaml:4: credentials[0].dockerConfigFile: a list is not the name of a file",
    );
}

#[test]
fn explains_wrong_limits() {
    bad(
        "limits: {bodyBytes: 20MB}\n",
        "c.yaml:3: limits.bodyBytes: `20MB` is not a size in bytes, as in `65536`, `512Ki`, `20Mi`, `1Gi`",
    );
    bad(
        "limits: {bodyBytes: 1Ki}\n",
        "c.yaml:3: limits.bodyBytes: less than `1Mi` would let large Pods pass unseen; the default is `20Mi`",
    );
    bad(
        "limits:\n  bodiesBytes: 10Mi\n",
        "c.yaml:4: limits.bodiesBytes: it is less than `bodyBytes`: no body of that size could be read",
    );
}

#[test]
fn the_most_specific_registry_stands_first() {
    let hosts = ["*.b.example", "x.a.b.example", "*.a.b.example", "localhost:5000"];
    let entries = hosts.map(|host| format!("- host: '{host}'\n")).concat();
    let registries = good(&format!("registries:\n{entries}")).registries;
    let sorted: Vec<_> = registries.iter().map(|registry| registry.host.as_str()).collect();
    assert_eq!(sorted, ["localhost:5000", "x.a.b.example", "*.a.b.example", "*.b.example"]);
}

#[test]
fn explains_wrong_registries() {
    bad(
        "registries: [{endpoint: 'https://a.b'}]\n",
        "c.yaml:3: registries[0].host: it is missing; write `host: localhost:30500`",
    );
    for host in ["a.b/c", "https://a.b", "a b", "nginx", "*", "*.", "*.a/b", "user@a.b"] {
        bad(
            &format!("registries: [{{host: '{host}'}}]\n"),
            &format!(
                "c.yaml:3: registries[0].host: `{host}` is not a host as in `localhost:30500`, `harbor.example` or `*.example.com`"
            ),
        );
    }
    bad(
        "registries: [{host: index.docker.io}]\n",
        "c.yaml:3: registries[0].host: `index.docker.io` is an old name of `docker.io`; write that",
    );
    for endpoint in [
        "a.b",
        "a.b:5000",
        "ftp://a.b",
        "https://",
        "https://a.b/v2",
        "https://a.b?x",
        "https://u:p@a.b",
        "https://a.b#x",
    ] {
        bad(
            &format!("registries: [{{host: a.b, endpoint: '{endpoint}'}}]\n"),
            &format!(
                "c.yaml:3: registries[0].endpoint: `{endpoint}` is not a URL of scheme and host alone, as in `http://registry.kube-system.svc:5000`"
            ),
        );
    }
    bad(
        "registries:\n- host: a.b\n- host: a.b\n",
        "c.yaml:5: registries[1].host: line 4 describes the same host; put all about it into one entry",
    );
    bad(
        "registries:\n- host: a.b\n  endpoint: http://a.b\n  caFile: /ca\n",
        "c.yaml:6: registries[0].caFile: a plain `http` endpoint has no certificate; remove one of the two",
    );
    bad(
        "registries:\n- host: a.b\n  caFile: /ca\n  insecureSkipVerify: true\n",
        "c.yaml:6: registries[0].insecureSkipVerify: it contradicts `caFile` and a plain `http` endpoint; keep one of them",
    );
}

/// `rules`, each `source > mirror` and what else stands in the rule, from line 5 on.
fn mirror(rules: &[&str]) -> String {
    let mut text = "mirror:\n  rules:\n".to_owned();
    for rule in rules {
        let (source, rest) = rule.split_once(" > ").unwrap();
        writeln!(text, "  - {{source: '{source}', mirror: {rest}}}").unwrap();
    }
    text
}

#[test]
fn fills_in_the_names_of_docker_hub() {
    #[track_caller]
    fn check(source: &str, want: &str) {
        let rules = good(&mirror(&[&format!("{source} > m.local/x")])).mirror.rules;
        assert_eq!(rules[0].source, want);
    }
    check("docker.io", "docker.io");
    check("index.docker.io", "docker.io");
    check("index.docker.io/library/nginx", "docker.io/library/nginx");
    check("docker.io/library", "docker.io/library");
    check("bitnami/redis", "docker.io/bitnami/redis");
    check("localhost:5001/app", "localhost:5001/app");
    check("quay.io", "quay.io");
    warned(
        &mirror(&["docker.io/nginx > m.local/x"]),
        "c.yaml:5: mirror.rules[0]: `docker.io/nginx` is all of the organisation `nginx`; the official image is `docker.io/library/nginx`",
    );
}

#[test]
fn the_most_specific_rule_stands_first() {
    let config = good(&mirror(&[
        "docker.io > m.local/hub",
        "docker.io/library/nginx > m.local/web",
        "quay.io > m.local/quay",
        "docker.io > n.local/hub",
    ]));
    let mirrors: Vec<_> = config.mirror.rules.iter().map(|rule| rule.mirror.as_str()).collect();
    assert_eq!(mirrors, ["m.local/web", "m.local/hub", "m.local/quay", "n.local/hub"]);
}

#[test]
fn explains_wrong_rules() {
    bad(
        "mirror: {rules: [{}]}\n",
        "c.yaml:3: mirror.rules[0].source: it is missing; write `source: docker.io/library/app`\n\
         c.yaml:3: mirror.rules[0].mirror: it is missing; write `mirror: registry.example/library/app`",
    );
    bad(
        &mirror(&["nginx > m.local/x"]),
        "c.yaml:5: mirror.rules[0].source: `nginx` can mean two things; write `docker.io/library/nginx` for the image or `docker.io/nginx` for all below it",
    );
    bad(
        &mirror(&["docker.io/library/nginx:1.25 > m.local/x"]),
        "c.yaml:5: mirror.rules[0].source: `docker.io/library/nginx:1.25` has a tag or a digest; a rule is about a name: `docker.io/library/nginx`",
    );
    for source in ["https://quay.io", "quay.io/", "Quay/UPPER", "a//b", "*.io"] {
        bad(
            &mirror(&[&format!("{source} > m.local/x")]),
            &format!(
                "c.yaml:5: mirror.rules[0].source: `{source}` is not a registry (`docker.io`) or a name below one (`docker.io/library/nginx`)"
            ),
        );
    }
    for name in ["hub", "org/app", "m.local/x:1", "https://m.local", "m.local/"] {
        bad(
            &mirror(&[&format!("quay.io > '{name}'")]),
            &format!(
                "c.yaml:5: mirror.rules[0].mirror: `{name}` is not a registry (`localhost:30500`) or a path there (`harbor.example/hub`), without a tag"
            ),
        );
    }
}

#[test]
fn refuses_rules_that_cannot_have_been_meant() {
    bad(
        &mirror(&["docker.io > m.local", "quay.io > m.local", "docker.io > m.local"]),
        "c.yaml:7: mirror.rules[2]: the rule in line 5 hides this one: same source `docker.io`, same mirror; remove one",
    );
    bad(
        &mirror(&["docker.io > m.local, resolve: mirror", "docker.io > n.local"]),
        "c.yaml:6: mirror.rules[1]: `resolve` differs from the rule in line 5: alternatives for `docker.io` must agree",
    );
    bad(
        &mirror(&["docker.io > m.local", "index.docker.io > n.local, fallback: deny"]),
        "c.yaml:6: mirror.rules[1]: `fallback` differs from the rule in line 5: alternatives for `docker.io` must agree",
    );
    bad(
        &mirror(&["docker.io/library/nginx > n.local", "docker.io > m.local, resolve: mirror"]),
        "c.yaml:5: mirror.rules[0]: the rule in line 6 hides this one: it has `resolve: mirror` for all of `docker.io`; write `resolve: mirror` here too",
    );
    good(&mirror(&["docker.io/library/nginx > n.local, resolve: mirror", "docker.io > m.local"]));
    let twice = "its images would be rewritten twice";
    bad(
        &mirror(&["docker.io > docker.io/cache"]),
        &format!(
            "c.yaml:5: mirror.rules[0]: the mirror `docker.io/cache` overlaps with the source `docker.io` in line 5: {twice}"
        ),
    );
    bad(
        &mirror(&["quay.io > m.local", "m.local/dockerhub > n.local"]),
        &format!(
            "c.yaml:5: mirror.rules[0]: the mirror `m.local` overlaps with the source `m.local/dockerhub` in line 6: {twice}"
        ),
    );
    good(&mirror(&["quay.io > m.local/a", "m.local/ab > n.local"])); // whole path components only
}

#[test]
fn warns_of_mirrors_that_nodes_cannot_resolve() {
    for host in
        ["registry.kube-system.svc:5000", "registry.kube-system.svc.cluster.local", "registry:5000", "localhost"]
    {
        warned(
            &mirror(&[&format!("quay.io > '{host}/x'")]),
            &format!(
                "c.yaml:5: mirror.rules[0]: nodes are unlikely to resolve `{host}`, because they do not use the cluster's DNS; \
                 a NodePort, as in `localhost:30500`, reaches every node"
            ),
        );
    }
    for host in ["localhost:30500", "harbor.local", "10.0.0.1:5000", "[fd00::1]:5000"] {
        good(&mirror(&[&format!("quay.io > '{host}/x'")]));
    }
}

#[test]
fn opens_the_files_that_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (ca, docker) = (write("ca.crt", "no PEM"), write("config.json", "[1]"));
    let body = format!(
        "registries: [{{host: a.b, caFile: {ca}}}]\ncredentials:\n- dockerConfigFile: {docker}\n- dockerConfigFile: {docker}.no\n"
    );
    let path = write("berth.yaml", &file(&body));
    let error = load(path.as_ref()).unwrap_err().to_string();
    let want = format!(
        "{path} has 3 mistakes:\n\
         {path}:3: registries[0].caFile: `{ca}` holds no certificates in PEM (`-----BEGIN CERTIFICATE-----`)\n\
         {path}:5: credentials[0].dockerConfigFile: `{docker}` is not a docker `config.json`: it is no JSON object\n\
         {path}:6: credentials[1].dockerConfigFile: `{docker}.no` cannot be read: No such file or directory (os error 2)"
    );
    assert_eq!(error, want);
    let missing = load("/nonexistent/berth.yaml".as_ref()).unwrap_err().to_string();
    assert_eq!(missing, "/nonexistent/berth.yaml cannot be read: No such file or directory (os error 2)");
    write("ca.crt", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    write("config.json", "{\"auths\": {}}");
    write("berth.yaml", &file(&body.replace(".no", "")));
    load(path.as_ref()).unwrap();
}

proptest! {
    /// Any text is read or refused with a message, never a panic.
    #[test]
    fn any_text_is_answered(text in "\\PC*") {
        let _ = parse(&text, "c.yaml");
    }

    /// The same for texts that look like a configuration.
    #[test]
    fn any_mapping_is_answered(key in "pin|place|mirror|registries|credentials|limits|tenants|skipOwners", value in "[\\[\\]{}:, \\n\\-a-z0-9*&!'\"|>#%@]{0,60}") {
        for text in [file(&format!("{key}: {value}\n")), file(&format!("{key}:\n  {value}\n"))] {
            if let Err(error) = parse(&text, "c.yaml") {
                prop_assert!(error.to_string().lines().all(|line| line.starts_with("c.yaml")), "{}", error);
            }
        }
    }
}

#[test]
fn providers_are_read_to_the_letter_and_their_mistakes_named() {
    let config = good(
        "place:\n  provided:\n    - images: [registry.k8s.io/*]\n      nodes: {matchLabels: {pool: baked, ready: true}}\n    \
         - images: [a]\n      nodes: {matchExpressions: [{key: example.com/gpu, operator: NotIn, values: [a, '']}, {key: x, operator: Exists}]}\n",
    );
    let nodes: Vec<_> = config.place.provided.iter().map(|provided| provided.nodes.to_string()).collect();
    assert_eq!(nodes, ["pool=baked,ready=true", "example.com/gpu notin (a,),x"]);
    bad(
        "place:\n  provided:\n    - nodes: {}\n    - images: [a]\n      nodes: {matchLabels: {'a b': x, pool: 'b c'}, x: 1}\n    \
         - images: []\n      nodes: {matchExpressions: [{key: a, operator: In}, {key: b, operator: Exists, values: [c]}, {operator: Has}]}\n",
        "c.yaml:5: place.provided[0].images: it is missing; write `images: [registry.k8s.io/*]`\n\
         c.yaml:5: place.provided[0].nodes: it says nothing of the nodes; write `{matchLabels: {pool: baked}}`\n\
         c.yaml:7: place.provided[1].nodes.matchLabels.a b: `a b` is not the name of a label\n\
         c.yaml:7: place.provided[1].nodes.matchLabels.pool: `b c` is not the value of a label\n\
         c.yaml:7: place.provided[1].nodes.x: there is no such key; here can stand `matchLabels`, `matchExpressions`\n\
         c.yaml:7: place.provided[1].nodes: it says nothing of the nodes; write `{matchLabels: {pool: baked}}`\n\
         c.yaml:9: place.provided[2].nodes.matchExpressions[0].values: it must name at least one value; write `values: [baked]`\n\
         c.yaml:9: place.provided[2].nodes.matchExpressions[1].values: with `Exists` and `DoesNotExist` there are no values; leave it out\n\
         c.yaml:9: place.provided[2].nodes.matchExpressions[2].key: it is missing; write `key: pool`\n\
         c.yaml:9: place.provided[2].nodes.matchExpressions[2].operator: `Has` is not one of `In`, `NotIn`, `Exists`, `DoesNotExist`",
    );
}
