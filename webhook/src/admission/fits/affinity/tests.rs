use super::*;

/// Whether node `worker` with the labels `disk: ssd`, `cores: 8`, `empty: ""` matches `terms`.
#[track_caller]
fn check(terms: &str, want: bool) {
    let text = format!(
        r#"{{"nodeAffinity":{{"requiredDuringSchedulingIgnoredDuringExecution":{{"nodeSelectorTerms":{terms}}}}}}}"#
    );
    let affinity: Affinity = serde_json::from_str(&text).unwrap();
    let label = |key: &str| [("disk", "ssd"), ("cores", "8"), ("empty", "")].into_iter().find(|l| l.0 == key);
    assert_eq!(affinity.admits("worker", |key| label(key).map(|label| label.1)), want, "{terms}");
}

/// One term with one requirement.
#[track_caller]
fn check_one(requirement: &str, want: bool) {
    check(&format!(r#"[{{"matchExpressions":[{{{requirement}}}]}}]"#), want);
}

#[test]
fn compares_labels_as_kubernetes_does() {
    check_one(r#""key":"disk","operator":"In","values":["hdd","ssd"]"#, true);
    check_one(r#""key":"disk","operator":"In","values":["hdd"]"#, false);
    check_one(r#""key":"none","operator":"In","values":["","hdd"]"#, false);
    check_one(r#""key":"empty","operator":"In","values":[""]"#, true);
    check_one(r#""key":"disk","operator":"NotIn","values":["hdd"]"#, true);
    check_one(r#""key":"disk","operator":"NotIn","values":["ssd"]"#, false);
    check_one(r#""key":"none","operator":"NotIn","values":["ssd"]"#, true);
    check_one(r#""key":"disk","operator":"Exists""#, true);
    check_one(r#""key":"none","operator":"Exists","values":[]"#, false);
    check_one(r#""key":"none","operator":"DoesNotExist","values":null"#, true);
    check_one(r#""key":"disk","operator":"DoesNotExist""#, false);
    check_one(r#""key":"cores","operator":"Gt","values":["7"]"#, true);
    check_one(r#""key":"cores","operator":"Gt","values":["8"]"#, false);
    check_one(r#""key":"cores","operator":"Lt","values":["9"]"#, true);
    check_one(r#""key":"cores","operator":"Lt","values":["-9"]"#, false);
    check_one(r#""key":"disk","operator":"Gt","values":["1"]"#, false);
    check_one(r#""key":"none","operator":"Lt","values":["1"]"#, false);
}

#[test]
fn a_malformed_requirement_matches_nothing() {
    check_one(r#""key":"disk","operator":"In","values":[]"#, false);
    check_one(r#""key":"none","operator":"NotIn""#, false);
    check_one(r#""key":"disk","operator":"Exists","values":["ssd"]"#, false);
    check_one(r#""key":"none","operator":"DoesNotExist","values":["ssd"]"#, false);
    check_one(r#""key":"cores","operator":"Gt","values":["1","2"]"#, false);
    check_one(r#""key":"cores","operator":"Lt","values":["many"]"#, false);
    check_one(r#""key":"disk","operator":"Near","values":["ssd"]"#, false);
}

#[test]
fn terms_are_ored_requirements_anded_and_nothing_matches_nothing() {
    let (yes, no) = (r#"{"key":"disk","operator":"Exists"}"#, r#"{"key":"none","operator":"Exists"}"#);
    check("[]", false);
    check("null", false);
    check("[{}]", false);
    check(r#"[{"matchExpressions":[],"matchFields":null}]"#, false);
    check(&format!(r#"[{{}},{{"matchExpressions":[{yes}]}}]"#), true);
    check(&format!(r#"[{{"matchExpressions":[{yes},{no}]}}]"#), false);
    check(&format!(r#"[{{"matchExpressions":[{no}]}},{{"matchExpressions":[{yes}]}}]"#), true);
}

#[test]
fn the_only_field_is_the_name() {
    let field = |text: &str| format!(r#"[{{"matchFields":[{{{text}}}]}}]"#);
    check(&field(r#""key":"metadata.name","operator":"In","values":["worker"]"#), true);
    check(&field(r#""key":"metadata.name","operator":"In","values":["other"]"#), false);
    check(&field(r#""key":"metadata.name","operator":"NotIn","values":["other"]"#), true);
    check(&field(r#""key":"metadata.name","operator":"In","values":["worker","other"]"#), false);
    check(&field(r#""key":"metadata.name","operator":"Exists""#), false);
    check(&field(r#""key":"metadata.uid","operator":"In","values":["worker"]"#), false);
}

#[test]
fn a_pod_is_bound_where_each_of_its_terms_names_the_same_node() {
    #[track_caller]
    fn check(terms: &str, want: Option<&str>) {
        let text = format!(r#"{{"nodeSelectorTerms":{terms}}}"#);
        let terms: Terms = serde_json::from_str(&text).unwrap();
        let node_affinity = Some(NodeAffinity { required: Some(terms), preferred: None });
        assert_eq!(Affinity { node_affinity }.bound_to(), want);
    }
    let field = |operator: &str, name: &str| {
        format!(r#"{{"key":"metadata.name","operator":"{operator}","values":["{name}"]}}"#)
    };
    let to = |name: &str| format!(r#"{{"matchFields":[{}]}}"#, field("In", name));
    let label = r#""matchExpressions":[{"key":"disk","operator":"Exists"}]"#;
    let (a, b, zone) = (to("a"), to("b"), format!("{{{label}}}"));
    check("[]", None);
    check("[{}]", None);
    check(&format!("[{a}]"), Some("a"));
    check(&format!("[{{}},{a},{{}}]"), Some("a"));
    check(&format!(r#"[{a},{{"matchFields":[{}],{label}}}]"#, field("In", "a")), Some("a"));
    check(&format!("[{a},{b}]"), None);
    check(&format!("[{a},{zone}]"), None);
    check(&format!("[{zone},{a}]"), None);
    check(&format!(r#"[{{"matchFields":[{}]}}]"#, field("NotIn", "a")), None);
}

#[test]
fn null_and_missing_are_the_same_on_every_level() {
    for text in [
        "null",
        "{}",
        r#"{"nodeAffinity":null}"#,
        r#"{"nodeAffinity":{}}"#,
        r#"{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":null}}"#,
    ] {
        let raw: &RawValue = serde_json::from_str(text).unwrap();
        let affinity = Affinity::parse(Some(raw)).unwrap().unwrap_or_default();
        assert!(affinity.admits("worker", |_| None), "{text}");
        assert_eq!(affinity.bound_to(), None, "{text}");
    }
}
