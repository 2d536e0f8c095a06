//! A name server that says nothing: whoever needs none is not held up, and nothing is left behind.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, http::StatusCode};
use berth::{
    config::{Config, Registry},
    registry::{Candidates, Client, Error, Question, Resolve as _},
    telemetry::Metrics,
};
use berth_tests::{
    dns::{DnsServer, Reply},
    enclave::inside,
};
use futures::future;
use tokio::{net::TcpListener, task::JoinSet, time};

/// The tests, by name.
pub(crate) const ALL: &[(&str, fn())] =
    &[("stall::a_name_server_that_stalls_holds_up_nobody_else", a_name_server_that_stalls)];

fn a_name_server_that_stalls() {
    inside(async |_| {
        let names = DnsServer::at("127.0.0.1:53").await.unwrap();
        names.tell_others(Reply::Silence);
        let mut tasks = JoinSet::new();
        let listener = TcpListener::bind("10.9.9.9:5000").await.unwrap();
        let empty = Router::new().fallback(async || StatusCode::NOT_FOUND);
        tasks.spawn(async move { axum::serve(listener, empty).await });
        let client = client();
        ask(&client, "first.example/app").await.unwrap_err();
        let (threads, lookups) = (threads(), lookups());

        let start = Instant::now();
        let images: Vec<_> = (0..1000).map(|number| format!("host{number}.example/app")).collect();
        let stalled = future::join_all(images.iter().map(|image| ask(&client, image)));
        let healthy = async {
            time::sleep(Duration::from_millis(100)).await;
            ask(&client, "listed.corp/app").await
        };
        let (answers, told) = future::join(stalled, healthy).await;
        assert!(matches!(told, Err(Error::NotFound { .. })), "it needs no name server: {told:?}");
        let lost =
            |answer: &Result<(), Error>| matches!(answer, Err(Error::Unreachable { .. } | Error::TimedOut { .. }));
        assert!(answers.iter().all(lost));
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed()); // a busy machine is late by itself
        assert!(self::threads() <= threads, "threads were left behind");
        time::sleep(Duration::from_millis(500)).await;
        assert!(self::lookups() <= lookups, "{} sockets ask on, {lookups} before", self::lookups());
    })
    .unwrap();
}

/// A client that knows one registry, by its address.
fn client() -> Client {
    let endpoint = Some("http://10.9.9.9:5000".to_owned());
    let listed = Registry { host: "listed.corp".to_owned(), endpoint, ..Registry::default() };
    let mut config = Config { registries: vec![listed], ..Config::default() };
    config.limits.registry_timeout = LIMIT;
    Client::new(&config, Arc::new(Metrics::default())).unwrap()
}

async fn ask(client: &Client, image: &str) -> Result<(), Error> {
    let (image, candidates) = (image.parse().unwrap(), Candidates::anonymous());
    client.resolve(&Question::new(&image, &candidates), Instant::now() + LIMIT).await.map(drop)
}

/// The threads of this process that are in this enclave.
fn threads() -> usize {
    let here = fs::read_link("/proc/thread-self/ns/net").unwrap();
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    // Others may end meanwhile.
    tasks
        .filter(|task| fs::read_link(task.as_ref().unwrap().path().join("ns/net")).is_ok_and(|net| net == here))
        .count()
}

/// The sockets of this enclave that send datagrams: the name server's own, and one for each look-up.
fn lookups() -> usize {
    let [v4, v6] = ["udp", "udp6"].map(|file| fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap());
    v4.lines().skip(1).count() + v6.lines().skip(1).count()
}

/// For one question.
const LIMIT: Duration = Duration::from_secs(1);
