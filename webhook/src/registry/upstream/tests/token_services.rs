//! By which road token services are asked, and for whom.

use super::*;

#[test]
fn a_token_service_of_its_own_may_be_inside() {
    let token_hosts = vec!["auth.corp.internal".to_owned(), "auth.example:8443".to_owned()];
    let entries = [config::Registry { token_hosts, ..entry("reg.example", None) }, entry("*.plain.example", None)];
    for upstreams in [upstreams(&entries), closed(&entries)] {
        for url in ["https://auth.corp.internal/token", "https://auth.example:8443/token"] {
            assert_eq!(goes(&upstreams, "reg.example", url), Ok(()), "{url}");
            assert!(goes(&upstreams, "a.plain.example", url).is_err(), "{url}");
        }
        for url in ["http://auth.corp.internal/", "https://auth.corp.internal:8443/", "https://a.auth.corp.internal/"] {
            assert!(goes(&upstreams, "reg.example", url).is_err(), "{url}");
        }
        assert_eq!(upstreams.of("reg.example").unwrap().token_hosts().len(), 2);
    }
}

#[test]
fn a_token_service_without_tls_is_for_a_registry_without_it() {
    let listing = |host, endpoint| {
        let token_hosts = ["auth.svc:5001", "reg.svc:5001", "AUTH.corp:80", "sso.corp:443"].map(str::to_owned).to_vec();
        config::Registry { token_hosts, ..entry(host, Some(endpoint)) }
    };
    let entries = [
        listing("plain.example", "http://reg.svc:5000"),
        listing("tls.example", "https://reg.svc:5443"),
        entry("other.example", Some("http://other.svc:5000")),
    ];
    for upstreams in [upstreams(&entries), closed(&entries)] {
        for url in ["http://auth.svc:5001/token", "http://reg.svc:5001/token", "http://auth.corp/token"] {
            assert_eq!(goes(&upstreams, "plain.example", url), Ok(()), "{url}");
            assert!(goes(&upstreams, "tls.example", url).is_err(), "{url}");
            assert!(goes(&upstreams, "other.example", url).is_err(), "{url}");
        }
        for from in ["plain.example", "tls.example"] {
            assert_eq!(goes(&upstreams, from, "https://sso.corp/token"), Ok(()), "{from}");
        }
        for url in ["http://auth.svc:5002/token", "http://auth.svc/token", "http://x.auth.svc:5001/token"] {
            assert!(goes(&upstreams, "plain.example", url).is_err(), "{url}");
        }
    }
}
