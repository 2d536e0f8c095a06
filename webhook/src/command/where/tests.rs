use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    admission::place::Standing,
    nodes::{Node, Runtime},
};

const APP: &str = "docker.io/library/webapp:dev";
const ID: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A ready node on containerd that lists `pause` and these entries: names and size.
fn node(name: &str, images: &[(&[&str], i64)]) -> Value {
    let pause: (&[&str], i64) = (&["registry.k8s.io/pause:3.10"], 700_000);
    let entries = images.iter().chain([&pause]).map(|(names, size)| json!({ "names": names, "sizeBytes": size }));
    json!({
        "metadata": { "name": name },
        "status": {
            "images": entries.collect::<Vec<_>>(),
            "conditions": [{ "type": "Ready", "status": "True" }],
            "nodeInfo": { "containerRuntimeVersion": "containerd://2.4.2", "kubeletVersion": "v1.36.3", "architecture": "amd64" },
        },
    })
}

fn seen(nodes: &[Value], list_limit: usize) -> Seen {
    let mut seen = Seen::new("webapp:dev".parse().unwrap(), list_limit);
    let nodes: Vec<Node> = nodes.iter().map(|node| serde_json::from_value(node.clone()).unwrap()).collect();
    seen.list(&nodes);
    seen
}

/// A cluster with each kind of node.
fn town(now: Timestamp) -> Vec<Value> {
    let pulled = format!("docker.io/library/webapp@{ID}");
    let mut cordoned = node("worker-2.example.com", &[(&[&pulled, APP], 30_000_000)]);
    cordoned["spec"] = json!({ "unschedulable": true });
    let mut dead = node(
        "worker-3",
        &[(
            &["docker.io/other/webapp@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", APP],
            30_000_000,
        )],
    );
    dead["status"]["conditions"][0]["status"] = json!("Unknown");
    let mut told = node("worker-4", &[]);
    let at = now.checked_sub(SignedDuration::from_secs(70)).unwrap();
    told["metadata"]["annotations"] =
        json!({ "berth.dev/loaded": json!({ APP: { "at": at.to_string(), "id": ID } }).to_string() });
    let mut crio = node("crio", &[]);
    crio["status"]["nodeInfo"]["containerRuntimeVersion"] = json!("cri-o://1.36.0");
    let mut empty = node("empty", &[]);
    empty["status"]["images"] = Value::Null;
    vec![node("worker-1", &[(&[APP], 31_457_280)]), cordoned, dead, told, crio, empty, node("control-plane", &[])]
}

/// The table and the sentences as they look `columns` wide; none: into a pipe.
fn shown(seen: &Seen, columns: Option<usize>, colour: bool) -> String {
    let report = seen.report(Now::read());
    let look = columns.map_or(Look::Pipe, |columns| Look::Terminal { columns, colour, now: report.now });
    let table = Table::new(look, &report.rows);
    let notes = notes::below(&report, table.left_out());
    let text = [table.whole(&report.rows), notes.join("\n")].concat();
    // The one time that differs from run to run.
    report.rows.iter().filter_map(|row| row.since).fold(text, |text, since| text.replace(&since.to_string(), "TIME"))
}

const NOTES: &str = "\
empty: the list is empty, so the image may be there
crio: the runtime also finds images by names that it does not list, so the image may be there
worker-3 lists it, but its kubelet may refuse it: the same content was pulled under another name
worker-4 was loaded just now: its list will show it within 40 s
different builds: on worker-1; on worker-2.example.com, worker-3; on worker-4
since when is known for what berth load put there, and for what changes while --watch runs";

#[test]
fn a_pipe_gets_all_columns_whole_and_without_colour() {
    let town = seen(&town(Timestamp::now()), 50);
    let want = format!(
        "\
NODE                  STATUS     READY                     ORIGIN    SIZE   SINCE                 DIGEST                                                                   LISTED-AS
worker-1              holder     Ready                     imported  30MiB  -                     -                                                                        {APP}
worker-2.example.com  holder     Ready,SchedulingDisabled  pulled    28MiB  -                     {ID}  {APP}
worker-4              told       Ready                     loaded    -      TIME  -                                                                        -
worker-3              contested  NotReady                  imported  28MiB  -                     -                                                                        {APP}
crio                  unknown    Ready                     -         -      -                     -                                                                        -
empty                 unknown    Ready                     -         -      -                     -                                                                        -
control-plane         absent     Ready                     -         -      -                     -                                                                        -
{NOTES}"
    );
    let got = shown(&town, None, true);
    assert_eq!(got, want, "\n{got}");
    for line in got.lines().take(8) {
        assert_eq!(line.split_whitespace().count(), 8, "a column is a word: {line}");
    }
}

#[test]
fn a_wide_terminal_gets_ages_and_short_digests() {
    let town = seen(&town(Timestamp::now()), 50);
    let want = format!(
        "\
NODE                  STATUS     READY                     ORIGIN    SIZE   SINCE  DIGEST               LISTED-AS
worker-1              holder     Ready                     imported  30MiB  -      -                    {APP}
worker-2.example.com  holder     Ready,SchedulingDisabled  pulled    28MiB  -      sha256:e3b0c44298fc  {APP}
worker-4              told       Ready                     loaded    -      70s    -                    -
worker-3              contested  NotReady                  imported  28MiB  -      -                    {APP}
crio                  unknown    Ready                     -         -      -      -                    -
empty                 unknown    Ready                     -         -      -      -                    -
control-plane         absent     Ready                     -         -      -      -                    -
{NOTES}"
    );
    let got = shown(&town, Some(200), false).replace("71s", "70s").replace("69s", "70s");
    assert_eq!(got, want, "\n{got}");
    let painted = shown(&town, Some(200), true);
    assert!(painted.contains("\x1b[32mholder\x1b[0m") && painted.contains("\x1b[31mNotReady\x1b[0m"), "{painted}");
}

#[test]
fn narrow_terminals_lose_columns_and_say_so() {
    let town = seen(&town(Timestamp::now()), 50);
    let table = |columns: usize| {
        let text = shown(&town, Some(columns), false).replace("71s", "70s").replace("69s", "70s");
        assert!(text.lines().take(8).all(|line| line.chars().count() <= columns), "\n{text}");
        text
    };
    let want = "\
NODE                  STATUS     READY                     ORIGIN    SIZE
worker-1              holder     Ready                     imported  30MiB
worker-2.example.com  holder     Ready,SchedulingDisabled  pulled    28MiB
worker-4              told       Ready                     loaded    -
worker-3              contested  NotReady                  imported  28MiB
crio                  unknown    Ready                     -         -
empty                 unknown    Ready                     -         -
control-plane         absent     Ready                     -         -
";
    let got = table(80);
    assert!(got.starts_with(want), "\n{got}");
    assert!(
        got.ends_with("no room for DIGEST, LISTED-AS, SINCE: a wider terminal, a pipe and -o json show them"),
        "{got}"
    );
    let want = "\
NODE                  STATUS
worker-1              holder
worker-2.example.com  holder
worker-4              told
worker-3              contested
";
    let got = table(40);
    assert!(got.starts_with(want), "\n{got}");
    assert!(
        got.ends_with(
            "no room for DIGEST, LISTED-AS, SINCE, SIZE, ORIGIN, READY: a wider terminal, a pipe and -o json show them"
        ),
        "{got}"
    );
    let got = table(20);
    assert!(got.contains("\nworker-2…  holder\n"), "\n{got}");
}

#[test]
fn json_says_everything() {
    let now = Timestamp::now();
    let report = seen(&town(now), 50).report(Now::read());
    let json: Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(json["image"], APP);
    let of = |name: &str| json["nodes"].as_array().unwrap().iter().find(|node| node["node"] == name).unwrap();
    let want = json!({
        "node": "worker-2.example.com", "status": "holder", "ready": true, "cordoned": true, "origin": "pulled",
        "size": 30_000_000, "since": null, "digest": ID, "imageID": null, "name": APP,
        "names": [format!("docker.io/library/webapp@{ID}"), APP], "why": null,
    });
    assert_eq!(of("worker-2.example.com"), &want);
    let told = of("worker-4");
    let since: Timestamp = told["since"].as_str().unwrap().parse().unwrap();
    assert!((69..=72).contains(&now.duration_since(since).as_secs()), "{told}");
    assert_eq!((&told["status"], &told["origin"], &told["imageID"]), (&json!("told"), &json!("loaded"), &json!(ID)));
    assert_eq!(of("empty")["why"], "the list is empty");
    assert_eq!(of("control-plane")["names"], json!([]));
    assert_eq!(json["notes"].as_array().unwrap().len(), 6);
}

#[test]
fn uncertainty_is_explained_in_sentences() {
    let notes = |nodes: &[Value], limit: usize| {
        let report = seen(nodes, limit).report(Now::read());
        (report.is_held(), notes::below(&report, &[]))
    };
    assert_eq!(notes(&[], 50), (false, vec!["the cluster has no nodes".to_owned()]));
    let cut: Vec<Value> = ["a", "b", "c", "d", "e"].map(|name| node(name, &[(&["docker.io/library/x:1"], 1)])).into();
    let nobody = format!("no node is known to hold {APP}");
    let may = "a, b, c and 2 more: the list is cut at 2 images, so the image may be there".to_owned();
    assert_eq!(notes(&cut, 2), (false, vec![nobody.clone(), may]));
    assert_eq!(notes(&cut, 50), (false, vec![nobody.clone()]));
    let five = ["a:1", "a:2", "a:3", "a:4", "a:5"];
    let of_five = "n: an image in the list is cut at 5 names, so the image may be there".to_owned();
    assert_eq!(notes(&[node("n", &[(&five, 1)])], 50), (false, vec![nobody, of_five]));
}

#[test]
fn a_file_that_lies_about_names_moves_no_cursor() {
    let evil = "\u{1b}[2Jx\n\u{202e}";
    let mut lying = node(evil, &[(&[evil, APP], -5)]);
    lying["metadata"]["labels"] = json!({ "kubernetes.io/hostname": evil });
    let seen = seen(&[lying], 50);
    let (text, json) = (shown(&seen, None, false), seen.report(Now::read()).json());
    assert!(!text.contains(['\u{1b}', '\u{202e}']) && !json.contains(['\u{1b}', '\u{202e}']), "{text}{json}");
    assert!(text.contains("\\u{1b}[2Jx\\n\\u{202e}"), "{text}");
    assert!(text.lines().nth(1).unwrap().ends_with(APP) && text.contains("  imported  -  "), "{text}");
}

#[test]
fn a_change_is_dated_by_our_own_watch() {
    let mut seen = seen(&[node("a", &[]), node("b", &[])], 50);
    let apply = |seen: &mut Seen, value: &Value| seen.apply(&serde_json::from_value(value.clone()).unwrap());
    apply(&mut seen, &node("a", &[(&[APP], 1_000)]));
    let report = seen.report(Now::read());
    assert_eq!((report.rows[0].node.as_str(), report.rows[0].status), ("a", Standing::Holder));
    let since = report.rows[0].since.unwrap();
    assert!(report.now.duration_since(since).as_secs() <= 2);
    assert!(!notes::below(&report, &[]).iter().any(|note| note.starts_with("since when")));
    seen.remove(&serde_json::from_value(node("b", &[])).unwrap());
    assert_eq!(seen.report(Now::read()).rows.len(), 1);
    // A list that is being read anew changes nothing until it is whole, and drops who is gone.
    seen.begin();
    assert_eq!(seen.report(Now::read()).rows[0].name.as_deref(), Some(APP));
    apply(&mut seen, &node("c", &[]));
    seen.end();
    assert_eq!(seen.report(Now::read()).rows.iter().map(|row| row.node.as_str()).collect::<Vec<_>>(), ["c"]);
}

proptest! {
    /// What people are told is what the index goes by.
    #[test]
    fn there_is_a_reason_exactly_where_the_index_has_doubts(
        entries in prop::collection::vec(0..7_usize, 0..6),
        runtime in prop::sample::select(vec!["containerd://2", "docker://28", "cri-o://1", "other://1", ""]),
    ) {
        let entry = |(at, names): (usize, &usize)| {
            let names: Vec<String> = (0..*names).map(|name| format!("a{at}:{name}")).collect();
            json!({ "names": names, "sizeBytes": 1 })
        };
        let images: Vec<Value> = entries.iter().enumerate().map(entry).collect();
        let node = json!({
            "metadata": { "name": "n" },
            "status": { "images": images, "nodeInfo": { "containerRuntimeVersion": runtime } },
        });
        let seen = seen(std::slice::from_ref(&node), 4);
        let row = &seen.report(Now::read()).rows[0];
        let node: Node = serde_json::from_value(node).unwrap();
        let runtime = match runtime.split_once("://") {
            Some(("containerd", _)) => Runtime::Containerd,
            Some(("docker", _)) => Runtime::Docker,
            Some(("cri-o", _)) => Runtime::CriO,
            _ => Runtime::Other,
        };
        prop_assert_eq!(doubt::Doubt::of(&node, runtime, 4).is_some(), row.status == Standing::Unknown);
        prop_assert_eq!(row.doubt.is_some(), row.status == Standing::Unknown);
    }
}
