//! What Berth adds to the time that a registry takes, and what ten images cost ÷ one.
//!
//! `cargo bench -p berth --bench registry`. A registry on loopback that answers after 20 or 100 ms, over a connection
//! that is open already, asked anew for each review.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing)]

mod measure;
mod sample;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, http::Response, routing::get};
use berth::{
    admission::{App, Caller, Mode},
    config::{self, Config},
    registry::{Ages, Client, Keychain, Memory, Shared},
};
use tokio::{net::TcpListener, runtime, task::JoinSet, time};

/// How long the registry took for each request.
type Took = Arc<Mutex<Vec<Duration>>>;

fn main() {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        for delay in [20, 100] {
            let took = Took::default();
            let (endpoint, _server) = registry(Duration::from_millis(delay), took.clone()).await;
            let app = app(endpoint);
            let one = reply_times(&app, 1, &took).await;
            let ten = reply_times(&app, 10, &took).await;
            let added = one.added.as_secs_f64() * 1_000.0;
            measure::verdict(&format!("a registry of {delay} ms: milliseconds that Berth adds, median"), added, 3.0);
            let ratio = ten.whole.div_duration_f64(one.whole);
            measure::verdict(&format!("a registry of {delay} ms: ten images in a Pod ÷ one"), ratio, 1.5);
        }
    });
}

/// Medians.
struct Times {
    whole: Duration,
    /// Without the slowest of the registry's answers.
    added: Duration,
}

/// Reviews one Pod with so many images after the other.
async fn reply_times(app: &App<Shared<Client>>, images: usize, took: &Took) -> Times {
    let body = sample::review(&sample::pod(images, 20)).to_string().into_bytes();
    let (mut whole, mut added) = (Vec::new(), Vec::new());
    for round in 0..WARM + ROUNDS {
        took.lock().unwrap().clear();
        let start = Instant::now();
        let answer = app.review(Mode::Enforce, Caller::Anyone, &body, start + Duration::from_secs(9)).await.unwrap();
        let elapsed = start.elapsed();
        assert!(String::from_utf8(answer).unwrap().contains("\"patch\""), "it is pinned");
        let registry = took.lock().unwrap().iter().max().copied().unwrap();
        assert_eq!(took.lock().unwrap().len(), images, "each image is asked for, once");
        if round >= WARM {
            whole.push(elapsed);
            added.push(elapsed.saturating_sub(registry));
        }
    }
    Times { whole: median(whole), added: median(added) }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn app(endpoint: String) -> App<Shared<Client>> {
    let host = "registry.example".to_owned();
    let entry = config::Registry { host, endpoint: Some(endpoint), ..config::Registry::default() };
    let config = Config { registries: vec![entry], ..Config::default() };
    let metrics = Arc::default();
    let client = Client::new(&config, Arc::clone(&metrics)).unwrap();
    App {
        registry: Shared::remembering(client, Ages::from(&config.pin), Memory::of(&config), Arc::clone(&metrics)),
        keychain: Keychain::default(),
        config: Arc::new(config),
        nodes: None,
        pull_secrets: None,
        namespaces: None,
        controller: None,
        own_namespace: "berth-system".to_owned(),
        metrics,
    }
}

/// A registry that has every image, and answers after `delay`.
async fn registry(delay: Duration, took: Took) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let answer = async move || {
        let start = Instant::now();
        time::sleep(delay).await;
        let answer = Response::builder()
            .header("content-type", "application/vnd.oci.image.index.v1+json")
            .header("docker-content-digest", format!("sha256:{}", "a".repeat(64)))
            .body(String::new())
            .unwrap();
        took.lock().unwrap().push(start.elapsed());
        answer
    };
    let router = Router::new().route("/v2/{*path}", get(answer));
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (endpoint, server)
}

/// Reviews before any is counted: they open the connections.
const WARM: usize = 5;
const ROUNDS: usize = 50;
