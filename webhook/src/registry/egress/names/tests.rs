use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::{runtime::Handle, time::Instant};

use super::*;
use crate::registry::egress::name_server::{NameServer, Says};

const PUBLIC: Says = Says::Addresses(&["2001:4860::8", "8.8.8.8"]);
/// The search list of a Pod.
const CLUSTER: [&str; 3] = ["berth.svc.cluster.local", "svc.cluster.local", "cluster.local"];
const SECOND: Duration = Duration::from_secs(1);

async fn told(names: &Names, host: &str, reach: Reach) -> Result<String, String> {
    let found = names.addresses(host, reach).await.map_err(|error| error.to_string())?;
    Ok(found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
}

#[tokio::test]
async fn both_families_are_found_ipv4_first() {
    let server = NameServer::answering(|_| PUBLIC).await;
    let names = server.names(&[], 1, "");
    assert_eq!(told(&names, "ghcr.io", Reach::Public).await, Ok("8.8.8.8 2001:4860::8".to_owned()));
    assert_eq!(server.asked(), ["ghcr.io. A", "ghcr.io. AAAA"]);
}

#[tokio::test]
async fn only_a_configured_host_is_looked_for_in_the_search_list() {
    // Whoever may create the Service `ghcr` in the Namespace `io` answers for the second.
    let server = NameServer::answering(|question| match question.split(' ').next() {
        Some("ghcr.io." | "registry.kube-system.svc.cluster.local." | "ghcr.io.svc.cluster.local.") => PUBLIC,
        _ => Says::Nobody,
    })
    .await;
    let names = server.names_within(SECOND * 5, &CLUSTER, 5, "");
    assert!(told(&names, "ghcr.io", Reach::Public).await.is_ok());
    assert_eq!(server.asked(), ["ghcr.io. A", "ghcr.io. AAAA"]);
    assert!(told(&names, "registry.kube-system.svc", Reach::Inside).await.is_ok());
    let tried: Vec<_> = server.asked().into_iter().filter(|question| question.starts_with("registry")).collect();
    let want = CLUSTER.map(|domain| {
        let name = format!("registry.kube-system.svc.{domain}.");
        [format!("{name} A"), format!("{name} AAAA")]
    });
    let mut want = want.concat();
    want.sort();
    assert_eq!(tried, want);
    assert_eq!(
        told(&names, "other.svc", Reach::Public).await,
        Err("cannot be resolved: check name and DNS: other.svc".to_owned())
    );
    assert!(!server.asked().contains(&"other.svc.cluster.local. A".to_owned()));
}

#[test]
fn a_name_is_whole_after_its_dots_or_before_the_search_list() {
    let names = |ndots| Names {
        search: vec![Name::from_ascii("a.example").unwrap(), Name::from_ascii("b.example.").unwrap()],
        ndots,
        ..Names::unusable(String::new(), Hosts::default())
    };
    let whole = |ndots, name: &str, reach| {
        let found = names(ndots).whole(Name::from_ascii(name).unwrap(), reach);
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(whole(1, "reg.lab", Reach::Inside), "reg.lab. reg.lab.a.example. reg.lab.b.example.");
    assert_eq!(whole(2, "reg.lab", Reach::Inside), "reg.lab.a.example. reg.lab.b.example. reg.lab.");
    assert_eq!(whole(5, "reg.lab.", Reach::Inside), "reg.lab.");
    assert_eq!(whole(5, "reg.lab", Reach::Public), "reg.lab.");
    assert_eq!(whole(1, "reg", Reach::Proxy), "reg.a.example. reg.b.example. reg.");
}

#[tokio::test]
async fn what_the_machine_knows_by_itself_is_not_asked() {
    let server = NameServer::answering(|_| Says::Nothing).await;
    let names = server.names(&["lab"], 1, "10.0.0.7 registry harbor.lab # ours\n::1 six\n");
    for (name, want) in
        [("registry", "10.0.0.7"), ("HARBOR.lab", "10.0.0.7"), ("harbor.lab.", "10.0.0.7"), ("six", "::1")]
    {
        assert_eq!(told(&names, name, Reach::Inside).await, Ok(want.to_owned()), "name: {name}");
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn each_failure_has_its_words() {
    let server = NameServer::answering(|question| match question {
        "nobody.example. A" | "nobody.example. AAAA" | "doubtful.example. AAAA" => Says::Nobody,
        "failed.example. A" | "failed.example. AAAA" | "half.example. AAAA" => Says::Failed,
        "empty.example. A" | "empty.example. AAAA" => Says::Addresses(&[]),
        "half.example. A" => Says::Addresses(&["8.8.8.8"]),
        _ => Says::Nothing,
    })
    .await;
    let names = server.names(&[], 1, "");
    for (host, want) in [
        ("nobody.example", Err("cannot be resolved: check name and DNS: nobody.example")),
        ("empty.example", Err("cannot be resolved: check name and DNS: empty.example")),
        (
            "failed.example",
            Err("DNS failed: check its servers: failed.example: the name server answers Server Failure"),
        ),
        ("half.example", Ok("8.8.8.8")),
        ("silent.example", Err("no answer from DNS: check its servers: silent.example")),
        // One family may be there: nothing is proven.
        ("doubtful.example", Err("no answer from DNS: check its servers: doubtful.example")),
    ] {
        let got = told(&names, host, Reach::Public).await;
        assert_eq!(got.as_ref().map(String::as_str).map_err(String::as_str), want, "host: {host}");
    }
}

#[tokio::test]
async fn a_name_that_nobody_answers_for_does_not_hide_the_next() {
    for says in [Says::Failed, Says::Refused, Says::Nothing] {
        let server = NameServer::answering(move |question| match question.split(' ').next() {
            Some("registry.kube-system.svc.cluster.local." | "registry.") => PUBLIC,
            Some("registry.kube-system.svc." | "registry.berth.svc.cluster.local.") => says,
            _ => Says::Nobody,
        })
        .await;
        let names = server.names_within(SECOND, &CLUSTER, 2, "");
        // The first whole name is the one that stands there, and the last.
        for host in ["registry.kube-system.svc", "registry"] {
            let start = Instant::now();
            let got = told(&names, host, Reach::Inside).await;
            assert_eq!(got, Ok("8.8.8.8 2001:4860::8".to_owned()), "{host}: {says:?}");
            assert!(start.elapsed() < SECOND, "{host}: {says:?}: {:?}", start.elapsed());
        }
    }
}

/// Else whoever names a Service as it pleases him would win against a name server that is slow.
#[tokio::test]
async fn a_name_further_down_the_list_waits_for_those_above() {
    let lost = AtomicUsize::new(0);
    let server = NameServer::answering(move |question| match question.split(' ').next() {
        Some("reg.corp.example.") if lost.fetch_add(1, Ordering::Relaxed) < 2 => Says::Nothing,
        Some("reg.corp.example.") => Says::Addresses(&["10.0.0.7"]),
        _ => Says::Addresses(&["6.6.6.6"]),
    })
    .await;
    let names = server.names(&CLUSTER, 2, "");
    assert_eq!(told(&names, "reg.corp.example", Reach::Inside).await, Ok("10.0.0.7".to_owned()));
    assert!(server.asked().iter().any(|question| question.contains("cluster.local")), "{:?}", server.asked());
}

#[tokio::test]
async fn a_name_server_that_answers_is_asked_for_no_more_than_it_takes() {
    let server = NameServer::answering(|_| Says::Slowly(&["8.8.8.8"])).await;
    let names = server.names_within(SECOND * 5, &CLUSTER, 2, "");
    assert_eq!(told(&names, "reg.corp.example", Reach::Inside).await, Ok("8.8.8.8".to_owned()));
    assert_eq!(server.asked(), ["reg.corp.example. A", "reg.corp.example. AAAA"]);
}

#[tokio::test]
async fn the_first_failure_is_told_where_no_name_is_known() {
    let server = NameServer::answering(|question| match question.split(' ').next() {
        Some("failed.lab.example.") => Says::Failed,
        Some(name) if name.starts_with("silent.") => Says::Nothing,
        _ => Says::Nobody,
    })
    .await;
    let names = server.names_within(SECOND, &CLUSTER, 2, "");
    for (host, want) in [
        (
            "failed.lab.example",
            "DNS failed: check its servers: failed.lab.example: the name server answers Server Failure",
        ),
        ("silent.lab.example", "no answer from DNS: check its servers: silent.lab.example"),
        ("nobody.lab.example", "cannot be resolved: check name and DNS: nobody.lab.example"),
    ] {
        let start = Instant::now();
        assert_eq!(told(&names, host, Reach::Inside).await, Err(want.to_owned()));
        assert!(start.elapsed() < SECOND * 3 / 2, "{host}: {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn a_family_that_stalls_holds_up_the_other_for_a_moment_only() {
    let server = NameServer::answering(|question| match question {
        "four.example. A" => Says::Addresses(&["8.8.8.8"]),
        "six.example. AAAA" => Says::Addresses(&["2001:4860::8"]),
        _ => Says::Nothing,
    })
    .await;
    let names = server.names_within(Duration::from_secs(5), &[], 1, "");
    for (host, want) in [("four.example", "8.8.8.8"), ("six.example", "2001:4860::8")] {
        let start = Instant::now();
        assert_eq!(told(&names, host, Reach::Public).await, Ok(want.to_owned()));
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn a_lost_packet_is_sent_again() {
    let seen = AtomicUsize::new(0);
    let server = NameServer::answering(move |_| match seen.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => Says::Nothing,
        _ => PUBLIC,
    })
    .await;
    let start = Instant::now();
    assert!(told(&server.names(&[], 1, ""), "ghcr.io", Reach::Public).await.is_ok());
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_stalled_name_server_outlives_nobody() {
    let server = NameServer::answering(|_| Says::Nothing).await;
    let names = server.names(&CLUSTER, 1, "");
    let start = Instant::now();
    assert!(told(&names, "first.example", Reach::Public).await.is_err());
    assert!(start.elapsed() < Duration::from_millis(600), "{:?}", start.elapsed());
    let (tasks, threads) = (Handle::current().metrics().num_alive_tasks(), threads());
    let hosts: Vec<String> = (0..500).map(|number| format!("h{number}.example")).collect();
    let public = hosts.iter().map(|host| told(&names, host, Reach::Public));
    let inside = hosts.iter().take(50).map(|host| told(&names, host, Reach::Inside)); // four names each
    let questions = future::join(future::join_all(public), future::join_all(inside));
    // All are dropped while they wait, as when a review's deadline passes.
    assert!(time::timeout(Duration::from_millis(150), questions).await.is_err());
    time::sleep(Duration::from_millis(100)).await;
    assert!(Handle::current().metrics().num_alive_tasks() <= tasks + 1, "tasks were left behind");
    assert!(threads.abs_diff(self::threads()) < 64, "a thread a question");
}

/// Threads of this process; other tests have some, too.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[tokio::test]
async fn a_machine_without_name_servers_says_so() {
    let names = Names::unusable("/etc/resolv.conf: no nameservers found in config".to_owned(), Hosts::default());
    let want = "DNS failed: check its servers: ghcr.io: /etc/resolv.conf: no nameservers found in config";
    assert_eq!(told(&names, "ghcr.io", Reach::Public).await, Err(want.to_owned()));
}
