//! Where Berth may connect to: images are named by tenants, and Berth sits inside the cluster.
//!
//! A host that the configuration does not name is asked over https, at port 443, at a public address only. The address
//! that is checked is the one that is dialled: names by [`Guard`], which resolves them for the HTTP client, literals by
//! [`check_url`], because the client does not resolve those.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

/// Checks a URL whose host is not configured: scheme, address where it is written as one, port.
pub(super) fn check_url(url: &Url) -> Result<(), Refusal> {
    let host = url.host_str().unwrap_or_default();
    if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        check_address(host, address)?;
    }
    if url.scheme() != "https" {
        return Err(Refusal::PlainHttp { host: host.to_owned() });
    }
    match url.port() {
        None => Ok(()), // a URL does not keep its scheme's own port
        Some(port) => Err(Refusal::Port { host: host.to_owned(), port }),
    }
}

fn check_address(host: &str, address: IpAddr) -> Result<(), Refusal> {
    match kind(address) {
        None => Ok(()),
        Some(kind) => Err(Refusal::Address { host: host.to_owned(), address, kind }),
    }
}

/// Why Berth does not connect.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Refusal {
    /// The address is not a public one.
    #[error("{address} is {kind} address; add {host} to `registries` if you mean it")]
    Address { host: String, address: IpAddr, kind: &'static str },
    /// No TLS.
    #[error("it would be asked over plain http; add {host} to `registries` if you mean it")]
    PlainHttp { host: String },
    /// A port that is not https's.
    #[error("port {port} is asked only where it is configured; add {host}:{port} to `registries` if you mean it")]
    Port { host: String, port: u16 },
    /// A name that the grammar of references allows and that of URLs does not.
    #[error("{host} is no host")]
    NoHost { host: String },
}

/// Resolves names, to their public addresses only.
#[derive(Debug)]
pub(super) struct Guard;

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(public(name.as_str(), found)?.into_iter()) as Addrs)
        })
    }
}

/// The addresses that may be dialled; refused if there are only others.
fn public(host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Refusal> {
    let refused = found.iter().find_map(|found| check_address(host, found.ip()).err());
    let public: Vec<SocketAddr> = found.into_iter().filter(|found| kind(found.ip()).is_none()).collect();
    match refused {
        Some(refusal) if public.is_empty() => Err(refusal),
        _ => Ok(public),
    }
}

/// What is special about an address; none for a public one.
///
/// # Source
/// The IANA registries of special-purpose IPv4 and IPv6 addresses; the metadata addresses of the large clouds.
fn kind(address: IpAddr) -> Option<&'static str> {
    if METADATA.contains(&address) {
        return Some("a metadata");
    }
    match address {
        IpAddr::V4(address) => kind_of_v4(address),
        IpAddr::V6(address) => kind_of_v6(address),
    }
}

fn kind_of_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [0, ..] => Some("an unspecified"),
        [127, ..] => Some("a loopback"),
        [169, 254, ..] => Some("a link-local"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some("a private"),
        [100, 64..=127, ..] => Some("a shared (carrier-grade NAT)"),
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18..=19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => {
            Some("a reserved")
        }
        [224..=239, ..] => Some("a multicast"),
        [240..=255, ..] => Some("a reserved"),
        _ => None,
    }
}

/// Only `2000::/3` is public, without what carries an IPv4 address or is for documents.
fn kind_of_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_loopback() {
        return Some("a loopback");
    }
    if let Some(mapped) = address.to_ipv4_mapped() {
        return Some(kind(IpAddr::V4(mapped)).unwrap_or("an IPv4-mapped"));
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("an unspecified"),
        [0xfe80..=0xfebf, ..] => Some("a link-local"),
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Some("a private"),
        [0xff00..=0xffff, ..] => Some("a multicast"),
        [0x2001, 0, ..] | [0x2002, ..] => Some("a tunnel"),
        [0x2001, 0x0001..=0x01ff | 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Some("a reserved"),
        [0x2000..=0x3fff, ..] => None,
        _ => Some("a reserved"),
    }
}

/// Where clouds hand credentials to whoever asks: AWS (and most others), AWS over IPv6, Alibaba, Azure, Oracle.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, want: Option<&str>) {
        assert_eq!(kind(address.parse().unwrap()), want, "address: {address}");
    }

    #[test]
    fn every_kind_of_address_has_its_word() {
        for public in ["8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "192.0.1.1", "223.255.0.1"] {
            check(public, None);
        }
        for public in ["2600:1f18::1", "2a00:1450:4001::1", "2001:4860:4860::8888", "3ffe::1"] {
            check(public, None);
        }
        check("0.0.0.0", Some("an unspecified"));
        check("0.1.2.3", Some("an unspecified"));
        check("127.0.0.1", Some("a loopback"));
        check("127.255.255.254", Some("a loopback"));
        check("10.0.0.1", Some("a private"));
        check("172.16.0.1", Some("a private"));
        check("172.31.255.255", Some("a private"));
        check("192.168.1.1", Some("a private"));
        check("169.254.1.1", Some("a link-local"));
        check("169.254.169.254", Some("a metadata"));
        check("168.63.129.16", Some("a metadata"));
        check("100.100.100.200", Some("a metadata"));
        check("100.64.0.1", Some("a shared (carrier-grade NAT)"));
        check("192.0.2.1", Some("a reserved"));
        check("198.18.0.1", Some("a reserved"));
        check("203.0.113.9", Some("a reserved"));
        check("224.0.0.1", Some("a multicast"));
        check("240.0.0.1", Some("a reserved"));
        check("255.255.255.255", Some("a reserved"));
        check("::", Some("an unspecified"));
        check("::1", Some("a loopback"));
        check("::ffff:127.0.0.1", Some("a loopback"));
        check("::ffff:169.254.169.254", Some("a metadata"));
        check("::ffff:8.8.8.8", Some("an IPv4-mapped"));
        check("::127.0.0.1", Some("a reserved"));
        check("64:ff9b::7f00:1", Some("a reserved"));
        check("fe80::1", Some("a link-local"));
        check("fd00:ec2::254", Some("a metadata"));
        check("fd12::1", Some("a private"));
        check("fec0::1", Some("a private"));
        check("ff02::1", Some("a multicast"));
        check("2002:7f00:1::", Some("a tunnel"));
        check("2001::1", Some("a tunnel"));
        check("2001:db8::1", Some("a reserved"));
    }

    #[track_caller]
    fn check_text(url: &str, want: Result<(), &str>) {
        let got = check_url(&url.parse().unwrap()).map_err(|refusal| refusal.to_string());
        assert_eq!(got, want.map_err(str::to_owned), "url: {url}");
    }

    #[test]
    fn a_host_that_is_not_configured_is_asked_over_https_at_its_port() {
        check_text("https://ghcr.io/v2/", Ok(()));
        check_text("https://ghcr.io:443/v2/", Ok(()));
        check_text("https://8.8.8.8/v2/", Ok(()));
        let port = "port 5000 is asked only where it is configured; add ghcr.io:5000 to `registries` if you mean it";
        check_text("https://ghcr.io:5000/v2/", Err(port));
        let plain = "it would be asked over plain http; add ghcr.io to `registries` if you mean it";
        check_text("http://ghcr.io/v2/", Err(plain));
    }

    #[test]
    fn a_literal_is_seen_through_every_spelling() {
        for spelling in ["127.0.0.1", "127.1", "0x7f.1", "0177.0.0.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]"] {
            let url: Url = format!("https://{spelling}/v2/").parse().unwrap();
            assert!(
                matches!(check_url(&url), Err(Refusal::Address { kind: "a loopback", .. })),
                "spelling: {spelling}"
            );
        }
    }

    #[test]
    fn of_several_addresses_the_public_ones_are_dialled() {
        let address = |text: &str| -> SocketAddr { format!("{text}:0").parse().unwrap() };
        let both = vec![address("10.0.0.1"), address("8.8.8.8")];
        assert_eq!(public("evil.example", both), Ok(vec![address("8.8.8.8")]));
        let refusal = public("evil.example", vec![address("10.0.0.1")]).unwrap_err();
        let want = "10.0.0.1 is a private address; add evil.example to `registries` if you mean it";
        assert_eq!(refusal.to_string(), want);
        assert_eq!(public("nowhere.example", Vec::new()), Ok(Vec::new()));
    }
}
