//! A registry that answers with a gigabyte costs little memory (S16). A binary of its own, because it counts all that is
//! allocated in the process.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "all of this is a test")]

use std::{
    alloc::System,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use berth::{
    config::{self, Config},
    image::Reference,
    registry::{Candidates, Client, Error, Question, Resolve as _},
    telemetry::Metrics,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What a hostile registry or its token service says, and says on.
struct Flood {
    name: &'static str,
    /// The whole answer to a `HEAD`, if that is harmless; `ADDRESS` is the registry's.
    head: Option<&'static str>,
    /// How the answer begins that has no end.
    start: &'static str,
    /// How it goes on.
    piece: &'static [u8],
    /// What is said of it.
    told: &'static str,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gigabyte_is_not_read() {
    for flood in &FLOODS {
        let (address, sent) = pour(flood);
        let entry = config::Registry {
            host: "reg.example".to_owned(),
            endpoint: Some(format!("http://{address}")),
            ..config::Registry::default()
        };
        let config = Config { registries: vec![entry], ..Config::default() };
        let client = Client::new(&config, Arc::new(Metrics::default())).unwrap();
        let (image, nobody): (Reference, _) = ("reg.example/app:v1".parse().unwrap(), Candidates::anonymous());
        let peak = Peak::watch();
        let answer = client.resolve(&Question::new(&image, &nobody), Instant::now() + Duration::from_secs(20)).await;
        let Err(error @ Error::Untrusted { .. }) = answer else { unreachable!("{}: {answer:?}", flood.name) };
        assert!(error.to_string().contains(flood.told), "{}: {error}", flood.name);
        let more = peak.end();
        assert!(more <= 16 * MIB, "{}: {more} B", flood.name);
        // What the kernel buffers on loopback is sent as well.
        let sent = sent.load(Ordering::Relaxed);
        assert!((64 * 1024..64 * MIB).contains(&sent), "{}: {sent} B", flood.name);
    }
}

/// Looks at what is held, every tenth of a millisecond.
struct Peak {
    before: usize,
    ends: Arc<AtomicBool>,
    thread: thread::JoinHandle<usize>,
}

impl Peak {
    fn watch() -> Self {
        let (before, ends) = (held(), Arc::new(AtomicBool::new(false)));
        let ended = Arc::clone(&ends);
        let thread = thread::spawn(move || {
            let mut most = 0;
            while !ended.load(Ordering::Relaxed) {
                most = most.max(held());
                thread::sleep(Duration::from_micros(100));
            }
            most
        });
        Self { before, ends, thread }
    }

    /// The most bytes that were held, above those at the start.
    fn end(self) -> usize {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().unwrap().saturating_sub(self.before)
    }
}

/// A server of `flood`, and how many bytes it could send.
fn pour(flood: &'static Flood) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (address, sent) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&sent);
    thread::spawn(move || {
        for socket in listener.incoming() {
            let count = Arc::clone(&count);
            thread::spawn(move || answer(&socket.unwrap(), flood, address, &count));
        }
    });
    (address, sent)
}

/// Answers one request, to the end of a gigabyte or of the other side's patience.
fn answer(mut socket: &TcpStream, flood: &Flood, address: SocketAddr, sent: &AtomicUsize) {
    let mut request = [0; 4096];
    let length = socket.read(&mut request).unwrap_or_default();
    if let Some(head) = flood.head.filter(|_| request.get(..length).is_some_and(|text| text.starts_with(b"HEAD"))) {
        let text = head.replace("ADDRESS", &address.to_string());
        let _gone = socket.write_all(text.as_bytes());
        return;
    }
    let mut left: usize = 1024 * MIB;
    let mut next = flood.start.as_bytes();
    while left > 0 && socket.write_all(next).is_ok() {
        sent.fetch_add(next.len(), Ordering::Relaxed);
        left = left.saturating_sub(next.len());
        next = flood.piece;
    }
}

/// Bytes that are allocated now.
fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

const MIB: usize = 1024 * 1024;
const FLOODS: [Flood; 6] = [
    Flood {
        name: "a manifest",
        head: Some(INDEX),
        start: "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.oci.image.index.v1+json\r\n\r\n",
        piece: &[b' '; 64 * 1024],
        told: "the manifest is larger than 4096 KiB",
    },
    Flood {
        name: "a manifest of one chunk",
        head: Some(INDEX),
        start: "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.oci.image.index.v1+json\r\n\
                transfer-encoding: chunked\r\n\r\n40000000\r\n",
        piece: &[b' '; 64 * 1024],
        told: "the manifest is larger than 4096 KiB",
    },
    Flood {
        name: "a header",
        head: None,
        start: "HTTP/1.1 200 OK\r\nx-long: ",
        piece: &[b'y'; 64 * 1024],
        told: "headers of more than 64 KiB",
    },
    Flood {
        name: "headers",
        head: None,
        start: "HTTP/1.1 200 OK\r\n",
        piece: &LINES,
        told: "headers of more than 64 KiB",
    },
    Flood {
        name: "a token",
        head: Some(CHALLENGE),
        start: "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"token\":\"",
        piece: &[b'y'; 64 * 1024],
        told: "its token service is larger than 128 KiB",
    },
    Flood {
        name: "headers of a token",
        head: Some(CHALLENGE),
        start: "HTTP/1.1 200 OK\r\n",
        piece: &LINES,
        told: "headers of more than 64 KiB",
    },
];
/// A manifest without a digest, so that its body is asked for.
const INDEX: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.oci.image.index.v1+json\r\nconnection: close\r\n\r\n";
const CHALLENGE: &str =
    "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Bearer realm=\"http://ADDRESS/token\"\r\nconnection: close\r\n\r\n";
/// Many short headers.
const LINES: [u8; 8 * 1024] = {
    let (mut lines, mut at) = ([b'z'; 8 * 1024], 0);
    while at < lines.len() {
        (lines[at], lines[at + 5], lines[at + 6], lines[at + 7]) = (b'x', b':', b'\r', b'\n');
        at += 8;
    }
    lines
};
