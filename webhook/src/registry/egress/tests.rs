use std::{net::SocketAddr, str::FromStr as _};

use proptest::prelude::*;
use reqwest::dns::{Name, Resolve as _};

use super::{
    guard::Guard,
    name_server::{NameServer, Says},
    *,
};

const ALL: [Reach; 4] = [Reach::Public, Reach::Inside, Reach::Local, Reach::Proxy];

#[track_caller]
fn check(reach: Reach, url: &str, want: Result<(), &str>) {
    let got = reach.judge_url(&url.parse().unwrap(), None).map_err(|refusal| refusal.to_string());
    assert_eq!(got, want.map_err(str::to_owned), "url: {url}");
}

#[test]
fn a_host_that_is_not_configured_is_asked_over_https_at_its_port() {
    for url in ["https://ghcr.io/v2/", "https://ghcr.io:443/v2/", "https://8.8.8.8/v2/", "https://svc.example/"] {
        check(Reach::Public, url, Ok(()));
    }
    let port = "add ghcr.io:5000 to `registries` if you mean it: other hosts are asked at port 443 only";
    check(Reach::Public, "https://ghcr.io:5000/v2/", Err(port));
    let plain = "add ghcr.io to `registries` if you mean it: other hosts are not asked over plain http";
    check(Reach::Public, "http://ghcr.io/v2/", Err(plain));
    check(Reach::Public, "https://a:b@ghcr.io/v2/", Err("it names ghcr.io with a user in it"));
    check(Reach::Inside, "https://a@ghcr.io/v2/", Err("it names ghcr.io with a user in it"));
    for reach in [Reach::Inside, Reach::Local] {
        check(reach, "http://registry.kube-system.svc:5000/v2/", Ok(()));
        check(reach, "https://10.0.0.1:5000/v2/", Ok(()));
        check(reach, "ftp://reg.example/", Err("reg.example is no host"));
    }
}

#[test]
fn local_names_are_not_even_resolved() {
    for name in [
        "registry",
        "registry.",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "nas.local",
        "nas.local.",
        "metadata.google.internal",
        "registry.kube-system.svc",
        "registry.kube-system.svc.cluster.local",
        "x.cluster.local.",
        "ｌｏｃａｌｈｏｓｔ",
        "nas。local",
    ] {
        let refusal = Reach::Public.judge_url(&format!("https://{name}/").parse().unwrap(), None);
        assert!(matches!(refusal, Err(Refusal::LocalName { .. })), "name: {name}: {refusal:?}");
    }
    for name in ["local.example", "notlocal", "internal.example", "svc.example", "a.xlocal"] {
        let refusal = Reach::Public.judge_url(&format!("https://{name}/").parse().unwrap(), None);
        assert_eq!(refusal.is_ok(), name.contains('.'), "name: {name}: {refusal:?}");
    }
}

/// Addresses as URLs may spell them, with the kind that they have.
const SPELLINGS: [(&str, Kind); 30] = [
    ("127.0.0.1", Kind::Loopback),
    ("127.1", Kind::Loopback),
    ("2130706433", Kind::Loopback),
    ("0x7f000001", Kind::Loopback),
    ("0X7F.1", Kind::Loopback),
    ("017700000001", Kind::Loopback),
    ("0177.0.0.1", Kind::Loopback),
    ("127.0.0.1.", Kind::Loopback),
    ("１２７.0.0.1", Kind::Loopback),
    ("127。0。0。1", Kind::Loopback),
    ("%31%32%37.0.0.1", Kind::Loopback),
    ("①②⑦.0.0.1", Kind::Loopback),
    ("[::1]", Kind::Loopback),
    ("[0:0:0:0:0:0:0:1]", Kind::Loopback),
    ("[::ffff:127.0.0.1]", Kind::Loopback),
    ("[::ffff:7f00:1]", Kind::Loopback),
    ("[::127.0.0.1]", Kind::Loopback),
    ("[64:ff9b::127.0.0.1]", Kind::Loopback),
    ("0", Kind::Unspecified),
    ("0.0.0.0", Kind::Unspecified),
    ("[::]", Kind::Unspecified),
    ("2852039166", Kind::Metadata),
    ("169.254.43518", Kind::Metadata),
    ("0xa9fea9fe", Kind::Metadata),
    ("[::ffff:a9fe:a9fe]", Kind::Metadata),
    ("[64:ff9b::a9fe:a9fe]", Kind::Metadata),
    ("[2002:a9fe:a9fe::]", Kind::Metadata),
    ("168.63.129.16", Kind::Metadata),
    ("[fd00:ec2::254]", Kind::Metadata),
    ("[fe80::1]", Kind::LinkLocal),
];

#[test]
fn this_machine_and_the_metadata_are_known_in_every_spelling() {
    for (spelling, kind) in SPELLINGS {
        let url: Url = format!("https://{spelling}/").parse().unwrap();
        assert_eq!(literal(&url).map(Kind::of), Some(kind), "spelling: {spelling}");
        for reach in ALL {
            let allowed = reach == Reach::Proxy && kind == Kind::Loopback;
            assert_eq!(reach.judge_url(&url, None).is_ok(), allowed, "spelling: {spelling}, {reach:?}");
        }
        // What the configuration itself writes is meant, in whatever spelling, and nothing else with it.
        assert_eq!(Reach::Inside.judge_url(&url, literal(&url)), Ok(()));
        assert!(Reach::Inside.judge_url(&url, Some([127, 0, 0, 53].into())).is_err());
    }
    // A zone belongs to one machine only, and is no part of a URL.
    for broken in ["https://[fe80::1%25eth0]/", "https://[::1%lo]/", "https://1.2.3.4.5/", "https://256.1.1.1/"] {
        assert!(Url::parse(broken).is_err(), "{broken}");
    }
}

#[test]
fn private_addresses_are_for_configured_hosts() {
    for address in
        ["10.0.0.1", "100.64.0.1", "192.168.1.1", "[fd12::1]", "[64:ff9b::10.0.0.1]", "198.18.0.1", "[2001:db8::1]"]
    {
        let url: Url = format!("https://{address}/").parse().unwrap();
        assert!(matches!(Reach::Public.judge_url(&url, None), Err(Refusal::Address { .. })), "{address}");
        assert_eq!(Reach::Inside.judge_url(&url, None), Ok(()), "{address}");
        assert_eq!(Reach::Local.judge_url(&url, None), Ok(()), "{address}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// The HTTP client dials what it can read as an address without asking anybody. So whatever is accepted as a name
    /// must not be one for it, however it was spelled.
    #[test]
    fn no_address_passes_as_a_name(host in "[0-9a-fx.:%\\[\\]１２７。ａ-]{1,24}|[0-9]{1,3}(\\.[0-9x]{1,4}){0,3}\\.?|\\[[0-9a-f:.]{2,20}\\]") {
        let Ok(url) = Url::parse(&format!("https://{host}/")) else { return Ok(()) };
        let dialled = url.host_str().unwrap_or_default().trim_matches(['[', ']']).parse::<IpAddr>().ok();
        prop_assert_eq!(dialled, literal(&url), "host: {}", host);
        if Reach::Public.judge_url(&url, None).is_ok() {
            prop_assert!(dialled.is_none_or(|address| Kind::of(address) == Kind::Public), "host: {}", host);
        }
    }
}

async fn dialled(server: &NameServer, host: &str, reach: Reach) -> Result<Vec<String>, String> {
    let guard = Guard::new(server.names(&[], 1, ""), reach);
    let found = guard.resolve(Name::from_str(host).unwrap()).await.map_err(|error| error.to_string())?;
    Ok(found.map(|address: SocketAddr| address.ip().to_string()).collect())
}

#[tokio::test]
async fn of_several_addresses_those_that_are_allowed_are_dialled() {
    let server = NameServer::answering(|question| match question.split(". ").next().unwrap() {
        "mixed.example" => {
            Says::Addresses(&["10.0.0.1", "8.8.8.8", "127.0.0.1", "::1", "2001:4860::8", "fd00:ec2::254"])
        }
        "inside.example" => Says::Addresses(&["10.0.0.1", "fd12::1"]),
        "here.example" => Says::Addresses(&["127.0.0.1", "::1"]),
        "metadata.example" => Says::Addresses(&["169.254.169.254", "fd00:ec2::254"]),
        "disguised.example" => Says::Addresses(&["64:ff9b::a9fe:a9fe", "::ffff:127.0.0.1", "2002:7f00:1::"]),
        "azure.example" => Says::Addresses(&["168.63.129.16"]),
        "zero.example" => Says::Addresses(&["0.0.0.0", "::"]),
        _ => Says::Nobody,
    })
    .await;
    let to = async |host, reach| dialled(&server, host, reach).await.map(|addresses| addresses.join(" "));
    assert_eq!(to("mixed.example", Reach::Public).await.unwrap(), "8.8.8.8 2001:4860::8");
    assert_eq!(to("mixed.example", Reach::Inside).await.unwrap(), "10.0.0.1 8.8.8.8 2001:4860::8");
    assert_eq!(to("inside.example", Reach::Inside).await.unwrap(), "10.0.0.1 fd12::1");
    assert_eq!(to("inside.example", Reach::Local).await.unwrap(), "10.0.0.1 fd12::1");
    let refused = to("inside.example", Reach::Public).await.unwrap_err();
    assert_eq!(refused, "add inside.example to `registries` if you mean it: fd12::1 is a private address");
    for host in ["here.example", "metadata.example", "disguised.example", "azure.example", "zero.example"] {
        for reach in [Reach::Public, Reach::Inside, Reach::Local] {
            let refused = to(host, reach).await.unwrap_err();
            let remedy = match reach {
                Reach::Inside => "set the `endpoint` of ",
                Reach::Local => "add it to `registries`: the cluster says that it is at ",
                Reach::Public | Reach::Proxy => "add ",
            };
            assert!(refused.starts_with(&[remedy, host].concat()), "{host}, {reach:?}: {refused}");
        }
    }
    assert_eq!(to("here.example", Reach::Proxy).await.unwrap(), "127.0.0.1 ::1");
    assert!(to("metadata.example", Reach::Proxy).await.unwrap_err().starts_with("look at HTTPS_PROXY"));
    assert_eq!(
        to("nobody.example", Reach::Public).await.unwrap_err(),
        "cannot be resolved: check name and DNS: nobody.example"
    );
}

/// Whatever a name meant a moment ago: the address that is judged is the one that is handed to whoever dials.
#[tokio::test]
async fn a_name_that_is_rebound_is_judged_anew() {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let server = NameServer::answering(move |question| {
        let turn = asked.fetch_add(usize::from(question.ends_with(" A")), std::sync::atomic::Ordering::Relaxed);
        match turn {
            _ if question.ends_with("AAAA") => Says::Addresses(&[]),
            0 => Says::Addresses(&["8.8.8.8"]),
            _ => Says::Addresses(&["127.0.0.1"]),
        }
    })
    .await;
    let guard = Guard::new(server.names(&[], 1, ""), Reach::Public);
    let resolve = async || guard.resolve(Name::from_str("rebound.example").unwrap()).await;
    assert_eq!(resolve().await.unwrap().map(|address| address.ip().to_string()).collect::<Vec<_>>(), ["8.8.8.8"]);
    let refused = resolve().await.err().unwrap().to_string();
    assert_eq!(refused, "add rebound.example to `registries` if you mean it: 127.0.0.1 is a loopback address");
}

#[test]
fn what_is_cut_is_not_the_remedy() {
    let refusal =
        Reach::Public.judge("registry.example", "64:ff9b::a9fe:a9fe".parse().unwrap()).unwrap_err().to_string();
    let whole = format!("berth: payments-api-worker1: not pinned: {refusal}");
    assert!(whole.find("`registries`").is_some_and(|place| place < 100), "{whole}");
}
