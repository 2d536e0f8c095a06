use std::time::Instant;

use http::Method;
use reqwest::{Certificate, RequestBuilder};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{answer::OTHER, *};
use crate::registry::Registry;

/// A registry with one image, a proxy before it, and a client that is patient.
struct Scene {
    registry: Registry,
    proxy: FaultProxy,
    http: Client,
    digest: String,
}

impl Scene {
    async fn set(authority: Option<&Authority>) -> Self {
        let registry = Registry::start().await.unwrap();
        let digest = registry.push("shop/app", "v1", "text").await.unwrap();
        let proxy = FaultProxy::start(registry.endpoint(), authority).unwrap();
        let roots = authority.map(|authority| Certificate::from_pem(authority.certificate().as_bytes()).unwrap());
        let http = Client::builder().no_proxy().redirect(Policy::none()).tls_certs_only(roots).timeout(PATIENCE);
        Self { registry, proxy, http: http.build().unwrap(), digest }
    }

    fn ask(&self, method: Method) -> RequestBuilder {
        let url = format!("{}{PATH}", self.proxy.endpoint());
        self.http.request(method, url).header("accept", "application/vnd.oci.image.manifest.v1+json")
    }

    /// What comes of a request: the status, the digest header and the length of the body; or how it fails.
    async fn outcome(&self, method: Method) -> Result<(u16, String, usize), &'static str> {
        self.outcome_within(PATIENCE, method).await
    }

    async fn outcome_within(&self, limit: Duration, method: Method) -> Result<(u16, String, usize), &'static str> {
        let kind = |error: reqwest::Error| match () {
            () if error.is_timeout() => SILENCE,
            () if error.is_connect() => "no connection",
            () => "breaks",
        };
        let answer = self.ask(method).timeout(limit).send().await.map_err(kind)?;
        let digest = answer.headers().get("docker-content-digest").map(|value| value.to_str().unwrap().to_owned());
        Ok((answer.status().as_u16(), digest.unwrap_or_default(), answer.bytes().await.map_err(kind)?.len()))
    }

    async fn check(&self, fault: Fault, head: Result<(u16, &str), &str>, get: Result<(u16, &str), &str>) {
        self.proxy.set(fault.clone()).await.unwrap();
        // Silence is not waited for as long as an answer.
        let limit = |want| if want == Err(SILENCE) { MOMENT } else { PATIENCE };
        let got =
            tokio::join!(self.outcome_within(limit(head), Method::HEAD), self.outcome_within(limit(get), Method::GET));
        for (got, want, method) in [(got.0, head, "HEAD"), (got.1, get, "GET")] {
            let got = got.as_ref().map(|(status, digest, _)| (*status, digest.as_str())).map_err(|error| *error);
            assert_eq!(got, want, "{fault:?} {method}");
        }
    }
}

#[tokio::test]
async fn every_fault_does_what_it_says_by_http_and_by_tls() {
    let authority = Authority::new().unwrap();
    let every_fault = async |authority: Option<&Authority>| {
        let scene = Scene::set(authority).await;
        let truth = Ok((200, scene.digest.as_str()));
        let silence = Err(SILENCE);
        let same = async |fault, want| scene.check(fault, want, want).await;
        same(Fault::Nothing, truth).await;
        same(Fault::Refuse, Err("no connection")).await;
        same(Fault::BlackHole, silence).await;
        same(Fault::Unreachable, silence).await;
        same(Fault::ResetConnection, Err(if authority.is_some() { "no connection" } else { "breaks" })).await;
        same(Fault::StallAnswer, silence).await;
        same(Fault::StallHeaders, silence).await;
        scene.check(Fault::StallBody, truth, silence).await;
        same(Fault::Trickle, silence).await;
        same(Fault::ResetHeaders, Err("breaks")).await;
        scene.check(Fault::ResetBody, truth, Err("breaks")).await;
        same(Fault::Status(503, None), Ok((503, ""))).await;
        same(Fault::WrongDigest, Ok((200, OTHER))).await;
        same(Fault::BrokenDigest, Ok((200, "sha256:beef"))).await;
        scene.check(Fault::Disagree, Ok((200, OTHER)), truth).await;
        same(Fault::HugeHeader, Err("breaks")).await;
        scene.check(Fault::EndlessBody, truth, silence).await;
        same(Fault::Nothing, truth).await;
    };
    tokio::join!(every_fault(None), every_fault(Some(&authority)));
}

#[tokio::test]
async fn faults_that_speak_say_what_they_should() {
    let scene = Scene::set(None).await;
    let header = async |fault: Fault, name: &str| {
        scene.proxy.set(fault).await.unwrap();
        let answer = scene.ask(Method::GET).send().await.unwrap();
        let header = answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        (answer.status().as_u16(), header, answer.bytes().await.unwrap())
    };
    let (status, after, _) = header(Fault::Status(429, Some("7".to_owned())), "retry-after").await;
    assert_eq!((status, after.as_deref()), (429, Some("7")));
    assert_eq!(header(Fault::Status(429, None), "retry-after").await.1, None);
    let (status, challenge, _) = header(Fault::Challenge("Basic realm=\"x\"".to_owned()), "www-authenticate").await;
    assert_eq!((status, challenge.as_deref()), (401, Some("Basic realm=\"x\"")));
    let (status, location, _) = header(Fault::RedirectLoop, "location").await;
    assert_eq!((status, location.as_deref()), (307, Some(PATH)));
    let (_, location, _) = header(Fault::Redirect("https://other.example{path}".to_owned()), "location").await;
    assert_eq!(location.unwrap(), format!("https://other.example{PATH}"));
    let (status, kind, page) = header(Fault::Html, "content-type").await;
    assert_eq!((status, kind.as_deref()), (200, Some("text/html; charset=utf-8")));
    assert!(page.starts_with(b"<!DOCTYPE html>"));
    assert_eq!(header(Fault::NoType, "content-type").await.1, None);

    let (_, _, truth) = header(Fault::Nothing, "content-type").await;
    let (_, digest, lie) = header(Fault::Tamper, "docker-content-digest").await;
    assert_eq!((digest.as_ref(), truth.len()), (Some(&scene.digest), lie.len()));
    assert_ne!(truth, lie);

    scene.proxy.set(Fault::FlippingDigest).await.unwrap();
    let mut digests = Vec::new();
    for _ in 0..4 {
        digests.push(scene.outcome(Method::HEAD).await.unwrap().1);
    }
    assert!(digests.iter().zip(digests.iter().skip(1)).all(|(one, next)| one != next), "{digests:?}");
    assert!(digests.contains(&scene.digest));
}

#[tokio::test]
async fn an_answer_without_digest_can_be_late_and_can_stall() {
    let scene = Scene::set(None).await;
    let delay = Duration::from_millis(100);
    let manner = Manner { without_digest: true, delay, ..Manner::default() };
    scene.proxy.behave(manner).await.unwrap();
    let start = Instant::now();
    let (status, digest, length) = scene.outcome(Method::GET).await.unwrap();
    assert_eq!((status, digest.as_str()), (200, ""));
    assert!(length > 100 && start.elapsed() >= delay);
}

#[tokio::test]
async fn an_open_connection_feels_a_new_fault() {
    let scene = Scene::set(None).await;
    let mut stream = TcpStream::connect(scene.proxy.host()).await.unwrap();
    let request = format!("HEAD {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic abc\r\n\r\n");
    let mut answer = [0; 1024];
    stream.write_all(request.as_bytes()).await.unwrap();
    assert!(stream.read(&mut answer).await.unwrap() > 0);
    assert_eq!((scene.proxy.connections(), scene.proxy.open_connections()), (1, 1));

    scene.proxy.set(Fault::BlackHole).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    timeout(MOMENT, stream.read(&mut answer)).await.unwrap_err();
    scene.proxy.set(Fault::Refuse).await.unwrap();
    let end = timeout(PATIENCE, stream.read(&mut answer)).await.unwrap();
    assert_eq!(end.unwrap_or(0), 0);
    TcpStream::connect(scene.proxy.host()).await.unwrap_err();
    assert_eq!((scene.proxy.connections(), scene.proxy.open_connections()), (1, 0));

    let heard = scene.proxy.requests();
    assert!(heard.iter().all(|request| request.headers["authorization"] == "Basic abc"));
    assert_eq!(heard.len(), 2);
    assert_eq!((heard[1].method.as_str(), heard[1].path.as_str(), heard[1].connection), ("HEAD", PATH, 0));
    assert_eq!(scene.registry.count("HEAD", PATH), 1, "what is not answered is not forwarded");
}

#[tokio::test]
async fn a_fraction_is_spread_evenly_over_connections() {
    let scene = Scene::set(None).await;
    let manner = Manner { fault: Fault::BlackHole, percent: 10, ..Manner::default() };
    scene.proxy.behave(manner).await.unwrap();
    let mut answers = JoinSet::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(scene.proxy.host()).await.unwrap();
        stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        answers.spawn(async move { stream.read(&mut [0; 16]).await.map(|length| (stream, length)) });
    }
    let mut held = Vec::new();
    for _ in 0..45 {
        let answer = timeout(PATIENCE, answers.join_next()).await.unwrap();
        held.push(answer.unwrap().unwrap().unwrap());
    }
    timeout(MOMENT, answers.join_next()).await.unwrap_err();
    assert!(held.iter().all(|(_, length)| *length > 0));
    assert_eq!(scene.proxy.open_connections(), 50);
}

#[tokio::test]
async fn a_full_queue_answers_nobody_until_the_door_opens_again() {
    let scene = Scene::set(None).await;
    for _ in 0..2 {
        scene.proxy.set(Fault::Unreachable).await.unwrap();
        timeout(MOMENT, TcpStream::connect(scene.proxy.host())).await.unwrap_err();
        scene.proxy.set(Fault::Refuse).await.unwrap();
        TcpStream::connect(scene.proxy.host()).await.unwrap_err();
        scene.proxy.set(Fault::Nothing).await.unwrap();
        assert_eq!(scene.outcome(Method::HEAD).await.unwrap().0, 200);
    }
}

const PATH: &str = "/v2/shop/app/manifests/v1";
const SILENCE: &str = "times out";
/// For what never comes: long for loopback, short for a test.
const MOMENT: Duration = Duration::from_millis(400);
/// For what comes, also where the machine is busy.
const PATIENCE: Duration = Duration::from_secs(20);
