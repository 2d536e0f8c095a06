//! What leaves the machine: on a network of its own, where a listener sits at every address that must see nothing.

#![allow(clippy::unwrap_used, reason = "what a test does not find, it fails by")]

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use berth::{
    config::{Config, Registry},
    registry::{Candidates, Client, Error, Question, Resolve as _},
    telemetry::Metrics,
};
use berth_tests::{
    alone::alone,
    dns::{DnsServer, Reply},
};
use futures::future;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

/// Where nobody may go for a stranger, with spellings; then what is private; then what is public.
const HERE: [(&str, &[&str]); 9] = [
    ("127.0.0.1", &["127.0.0.1", "127.1", "0x7f.1", "2130706433", "017700000001", "0177.0.0.1", "[::ffff:127.0.0.1]"]),
    ("::1", &["[::1]", "[0:0:0:0:0:0:0:1]"]),
    ("0.0.0.0", &["0.0.0.0", "0", "[::ffff:0.0.0.0]"]),
    ("::", &["[::]"]),
    ("169.254.169.254", &["169.254.169.254", "2852039166", "0xa9fea9fe", "169.254.43518", "[::ffff:a9fe:a9fe]"]),
    ("169.254.170.2", &["169.254.170.2"]),
    ("168.63.129.16", &["168.63.129.16"]),
    ("fd00:ec2::254", &["[fd00:ec2::254]"]),
    ("64:ff9b::a9fe:a9fe", &["[64:ff9b::a9fe:a9fe]", "[64:ff9b::169.254.169.254]"]),
];
const INSIDE: [(&str, &[&str]); 5] = [
    ("10.0.0.1", &["10.0.0.1", "0xa.1", "[::ffff:10.0.0.1]"]),
    ("172.16.0.1", &["172.16.0.1"]),
    ("192.168.0.1", &["192.168.0.1"]),
    ("100.64.0.1", &["100.64.0.1"]),
    ("fd12::1", &["[fd12::1]"]),
];
const PUBLIC: &str = "9.9.9.9";
/// Where a registry is that the configuration names.
const LISTED: &str = "10.9.9.9";

/// Adds what is not there on any machine; prefixes keep the kernel from asking around.
fn addresses() -> Vec<String> {
    let all = HERE.iter().chain(&INSIDE).map(|(address, _)| *address).chain([PUBLIC, LISTED]);
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let own = all.filter(|text| !address(text).is_loopback() && !address(text).is_unspecified());
    own.map(|text| if address(text).is_ipv6() { format!("{text}/128") } else { format!("{text}/32") }).collect()
}

fn enter(test: &str) -> bool {
    let addresses = addresses();
    alone(test, &addresses.iter().map(String::as_str).collect::<Vec<_>>(), "berth.svc.cluster.local svc.cluster.local")
        .unwrap()
}

/// Listens on every address of this machine and notes to which of them somebody came.
struct Listener {
    seen: Arc<Mutex<BTreeSet<SocketAddr>>>,
    _tasks: JoinSet<()>,
}

impl Listener {
    async fn on(ports: &[u16]) -> Self {
        let (seen, mut tasks) = (Arc::<Mutex<BTreeSet<SocketAddr>>>::default(), JoinSet::new());
        for port in ports {
            let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, *port)).await.unwrap(); // and IPv4
            let log = Arc::clone(&seen);
            tasks.spawn(async move {
                loop {
                    let (socket, _) = listener.accept().await.unwrap();
                    let reached = socket.local_addr().unwrap();
                    log.lock().unwrap().insert(SocketAddr::new(reached.ip().to_canonical(), reached.port()));
                }
            });
        }
        Self { seen, _tasks: tasks }
    }

    /// Who was reached, in order, as `IP:PORT`.
    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(ToString::to_string).collect()
    }
}

/// A registry in plain HTTP that sends everybody to where the path says: `/v2/redirect/NUMBER/…` or `/v2/realm/NUMBER/…`;
/// it has no image. How often it was asked is counted.
async fn sender(targets: Vec<String>) -> (Arc<AtomicUsize>, JoinSet<()>) {
    let listener = TcpListener::bind((LISTED, 5000)).await.unwrap();
    let (mut tasks, targets, asked) = (JoinSet::new(), Arc::new(targets), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            let targets = Arc::clone(&targets);
            connections.spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(socket.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let mut path = head.split('/').skip(2);
                let (how, number) = (path.next().unwrap(), path.next().unwrap().parse::<usize>().unwrap());
                let target = targets.get(number).unwrap();
                let answer = match how {
                    "redirect" => format!("307 Temporary Redirect\r\nlocation: {target}"),
                    "missing" => "404 Not Found".to_owned(),
                    _ => format!("401 Unauthorized\r\nwww-authenticate: Bearer realm=\"{target}\""),
                };
                let answer = format!("HTTP/1.1 {answer}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
                socket.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    (asked, tasks)
}

fn listed(host: &str, endpoint: Option<&str>) -> Registry {
    Registry { host: host.to_owned(), endpoint: endpoint.map(str::to_owned), ..Registry::default() }
}

fn client(registries: Vec<Registry>) -> Client {
    let mut config = Config { registries, ..Config::default() };
    config.limits.registry_timeout = Duration::from_secs(1);
    Client::new(&config, Arc::new(Metrics::default())).unwrap()
}

async fn ask(client: &Client, image: &str) -> Result<(), String> {
    let Ok(parsed) = image.parse() else { return Err(format!("{image} is no image")) };
    let candidates = Candidates::anonymous();
    let question = Question::new(&parsed, &candidates);
    let answer = client.resolve(&question, Instant::now() + Duration::from_secs(1)).await;
    answer.map(drop).map_err(|error| error.to_string())
}

#[test]
fn no_packet_goes_where_none_may() {
    if enter("no_packet_goes_where_none_may") {
        tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(look());
    }
}

async fn look() {
    let names = DnsServer::at("127.0.0.1:53").await.unwrap();
    let addresses = |texts: &[&str]| Reply::Addresses(texts.iter().map(|text| text.parse().unwrap()).collect());
    let forbidden: Vec<_> = HERE.iter().chain(&INSIDE).collect();
    for (number, (address, _)) in forbidden.iter().enumerate() {
        names.tell(&format!("to{number}.example"), [addresses(&[address])]);
        names.tell(&format!("rebound{number}.example"), [addresses(&[PUBLIC]), addresses(&[address])]);
    }
    // Whoever may create Services in a cluster answers for these.
    names.tell("ghcr.io.svc.cluster.local", [addresses(&["10.0.0.1"])]);
    names.tell("here.corp", [addresses(&["127.0.0.1", "::1"])]);
    names.tell("metadata.corp", [addresses(&["169.254.169.254"])]);
    names.tell("public.example", [addresses(&[PUBLIC])]);
    names.tell("inside.corp", [addresses(&["10.0.0.1"])]);
    let listener = Listener::on(&[443, 80, 5001]).await;
    let spellings = || forbidden.iter().flat_map(|(_, spellings)| spellings.iter());
    let mut targets: Vec<String> = spellings().map(|spelling| format!("https://{spelling}/t")).collect();
    targets.extend(spellings().map(|spelling| format!("http://{spelling}/t")));
    targets.extend(spellings().map(|spelling| format!("https://{spelling}:5001/t")));
    targets.extend((0..forbidden.len()).map(|number| format!("https://to{number}.example/t")));
    targets.extend(["https://localhost/t", "https://１２７.0.0.1/t", "https://%31%32%37.0.0.1/t"].map(str::to_owned));
    targets.extend(["https://here.corp/t", "https://metadata.corp/t", "https://user@127.0.0.1/t"].map(str::to_owned));
    let (asked, _sender) = sender(targets.clone()).await;
    let sender = format!("http://{LISTED}:5000");
    let client = client(vec![
        listed("sender.corp", Some(&sender)),
        listed("here.corp", None),
        listed("metadata.corp", None),
        listed("*.254.169.254", None),
        Registry { local: true, ..listed("localhost:5001", Some("http://127.0.0.1:5001")) },
    ]);

    let mut images: Vec<String> =
        spellings().flat_map(|s| [format!("{s}/app"), format!("{s}:443/app"), format!("{s}:5001/app")]).collect();
    images.extend((0..forbidden.len()).map(|number| format!("to{number}.example/app")));
    images.extend(
        ["localhost/app", "localhost:443/app", "localhost:5001/app", "here.corp/app", "metadata.corp/app"]
            .map(str::to_owned),
    );
    images.extend(["ghcr.io/app", "registry.svc/app", "127.0.0.1/app"].map(str::to_owned));
    images.extend(
        (0..targets.len())
            .flat_map(|n| [format!("sender.corp/redirect/{n}/app"), format!("sender.corp/realm/{n}/app")]),
    );
    for image in &images {
        let told = ask(&client, image).await;
        assert!(told.is_err(), "{image}");
        assert_eq!(listener.seen(), [""; 0], "{image}");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 2 * targets.len(), "each redirect and each realm was named");
    for (image, want) in [
        ("to4.example/app", "add to4.example to `registries` if you mean it: 169.254.169.254 is a metadata address"),
        (
            "here.corp/app",
            "set the `endpoint` of here.corp to an address if you mean it: it leads to ::1, a loopback address",
        ),
    ] {
        assert_eq!(ask(&client, image).await, Err(want.to_owned()));
    }
    // What is seen where something may go: otherwise the silence above would prove nothing.
    assert!(ask(&client, "public.example/app").await.is_err());
    assert_eq!(listener.seen(), [format!("{PUBLIC}:443")]);
    for number in 0..forbidden.len() {
        let image = format!("rebound{number}.example/app");
        assert!(ask(&client, &image).await.is_err());
        assert!(ask(&client, &image).await.is_err());
        assert_eq!(listener.seen(), [format!("{PUBLIC}:443")], "{image}");
    }
    let inside = self::client(vec![listed("inside.corp", None)]);
    assert!(ask(&inside, "inside.corp/app").await.is_err());
    assert_eq!(listener.seen(), [format!("{PUBLIC}:443"), "10.0.0.1:443".to_owned()]);
    eprintln!("{} questions and {} addresses, none reached", images.len(), forbidden.len());
}

#[test]
fn a_name_server_that_stalls_holds_up_nobody_else() {
    if enter("a_name_server_that_stalls_holds_up_nobody_else") {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(stall());
    }
}

async fn stall() {
    let names = DnsServer::at("127.0.0.1:53").await.unwrap();
    names.tell_others(Reply::Silence);
    let _sender = sender(vec![String::new()]).await;
    let client = client(vec![listed("sender.corp", Some(&format!("http://{LISTED}:5000")))]);
    assert!(ask(&client, "first.example/app").await.unwrap_err().starts_with("first.example"));
    let (threads, sockets) = (entries("/proc/self/task"), entries("/proc/self/fd"));
    let start = Instant::now();
    let stalled = future::join_all((0..1000).map(|number| {
        let client = &client;
        async move {
            let image = format!("host{number}.example/app").parse().unwrap();
            let candidates = Candidates::anonymous();
            client.resolve(&Question::new(&image, &candidates), Instant::now() + Duration::from_secs(1)).await
        }
    }));
    let healthy = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let start = Instant::now();
        let told = ask(&client, "sender.corp/missing/0/app").await;
        (told, start.elapsed())
    };
    let (answers, (told, took)) = future::join(stalled, healthy).await;
    let all = start.elapsed();
    assert!(answers.iter().all(|answer| matches!(answer, Err(Error::Unreachable { .. } | Error::TimedOut { .. }))));
    assert!(all < Duration::from_secs(10), "{all:?}"); // a busy machine is late by itself
    assert!(told.is_err_and(|told| told.contains("has no")), "a registry that needs no name server answers");
    assert!(entries("/proc/self/task") <= threads, "threads were left behind");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let left = entries("/proc/self/fd");
    assert!(left <= sockets + 2, "{left} descriptors, {sockets} before");
    eprintln!("1000 questions in {all:?}, the one beside them in {took:?}; {threads} threads, {left} descriptors");
}

fn entries(folder: &str) -> usize {
    fs::read_dir(folder).unwrap().count()
}
