//! Addresses where Berth must not go, and how they can be named.

use std::net::IpAddr;

/// Images whose host is an address inside, in every spelling, and at every port of the doors.
pub(crate) fn spellings() -> impl Iterator<Item = String> {
    let hosts = INSIDE.iter().flat_map(|address| match address.parse().unwrap() {
        IpAddr::V6(address) => vec![format!("[{address}]")],
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            let (number, mapped) = (u32::from(address), address.to_ipv6_mapped());
            let [high, low] = [number >> 16, number & 0xffff];
            vec![
                address.to_string(),
                number.to_string(),
                format!("{number:#x}"),
                format!("{number:#o}").replace("0o", "0"),
                format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
                format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
                format!("{a}.{b}.{}", u32::from(c) << 8 | u32::from(d)),
                format!("{a}.{}", number & 0xff_ffff),
                format!("[{mapped}]"),
                format!("[::ffff:{high:x}:{low:x}]"),
                format!("[::{high:x}:{low:x}]"),
                format!("[64:ff9b::{high:x}:{low:x}]"),
                format!("[64:ff9b:1::{high:x}:{low:x}]"),
                format!("[2002:{high:x}:{low:x}::1]"),
                format!("[2001:0:{high:x}:{low:x}::]"),
            ]
        }
    });
    hosts.flat_map(|host| {
        let ports = PORTS.map(|port| format!("{host}:{port}/app:v1"));
        [vec![format!("{host}/app:v1")], ports.to_vec()].concat()
    })
}

/// Images whose host is a name that means something inside.
pub(crate) fn names() -> impl Iterator<Item = String> {
    let inside = (0..INSIDE.len()).map(|number| format!("inside{number}.example"));
    let local =
        ["localhost", "app.localhost", "metadata.example", "metadata.google.internal", "kubernetes.default.svc"];
    let hosts = inside.chain(local.map(str::to_owned));
    let named = hosts.flat_map(|host| [format!("{host}/app:v1"), format!("{host}:5000/app:v1")]);
    // And two that may be asked: one whom a Service in the cluster would like to be.
    named.chain(["evil.example/app:v1", "ghcr.example/app:v1"].map(str::to_owned))
}

/// Where a stranger's registry sends Berth.
pub(crate) fn targets() -> Vec<String> {
    let literals = INSIDE.iter().flat_map(|address| urls(address));
    let spelled =
        ["https://2852039166", "https://0xa9fea9fe", "https://0251.0376.0251.0376", "https://127.1", "https://0"];
    let encoded = ["https://１２７.0.0.1", "https://%31%32%37.0.0.1", "https://169。254。169。254"];
    let named =
        ["https://metadata.example", "http://metadata.example", "https://inside0.example:5000", "https://localhost"];
    let others = [
        "http://evil.example",
        "https://evil.example:5000",
        "https://user:word@inside1.example",
        "ftp://inside2.example",
    ];
    literals.chain([&spelled[..], &encoded, &named, &others].concat().into_iter().map(str::to_owned)).collect()
}

/// URLs at a literal address.
pub(crate) fn urls(address: &str) -> Vec<String> {
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    vec![
        format!("https://{host}"),
        format!("http://{host}"),
        format!("https://{host}:5000"),
        format!("http://{host}:80"),
    ]
}

/// What only the cluster, the cloud or this machine means by an address.
pub(crate) const INSIDE: [&str; 22] = [
    "169.254.169.254",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "169.254.1.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.0.0.2",
    "0.0.0.0",
    "198.18.0.1",
    "::1",
    "fe80::1",
    "fd00:ec2::254",
    "fd12::1",
    "fec0::1",
    "64:ff9b::a9fe:a9fe",
    "::ffff:169.254.169.254",
    "2002:a9fe:a9fe::1",
    "2001:db8::1",
];
/// Where not even a registry that the administrator has named may send Berth.
pub(crate) const HERE: [&str; 9] = [
    "169.254.169.254",
    "168.63.129.16",
    "100.100.100.200",
    "169.254.1.1",
    "127.0.0.2",
    "::1",
    "fd00:ec2::254",
    "64:ff9b::a9fe:a9fe",
    "::ffff:169.254.169.254",
];
/// Where somebody listens at every address.
pub(crate) const PORTS: [u16; 3] = [80, 443, 5000];
