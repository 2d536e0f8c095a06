use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future;
use tokio::io::AsyncWriteExt as _;

use super::*;
use crate::{
    admission::{Caller, Mode, decode},
    config::{Config, Limits},
    server::review::Answer,
};

/// A stand-in for the rules of admission.
struct Script {
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Script {
    fn new() -> Self {
        Self { running: Arc::default(), most: Arc::default() }
    }
}

impl Answer for Script {
    async fn review(
        &self,
        mode: Mode,
        _: Caller,
        body: &[u8],
        _: std::time::Instant,
    ) -> Result<Vec<u8>, decode::Error> {
        self.most.fetch_max(self.running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        match decode::uid(body).as_ref().map_or(body, |uid| uid.as_bytes()) {
            b"slow" => time::sleep(Duration::from_secs(2)).await,
            b"panic" | b"lost" => panic!("as ordered"),
            b"" => return Err(decode::Error::NoRequest),
            _ => (),
        }
        self.running.fetch_sub(1, Ordering::SeqCst);
        Ok(format!("{mode:?} {}", body.len()).into_bytes())
    }

    async fn warn(
        &self,
        mode: Mode,
        caller: Caller,
        body: &[u8],
        deadline: std::time::Instant,
    ) -> Result<Vec<u8>, decode::Error> {
        let uid = decode::uid(body);
        let answer = self.review(mode, caller, uid.as_ref().map_or(body, |uid| uid.as_bytes()), deadline).await?;
        Ok([b"warn ", &*answer].concat())
    }

    fn after_panic(&self, body: &[u8]) -> Option<Vec<u8>> {
        (body == b"panic").then(|| b"by policy".to_vec())
    }
}

/// The routes of reviews with limits small enough to reach.
pub(super) fn reviews(metrics: &Arc<Metrics>) -> (Router, Arc<AtomicUsize>) {
    let limits = Limits { reviews_in_flight: 2, body_bytes: 100, bodies_bytes: 250, ..Config::default().limits };
    let script = Script::new();
    let most = script.most.clone();
    (review::routes(script, &limits, metrics.clone()), most)
}

pub(super) fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").into()
}

/// As little as is a review; how it is answered depends on its `uid`.
pub(super) fn review(uid: &str) -> String {
    format!(r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"{uid}"}}}}"#)
}

/// Sends `request` to the routes of reviews, and expects `status` and `body` in the answer.
async fn check(request: Vec<u8>, status: &str, body: &str) {
    let (mut tasks, metrics) = (JoinSet::new(), Arc::default());
    let mut client = connect(&mut tasks, reviews(&metrics).0, &CancellationToken::new());
    let answer = exchange(&mut client, &request).await.expect("an answer, not a closed connection");
    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "want {status}, got {answer}");
    assert!(answer.contains(body), "want {body}, got {answer}");
    assert_eq!(answer.contains("retry-after"), status == "503", "only shedding may be repeated: {answer}");
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_request_has_its_answer() {
    check(post("/mutate?timeout=10s", "hello"), "200", "Enforce 5").await;
    check(post("/observe?timeout=10s", "hello"), "200", "Observe 5").await;
    check(post("/warn?timeout=10s", "hello"), "200", "warn Enforce 5").await;
    check(post("/warn/observe?timeout=10s", "hello"), "200", "warn Observe 5").await;
    check(post("/mutate", &"x".repeat(100)), "200", "Enforce 100").await;
    check(post("/mutate", &"x".repeat(101)), "413", "limits.bodyBytes").await;
    check(post("/mutate", &"x".repeat(1 << 20)), "413", "limits.bodyBytes").await; // who is still writing hears it, too
    check(post("/mutate", ""), "400", "no request").await;
    check(post("/mutate", "panic"), "200", "by policy").await;
    check(post("/mutate", "lost"), "400", "").await;
    check(post("/elsewhere", "hello"), "404", "").await;
    check(b"GET /mutate HTTP/1.1\r\n\r\n".to_vec(), "405", "").await;
    check(b"POST /mutate HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}".to_vec(), "415", "application/json").await;
    check(
        b"POST /mutate HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\nhalf".to_vec(),
        "408",
        "",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_nobody_else_anything_and_is_counted() {
    let (mut tasks, metrics) = (JoinSet::new(), Arc::default());
    let mut client = connect(&mut tasks, reviews(&metrics).0, &CancellationToken::new());
    for body in ["panic", "hello", "panic"] {
        let answer = exchange(&mut client, &post("/mutate", body)).await.expect("the connection stays");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let metrics = metrics.encode().unwrap();
    assert!(metrics.contains("berth_reviews_total{outcome=\"panicked\"} 2\n"), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn a_body_dies_within_ten_seconds_however_it_dribbles() {
    let (mut tasks, metrics) = (JoinSet::new(), Arc::default());
    let client = connect(&mut tasks, reviews(&metrics).0, &CancellationToken::new());
    let (mut reads, mut writes) = tokio::io::split(client);
    writes
        .write_all(b"POST /mutate HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n")
        .await
        .unwrap();
    let dribble = async {
        while writes.write_all(b"x").await.is_ok() {
            time::sleep(seconds(1.0)).await;
        }
        future::pending::<()>().await;
    };
    let closed = tokio::select! { closed = closed_after(&mut reads) => closed, () = dribble => unreachable!() };
    assert!(closed <= seconds(10.0), "{closed:?}");
    let metrics = metrics.encode().unwrap();
    assert!(metrics.contains("berth_bodies_bytes 0\n"), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn more_reviews_than_may_be_in_flight_are_shed_at_once() {
    let (mut tasks, metrics) = (JoinSet::new(), Arc::default());
    let (router, most) = reviews(&metrics);
    let stop = CancellationToken::new();
    let slow = post("/mutate", "slow");
    let (mut first, mut second, mut third) = (
        connect(&mut tasks, router.clone(), &stop),
        connect(&mut tasks, router.clone(), &stop),
        connect(&mut tasks, router, &stop),
    );
    let late = async {
        time::sleep(seconds(0.5)).await;
        let begun = Instant::now();
        let answer = exchange(&mut third, &post("/mutate", "hello")).await.unwrap();
        assert!(begun.elapsed() <= seconds(0.1), "{:?}", begun.elapsed());
        answer
    };
    let (first, second, third) = tokio::join!(exchange(&mut first, &slow), exchange(&mut second, &slow), late);
    assert!(first.unwrap().contains("200") && second.unwrap().contains("200"));
    assert!(third.starts_with("HTTP/1.1 503") && third.contains("retry-after: 1\r\n"), "{third}");
    assert_eq!(most.load(Ordering::SeqCst), 2);
    let metrics = metrics.encode().unwrap();
    assert!(metrics.contains("berth_shed_total{reason=\"reviews\"} 1\n"), "{metrics}");
}

/// A review as far as an answer needs it, with a word for the stand-in.
fn workload(word: &str) -> Vec<u8> {
    let kind = r#""apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview""#;
    post("/warn", &format!(r#"{{{kind},"request":{{"uid":"{word}"}}}}"#))
}

#[tokio::test(start_paused = true)]
async fn warnings_take_no_turn_from_pods_and_are_left_out_where_they_would_wait() {
    let (mut tasks, metrics) = (JoinSet::new(), Arc::default());
    let (router, _) = reviews(&metrics);
    let stop = CancellationToken::new();
    let mut connection = || connect(&mut tasks, router.clone(), &stop);
    let (mut first, mut second, mut pod, mut other) = (connection(), connection(), connection(), connection());
    let later = async {
        time::sleep(seconds(0.5)).await;
        let begun = Instant::now();
        let unheard = exchange(&mut second, &workload("slow")).await.unwrap();
        let slow = post("/mutate", "slow");
        let (one, two) = tokio::join!(exchange(&mut pod, &slow), exchange(&mut other, &slow));
        assert!(one.unwrap().starts_with("HTTP/1.1 200") && two.unwrap().starts_with("HTTP/1.1 200"));
        assert!(begun.elapsed() <= seconds(2.1), "{:?}", begun.elapsed());
        unheard
    };
    let slow = workload("slow");
    let (heard, unheard) = tokio::join!(exchange(&mut first, &slow), later);
    assert!(heard.unwrap().contains("warn Enforce"), "it has its turn");
    assert!(unheard.starts_with("HTTP/1.1 200"), "{unheard}");
    assert!(unheard.contains(r#"{"uid":"slow","allowed":true}"#), "{unheard}");
    let metrics = metrics.encode().unwrap();
    assert!(metrics.contains("berth_workloads_total{outcome=\"shed\"} 1\n"), "{metrics}");
    assert!(!metrics.contains("berth_shed_total{"), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_over_a_workload_lets_it_pass_whatever_the_policy() {
    let (mut tasks, metrics) = (JoinSet::new(), Arc::default());
    let mut client = connect(&mut tasks, reviews(&metrics).0, &CancellationToken::new());
    let answer = exchange(&mut client, &workload("panic")).await.expect("the connection stays");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""allowed":true"#), "{answer}");
    assert!(answer.contains("a mistake in Berth"), "{answer}");
    let metrics = metrics.encode().unwrap();
    assert!(metrics.contains("berth_workloads_total{outcome=\"panicked\"} 1\n"), "{metrics}");
    assert!(!metrics.contains("berth_reviews_total{"), "{metrics}");
}
