//! What is special about an address, in whatever form it carries an IPv4 address.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The kinds of address that Berth tells apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::registry) enum Kind {
    /// Reached over the internet.
    Public,
    /// RFC 1918, unique local addresses, and what a site translates by itself (RFC 8215).
    Private,
    /// Carrier-grade NAT, `100.64.0.0/10`: many clouds put their Pods there.
    Shared,
    /// For documents, tests, or nothing yet.
    Reserved,
    /// Another network inside a tunnel: 6to4 and Teredo.
    Tunnel,
    /// One packet to many.
    Multicast,
    /// `0.0.0.0` and `::`, which Linux takes for this machine.
    Unspecified,
    /// This machine, which inside a Pod is Berth itself.
    Loopback,
    /// The same wire.
    LinkLocal,
    /// Where a cloud hands credentials to whoever asks.
    Metadata,
}

impl Kind {
    /// The kind of `address`, and of the IPv4 address that it carries, whichever is worse.
    ///
    /// # Source
    /// The IANA registries of special-purpose IPv4 and IPv6 addresses; the documents of the clouds for [`METADATA`].
    pub(in crate::registry) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    /// Where only a machine's own programs or its cloud answer: nobody has a registry there whom a name can tell.
    pub(super) fn is_this_machine(self) -> bool {
        match self {
            Self::Multicast | Self::Unspecified | Self::Loopback | Self::LinkLocal | Self::Metadata => true,
            Self::Public | Self::Private | Self::Shared | Self::Reserved | Self::Tunnel => false,
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        if METADATA.contains(&IpAddr::V4(address)) {
            return Self::Metadata;
        }
        match address.octets() {
            [0, ..] => Self::Unspecified,
            [127, ..] => Self::Loopback,
            [169, 254, ..] => Self::LinkLocal,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Self::Private,
            [100, 64..=127, ..] => Self::Shared,
            [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18..=19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => {
                Self::Reserved
            }
            [224..=239, ..] => Self::Multicast,
            [240..=255, ..] => Self::Reserved,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        if METADATA.contains(&IpAddr::V6(address)) {
            return Self::Metadata;
        }
        let own = Self::of_v6_alone(address);
        let carried = carried(address).into_iter().flatten().map(Self::of_v4);
        // NAT64 reaches what it carries (RFC 6052); what carries a public address otherwise is not made public by that.
        carried.filter(|kind| *kind != Self::Public).max_by_key(|kind| kind.is_this_machine()).unwrap_or(own)
    }

    /// Only `2000::/3` and what NAT64 reaches are public.
    fn of_v6_alone(address: Ipv6Addr) -> Self {
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 0] => Self::Unspecified,
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            [0xfd00, 0x0ec2, ..] => Self::Metadata, // all of it is AWS's own: credentials, names, time
            [0x0064, 0xff9b, 1, ..] | [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Self::Private,
            [0xfe80..=0xfebf, ..] => Self::LinkLocal,
            [0xff00..=0xffff, ..] => Self::Multicast,
            [0x2001, 0, ..] | [0x2002, ..] => Self::Tunnel,
            [0x2001, 0x0001..=0x01ff | 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Self::Reserved,
            [0x0064, 0xff9b, 0, 0, 0, 0, ..] | [0x2000..=0x3fff, ..] => Self::Public,
            _ => Self::Reserved,
        }
    }
}

/// In a sentence: "… is a private address".
impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Public => "a public address",
            Self::Private => "a private address",
            Self::Shared => "a shared (carrier-grade NAT) address",
            Self::Reserved => "a reserved address",
            Self::Tunnel => "a tunnel's address",
            Self::Multicast => "a multicast address",
            Self::Unspecified => "no machine's address",
            Self::Loopback => "a loopback address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a metadata address",
        })
    }
}

/// The IPv4 addresses that an IPv6 address carries: most carry none, and a local NAT64 prefix may be read in two ways.
///
/// # Source
/// RFC 4291 (mapped, compatible), 2765 (translated), 6052 and 8215 (NAT64), 3056 (6to4), 4380 (Teredo).
fn carried(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None, None],
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x0064, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => [v4(high, low), None],
        // RFC 6052, 2.2: with a prefix of 48 bits the address stands around the empty ninth octet.
        [0x0064, 0xff9b, 1, high, around, low, last_high, last_low] => {
            let split = (around << 8) | (low >> 8);
            let filled = |address: &Ipv4Addr| !address.is_unspecified();
            [v4(last_high, last_low).filter(filled), v4(high, split).filter(filled)]
        }
        [0x2001, 0, server_high, server_low, _, _, high, low] => [v4(!high, !low), v4(server_high, server_low)],
        _ => [None, None],
    }
}

/// Where clouds hand credentials to whoever asks, as far as it is no link-local address.
const METADATA: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), // most of them
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)), // Alibaba
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),   // Azure
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),     // Oracle, formerly
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254)), // Google
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x00c1, 0, 0, 0, 0, 0xa9fe, 0xa9fe)), // Oracle
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(want: Kind, addresses: &[&str]) {
        for address in addresses {
            assert_eq!(Kind::of(address.parse().unwrap()), want, "address: {address}");
        }
    }

    #[test]
    fn every_kind_of_ipv4_address_is_known_to_its_edges() {
        check(Kind::Public, &["8.8.8.8", "9.255.255.255", "11.0.0.0", "172.15.0.1", "172.32.0.1", "100.63.255.255"]);
        check(Kind::Public, &["100.128.0.0", "192.0.1.1", "192.167.255.255", "192.169.0.0", "223.255.0.1", "1.0.0.0"]);
        check(Kind::Unspecified, &["0.0.0.0", "0.1.2.3", "0.255.255.255"]);
        check(Kind::Loopback, &["127.0.0.1", "127.255.255.254"]);
        check(Kind::Private, &["10.0.0.1", "172.16.0.0", "172.31.255.255", "192.168.1.1"]);
        check(Kind::LinkLocal, &["169.254.0.0", "169.254.170.2", "169.254.255.255"]);
        check(Kind::Metadata, &["169.254.169.254", "168.63.129.16", "100.100.100.200", "192.0.0.192"]);
        check(Kind::Shared, &["100.64.0.0", "100.127.255.255"]);
        check(Kind::Reserved, &["192.0.2.1", "198.18.0.1", "198.19.255.255", "203.0.113.9", "240.0.0.1"]);
        check(Kind::Reserved, &["255.255.255.255", "192.88.99.1", "198.51.100.1"]);
        check(Kind::Multicast, &["224.0.0.1", "239.255.255.255"]);
    }

    #[test]
    fn every_kind_of_ipv6_address_is_known() {
        check(Kind::Public, &["2600:1f18::1", "2a00:1450:4001::1", "2001:4860:4860::8888", "3ffe::1"]);
        check(Kind::Unspecified, &["::"]);
        check(Kind::Loopback, &["::1"]);
        check(Kind::LinkLocal, &["fe80::1", "febf::1"]);
        check(Kind::Private, &["fc00::1", "fd12::1", "fec0::1"]);
        check(Kind::Metadata, &["fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe"]);
        check(Kind::Multicast, &["ff02::1"]);
        check(Kind::Reserved, &["2001:db8::1", "3fff::1", "4000::1", "100::1", "2001:10::1"]);
        check(Kind::Tunnel, &["2002:808:808::", "2001::808:808:0:0:f7f7:f7f7"]);
    }

    #[test]
    fn an_ipv4_address_inside_an_ipv6_address_counts() {
        check(Kind::Loopback, &["::ffff:127.0.0.1", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1"]);
        check(Kind::Loopback, &["64:ff9b:1::7f00:1", "64:ff9b:1:7f00:0:100::", "2002:7f00:1::1"]);
        check(Kind::Metadata, &["::ffff:169.254.169.254", "::a9fe:a9fe", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::"]);
        check(Kind::Metadata, &["2001:0:a9fe:a9fe::", "2001:0:808:808::5601:5601", "64:ff9b::a83f:8110"]);
        check(Kind::Metadata, &["64:ff9b:1:a9fe:a9:fe00::", "::ffff:100.100.100.200", "::ffff:0:a9fe:a9fe"]);
        check(Kind::Unspecified, &["::ffff:0.0.0.0", "64:ff9b::"]);
        check(Kind::Private, &["::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:c0a8:1::", "64:ff9b:1::808:808"]);
        check(Kind::Shared, &["::ffff:100.64.0.1", "64:ff9b::6440:1"]);
    }

    /// In a cluster without IPv4, every registry without IPv6 has such an address, by DNS64.
    #[test]
    fn nat64_of_a_public_address_is_public_and_no_other_disguise_is() {
        check(Kind::Public, &["64:ff9b::8.8.8.8"]);
        check(Kind::Reserved, &["::ffff:8.8.8.8", "::8.8.8.8", "::ffff:0:8.8.8.8"]);
    }
}
