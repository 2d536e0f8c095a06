//! No packet leaves for where Berth must not go, however a tenant or a stranger's registry names it.
//!
//! Every address of the world is this machine: at each somebody listens on the ports that matter, and a capture sees
//! what is sent to any other, down to the first packet of a connection that nobody accepts.

use std::{collections::BTreeSet, net::IpAddr};

use berth_tests::{
    berth::Alone,
    dns::{DnsServer, Reply},
    enclave::{Capture, Doors, Packet, inside},
    pki::Authority,
    processes::Folder,
    registry::{self, Registry},
};

use crate::{
    inside::{HERE, INSIDE, PORTS, names, spellings, targets, urls},
    stranger,
};

/// The tests, by name.
pub(crate) const ALL: &[(&str, fn())] = &[
    ("packets::a_tenant_cannot_send_berth_inside_by_any_spelling", by_any_spelling),
    ("packets::a_strangers_registry_cannot_send_berth_inside", by_a_stranger),
    ("packets::a_name_that_changes_its_address_does_not_lead_inside", by_rebinding),
    ("packets::a_configured_registry_cannot_send_berth_to_metadata", by_a_configured_registry),
    ("packets::a_private_registry_that_is_configured_simply_works", configured),
    ("packets::with_unlisted_registries_denied_nothing_is_sent_at_all", unlisted),
];

fn by_any_spelling() {
    run(async || {
        let world = World::new(&[]).await;
        let berth = world.berth("").await;
        let images: Vec<_> = spellings().chain(names()).collect();
        let all = check_inside(&world, &berth, &images).await;
        // What may be asked is asked: the check is no check where Berth asks nobody.
        assert!(all.contains(&tcp("8.8.8.8", 443)) || all.contains(&tcp("2001:4860:4860::8888", 443)), "{all:?}");
    });
}

fn by_a_stranger() {
    run(async || {
        let targets = targets();
        let world = World::new(&targets).await;
        let berth = world.berth("").await;
        let numbered =
            |kind: &'static str| (0..targets.len()).map(move |number| format!("evil.example/{kind}-{number}:v1"));
        let images: Vec<_> = numbered("redirect").chain(numbered("realm")).collect();
        check_inside(&world, &berth, &images).await;
    });
}

fn by_rebinding() {
    run(async || {
        let world = World::new(&[]).await;
        let berth = world.berth("").await;
        let [public, _] = stranger::addresses();
        let addresses = |list: &[IpAddr]| Reply::Addresses(list.to_vec());
        let mut images = Vec::new();
        for (number, inside) in INSIDE.iter().enumerate() {
            let inside: IpAddr = inside.parse().unwrap();
            // First public, then inside; both at once, in both orders; and the other way round.
            world.dns.tell(&format!("turns{number}.example"), [addresses(&[public]), addresses(&[inside])]);
            world.dns.tell(&format!("both{number}.example"), [addresses(&[inside, public])]);
            world.dns.tell(&format!("other{number}.example"), [addresses(&[public, inside])]);
            world.dns.tell(&format!("back{number}.example"), [addresses(&[inside]), addresses(&[public])]);
            images.extend(["turns", "both", "other", "back"].map(|kind| format!("{kind}{number}.example/app:v1")));
        }
        // Each is asked again when its name has another address.
        for _ in 0..3 {
            check_inside(&world, &berth, &images).await;
        }
    });
}

fn by_a_configured_registry() {
    run(async || {
        let here = HERE.iter().flat_map(|address| urls(address));
        let targets: Vec<_> = here.chain(["https://metadata.example".to_owned()]).collect();
        let world = World::new(&targets).await;
        world.dns.tell("harbor.corp", [Reply::Addresses(vec!["10.20.0.9".parse().unwrap()])]);
        let entries: Vec<_> = (0..HERE.len()).map(|number| format!("{{host: here{number}.example}}")).collect();
        let settings = format!("registries: [{{host: harbor.corp}}, {}]", entries.join(", "));
        let berth = world.berth(&settings).await;
        let numbered =
            |kind: &'static str| (0..targets.len()).map(move |number| format!("harbor.corp/{kind}-{number}:v1"));
        let images: Vec<_> = numbered("redirect").chain(numbered("realm")).collect();
        for images in images.chunks(POD) {
            berth.review(images).await.unwrap();
        }
        // A name in the configuration that means Berth's own machine, or the cloud's metadata.
        for (number, address) in HERE.iter().enumerate() {
            let reply = Reply::Addresses(vec![address.parse().unwrap()]);
            world.dns.tell(&format!("here{number}.example"), [reply]);
            berth.review(&[format!("here{number}.example/app:v1")]).await.unwrap();
        }
        let sent = world.sent().await;
        let allowed = BTreeSet::from([tcp("10.20.0.9", 443)]);
        assert_eq!(sent, allowed, "knocks: {:?}", world.doors.knocks());
    });
}

fn configured() {
    run(async || {
        let world = World::new(&[]).await;
        let mut entries = Vec::new();
        let mut images = Vec::new();
        let mut digests = Vec::new();
        let mut running = Vec::new();
        // By a name in DNS, by addresses of both families, and with an endpoint elsewhere.
        world.dns.tell("registry.corp", [Reply::Addresses(vec!["10.20.0.10".parse().unwrap()])]);
        for (host, address, endpoint) in [
            ("registry.corp:5001", "10.20.0.10:5001", "http://registry.corp:5001"),
            ("192.168.3.4:5001", "192.168.3.4:5001", "http://192.168.3.4:5001"),
            ("[fd12::5]:5002", "[::]:5002", "http://[fd12::5]:5002"),
            ("localhost:30500", "100.64.0.7:5001", "http://100.64.0.7:5001"),
        ] {
            let options = registry::Options { address: Some(address), ..registry::Options::default() };
            let registry = Registry::start_with(&options).await.unwrap();
            digests.push(registry.push("shop/app", "v1", host).await.unwrap());
            entries.push(format!("{{host: '{host}', endpoint: '{endpoint}'}}"));
            images.push(format!("{host}/shop/app:v1"));
            running.push(registry);
        }
        let world = world.with_new_capture();
        let berth = world.berth(&format!("registries: [{}]", entries.join(", "))).await;
        let (written, notes) = berth.review(&images).await.unwrap();
        let pinned = images.iter().zip(&digests).map(|(image, digest)| format!("{image}@{digest}"));
        assert_eq!(written, pinned.collect::<Vec<_>>(), "{notes}");
        let asked = [("10.20.0.10", 5001), ("192.168.3.4", 5001), ("fd12::5", 5002), ("100.64.0.7", 5001)];
        assert_eq!(world.sent().await, BTreeSet::from(asked.map(|(address, port)| tcp(address, port))));
    });
}

fn unlisted() {
    run(async || {
        let world = World::new(&[]).await;
        let berth = world.berth("unlistedRegistries: deny").await;
        let public = ["nginx", "ghcr.io/app", "evil.example/app:v1", "8.8.8.8/app:v1"].map(str::to_owned);
        let images: Vec<_> = spellings().chain(names()).chain(public).collect();
        check_inside(&world, &berth, &images).await;
        assert_eq!(world.sent().await, BTreeSet::new());
        assert_eq!(world.dns.questions(), [], "a name can tell a stranger things, too");
    });
}

/// Runs a test in an enclave of its own.
fn run<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    inside(|_| test()).unwrap();
}

/// Reviews Pods with all of `images`: nothing is sent but to the stranger at port 443. Returns what was sent.
async fn check_inside(world: &World, berth: &Alone, images: &[String]) -> BTreeSet<Packet> {
    for images in images.chunks(POD) {
        let (written, _) = berth.review(images).await.unwrap();
        for (before, after) in images.iter().zip(&written) {
            assert!(after == before || *after == format!("{before}@{}", stranger::DIGEST), "{before} became {after}");
        }
    }
    let allowed = stranger::addresses().map(|address| tcp(&address.to_string(), 443));
    let sent = world.sent().await;
    let elsewhere: Vec<_> = sent.iter().filter(|packet| !allowed.contains(packet)).collect();
    let knocks: Vec<_> =
        world.doors.knocks().into_iter().filter(|knock| !stranger::addresses().contains(&knock.ip())).collect();
    assert!(elsewhere.is_empty() && knocks.is_empty(), "sent: {elsewhere:?}, connected: {knocks:?}");
    sent
}

/// What is around a webhook.
struct World {
    dns: DnsServer,
    capture: Capture,
    doors: Doors,
    authority: Authority,
    folder: Folder,
}

impl World {
    /// Everybody is there; the stranger sends Berth to `targets`.
    async fn new(targets: &[String]) -> Self {
        let (dns, authority) = (DnsServer::at("127.0.0.1:53").await.unwrap(), Authority::new().unwrap());
        dns.tell_others(Reply::Addresses(stranger::addresses().to_vec()));
        // Whoever may create Services in a cluster answers for these.
        for service in ["ghcr.example.svc.cluster.local", "ghcr.example.berth.svc.cluster.local"] {
            dns.tell(service, [Reply::Addresses(vec!["10.0.0.1".parse().unwrap()])]);
        }
        dns.tell("metadata.example", [Reply::Addresses(INSIDE.map(|inside| inside.parse().unwrap()).to_vec())]);
        for (number, inside) in INSIDE.iter().enumerate() {
            dns.tell(&format!("inside{number}.example"), [Reply::Addresses(vec![inside.parse().unwrap()])]);
        }
        let identity = authority.server(&["evil.example", "*.example", "harbor.corp", "8.8.8.8"]).unwrap();
        let open: Vec<_> = stranger::addresses().into_iter().chain(["10.20.0.9".parse().unwrap()]).collect();
        let doors = Doors::open(&PORTS, &open, &stranger::router(targets.to_vec()), &identity).unwrap();
        Self { dns, capture: Capture::start().unwrap(), doors, authority, folder: Folder::new("world").unwrap() }
    }

    fn with_new_capture(self) -> Self {
        Self { capture: Capture::start().unwrap(), ..self }
    }

    /// A webhook with `settings`.
    async fn berth(&self, settings: &str) -> Alone {
        let authorities = self.folder.write("authorities.crt", self.authority.certificate()).unwrap();
        let kind = "apiVersion: berth.dev/v1alpha1\nkind: Configuration\npin: {tags: ['*']}\n";
        Alone::start(&format!("{kind}{settings}\n"), &authorities).await.unwrap()
    }

    /// What Berth has sent to open something, but for questions to the name server.
    async fn sent(&self) -> BTreeSet<Packet> {
        let firsts = self.capture.firsts().await.unwrap();
        // At this address are the name server, the webhook itself and whoever reviews; not at the ports of the doors.
        // Without a port it is the kernel, which tells the name server that nobody waits for its late answer.
        let around = |packet: &Packet| {
            packet.to == IpAddr::from([127, 0, 0, 1]) && packet.port.is_none_or(|port| !PORTS.contains(&port))
        };
        firsts.into_iter().filter(|packet| !around(packet)).collect()
    }
}

fn tcp(address: &str, port: u16) -> Packet {
    Packet { to: address.parse().unwrap(), port: Some(port), protocol: 6, first: true }
}

/// Images of one Pod.
const POD: usize = 50;
