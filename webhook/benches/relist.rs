//! What a full list of all nodes costs the reviews that are served meanwhile, and how soon Berth is ready after the first.
//!
//! `cargo bench -p berth --bench relist`: the real watch reads 5 000 nodes in pages from an API server in this process,
//! again and again, while reviews of a `Never` Pod are timed; blocks with and without it alternate.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing)]

mod cluster;
mod measure;
mod sample;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use berth::{
    admission::{App, Caller, Mode},
    config::Config,
    nodes::{Heartbeat, Nodes},
    registry::{Fake, Keychain},
    telemetry::Metrics,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use kube::{Client, client::Body};
use serde_json::json;
use tokio::time;
use tower::{BoxError, service_fn};

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(measured());
}

async fn measured() {
    let server = Arc::new(Server::new());
    let (nodes, metrics) = (Arc::new(Nodes::new(1_000)), Arc::<Metrics>::default());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(Arc::clone(&nodes).follow(server.client(), metrics));
    while !nodes.synced() {
        time::sleep(Duration::from_micros(100)).await;
    }
    let ready = server.last_page.load(Ordering::Relaxed);
    let late = server.began.elapsed().saturating_sub(Duration::from_micros(ready));
    measure::verdict("ready after the last page of the first list was sent, ms", late.as_secs_f64() * 1e3, 300.0);

    let app = app(Arc::clone(&nodes));
    let mut ratios = Vec::new();
    for _ in 0..BLOCKS {
        let quiet = p99(&app).await;
        server.lists_again.store(true, Ordering::Relaxed);
        let busy = p99(&app).await;
        server.lists_again.store(false, Ordering::Relaxed);
        time::sleep(Duration::from_secs(1)).await;
        ratios.push(busy / quiet);
    }
    ratios.sort_by(f64::total_cmp);
    let lists = server.lists.load(Ordering::Relaxed) - 1;
    println!("full lists read meanwhile: {lists}");
    // On a machine that has too much to do, or without optimisation, a list takes longer than a block.
    if lists < BLOCKS as u64 {
        println!("p99 during full lists: not measured, since blocks ended without a list");
        return;
    }
    measure::verdict("p99 of reviews during full lists of 5 000 nodes ÷ quiet, median", ratios[BLOCKS / 2], 1.5);
}

/// The 99th percentile of reviews that come every millisecond, for two seconds.
async fn p99(app: &App<Fake>) -> f64 {
    let body = sample::review(&json!({"metadata": {"generateName": "web-"}, "spec": {"containers": [
        {"name": "main", "image": "app:dev", "imagePullPolicy": "Never"},
    ]}}))
    .to_string()
    .into_bytes();
    let (mut times, until) = (Vec::new(), Instant::now() + Duration::from_secs(2));
    let mut turns = time::interval(Duration::from_millis(1));
    while Instant::now() < until {
        turns.tick().await;
        let began = Instant::now();
        app.review(Mode::Enforce, Caller::Anyone, &body, began + Duration::from_secs(5)).await.unwrap();
        times.push(began.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    times[times.len() * 99 / 100]
}

fn app(nodes: Arc<Nodes>) -> App<Fake> {
    App {
        config: Arc::new(Config::default()),
        keychain: Keychain::default(),
        pull_secrets: None,
        registry: Fake::new(),
        nodes: Some(nodes),
        namespaces: None,
        controller: Some(Arc::new(Heartbeat::fixed(Instant::now() + Duration::from_secs(3_600)))),
        own_namespace: "berth-system".to_owned(),
        metrics: Arc::default(),
    }
}

/// An API server with 5 000 nodes, whose watches end with 410 where all is to be listed again.
struct Server {
    pages: Vec<Bytes>,
    began: Instant,
    /// When the last page was sent, microseconds after `began`.
    last_page: AtomicU64,
    lists: AtomicU64,
    lists_again: AtomicBool,
}

impl Server {
    fn new() -> Self {
        let pages = (0..NODES / PAGE).map(|page| {
            let items = (page * PAGE..(page + 1) * PAGE).map(|node| cluster::node(node, node, 1_000));
            let rest = if (page + 1) * PAGE < NODES { (page + 1).to_string() } else { String::new() };
            let items = items.collect::<Vec<_>>().join(",");
            let head = json!({ "resourceVersion": "10", "continue": rest });
            Bytes::from(format!(r#"{{"kind":"NodeList","apiVersion":"v1","metadata":{head},"items":[{items}]}}"#))
        });
        let pages = pages.collect();
        let (last_page, lists, lists_again) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        Self { pages, began: Instant::now(), last_page, lists, lists_again }
    }

    fn client(self: &Arc<Self>) -> Client {
        let server = Arc::clone(self);
        Client::new(service_fn(move |request| Arc::clone(&server).answer(request)), "default")
    }

    async fn answer(self: Arc<Self>, request: Request<Body>) -> Result<Response<Full<Bytes>>, BoxError> {
        let query = request.uri().query().unwrap_or_default();
        if query.contains("watch=true") {
            while !self.lists_again.load(Ordering::Relaxed) {
                time::sleep(Duration::from_millis(5)).await;
            }
            let gone = json!({ "type": "ERROR", "object": { "status": "Failure", "reason": "Expired", "code": 410 } });
            return Ok(Response::new(Full::new(Bytes::from(format!("{gone}\n")))));
        }
        let page = query.split("continue=").nth(1).map_or(0, |rest| rest.parse::<usize>().unwrap());
        if page + 1 == self.pages.len() {
            let sent = u64::try_from(self.began.elapsed().as_micros()).unwrap();
            self.last_page.store(sent, Ordering::Relaxed);
            self.lists.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Response::new(Full::new(self.pages[page].clone())))
    }
}

const NODES: u32 = 5_000;
/// As the watch asks for them.
const PAGE: u32 = 100;
/// Pairs of blocks.
const BLOCKS: usize = 7;
