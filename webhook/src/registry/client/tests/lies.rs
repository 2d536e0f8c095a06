//! Answers that are wrong, too large, or never end.

use std::time::{Duration, Instant};

use axum::{body::Body, http::Response};
use futures::{StreamExt as _, stream};

use super::{
    ask, ask_within, client,
    stranger::{MANIFEST, Stranger, challenge, manifest, status},
};
use crate::image::Digest;

/// Asks a registry that always answers like this; what the client says, and the requests that it made.
async fn told(image: &str, answer: impl Fn() -> Response<Body> + Clone + Send + Sync + 'static) -> Told {
    let stranger = Stranger::answering(move |_| answer()).await;
    let client = client(&[("reg.example", &stranger.url())], &[]);
    let told = ask(&client, image).await;
    (told, stranger.lines())
}

type Told = (Result<String, String>, Vec<String>);

fn sha(letter: &str) -> String {
    format!("sha256:{}", letter.repeat(64))
}

fn untrusted(reason: &str) -> Result<String, String> {
    Err(format!("reg.example gave a bad answer (check it, and proxies): {reason}"))
}

const HEAD: &str = "HEAD /v2/team/app/manifests/v1";
const GET: &str = "GET /v2/team/app/manifests/v1";
const IMAGE: &str = "reg.example/team/app:v1";

#[tokio::test]
async fn one_head_is_enough() {
    let (told, lines) = told(IMAGE, || manifest(Some(&sha("a")))).await;
    assert_eq!((told, lines), (Ok(sha("a")), vec![HEAD.to_owned()]));
}

#[tokio::test]
async fn without_the_header_the_digest_is_computed() {
    let (told, lines) = told(IMAGE, || manifest(None)).await;
    assert_eq!((told, lines), (Ok(Digest::of(MANIFEST.as_bytes()).to_string()), vec![HEAD.to_owned(), GET.to_owned()]));
}

#[tokio::test]
async fn the_questions_ask_for_indexes_and_against_caches() {
    let stranger = Stranger::answering(|request| {
        let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kinds = ["image.index.v1+json", "manifest.list.v2+json", "image.manifest.v1+json", "manifest.v2+json"];
        let asked = kinds.iter().all(|kind| header("accept").contains(kind)) && header("cache-control") == "no-cache";
        let plain = header("accept-encoding").is_empty();
        if asked && plain { manifest(Some(&sha("a"))) } else { status(400) }
    })
    .await;
    assert_eq!(ask(&client(&[("reg.example", &stranger.url())], &[]), IMAGE).await, Ok(sha("a")));
}

/// S13.
#[tokio::test]
async fn a_text_that_is_no_digest_is_refused() {
    for evil in ["sha256:EVIL\"}]", &format!("sha256:{}", "A".repeat(64)), "sha256:", "latest"] {
        let owned = evil.to_owned();
        let (told, lines) = told(IMAGE, move || manifest(Some(&owned))).await;
        assert_eq!(told, untrusted(&format!("its digest is `{}`", evil.escape_debug())));
        assert_eq!(lines, [HEAD]);
    }
    let long = format!("sha512:{}", "a".repeat(128));
    let reason = format!("its digest is {long}, no sha256");
    assert_eq!(told(IMAGE, move || manifest(Some(&long))).await.0, untrusted(&reason));
}

#[tokio::test]
async fn a_page_is_refused() {
    let page = || {
        let answer = Response::builder().header("content-type", "text/html").header("docker-content-digest", sha("a"));
        answer.body(Body::from("<html>please log in</html>")).unwrap()
    };
    let (told, lines) = told(IMAGE, page).await;
    assert_eq!(told, untrusted("an answer of type `text/html`, which is no manifest"));
    assert_eq!(lines, [HEAD]);
}

#[tokio::test]
async fn a_digest_that_was_asked_for_is_the_one_that_comes() {
    let body = Digest::of(MANIFEST.as_bytes());
    let image = |digest: &str| format!("reg.example/app:v1@{digest}");
    let (right, lines) = told(&image(&sha("a")), || manifest(Some(&sha("a")))).await;
    assert_eq!((right, lines), (Ok(sha("a")), vec![format!("HEAD /v2/app/manifests/{}", sha("a"))]));
    let (other, _) = told(&image(&sha("a")), || manifest(Some(&sha("b")))).await;
    assert_eq!(other, untrusted(&format!("asked for {}, it gave {}", sha("a"), sha("b"))));
    assert_eq!(told(&image(body.as_str()), || manifest(None)).await.0, Ok(body.to_string()));
    let (other, _) = told(&image(&sha("a")), || manifest(None)).await;
    assert_eq!(other, untrusted(&format!("the manifest that it gave is not {}", sha("a"))));
    let long = format!("sha512:{}", "a".repeat(128));
    let (answer, header) = (image(&long), long.clone());
    assert_eq!(told(&answer, move || manifest(Some(&header))).await.0, Ok(long));
}

/// S14: the digest that counts is that of the bytes.
#[tokio::test]
async fn a_get_that_contradicts_its_own_header_is_refused() {
    let stranger = Stranger::answering(|request| {
        manifest(if request.method == "HEAD" {
            None
        } else {
            Some("sha256:0000000000000000000000000000000000000000000000000000000000000000")
        })
    })
    .await;
    let told = ask(&client(&[("reg.example", &stranger.url())], &[]), IMAGE).await;
    assert_eq!(told, untrusted(&format!("the manifest that it gave is not {}", sha("0"))));
}

#[tokio::test]
async fn a_manifest_has_an_end() {
    let endless = || {
        let pieces = stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 64 * 1024]));
        let answer = Response::builder().header("content-type", "application/vnd.oci.image.index.v1+json");
        answer.body(Body::from_stream(pieces)).unwrap()
    };
    assert_eq!(told(IMAGE, endless).await.0, untrusted("the manifest is larger than 4096 KiB"));
}

/// S16; floods are in `tests/bounds.rs`, where memory is counted.
#[tokio::test]
async fn headers_have_an_end() {
    let many = || {
        let answer = Response::builder().header("content-type", "application/vnd.oci.image.index.v1+json");
        let answer = (0..70).fold(answer, |answer, number| answer.header(format!("x-{number}"), "y".repeat(1024)));
        answer.header("docker-content-digest", sha("a")).body(Body::empty()).unwrap()
    };
    assert_eq!(told(IMAGE, many).await.0, untrusted("headers of more than 64 KiB"));
}

#[tokio::test]
async fn a_rate_limit_is_never_followed_by_a_get() {
    let limited = || Response::builder().status(429).header("retry-after", "30").body(Body::empty()).unwrap();
    let (told, lines) = told(IMAGE, limited).await;
    assert_eq!(
        told,
        Err("reg.example limits requests: set a mirror or `pin.maxAge`; it asks for 30 s of rest".to_owned())
    );
    assert_eq!(lines, [HEAD]);
}

#[tokio::test]
async fn every_status_has_its_meaning() {
    let status_of = |code| told(IMAGE, move || status(code));
    assert_eq!(
        status_of(404).await.0,
        Err(format!("reg.example has no such image: push it or correct the name: {IMAGE}"))
    );
    let down = "reg.example: it answered 503: look into its log";
    assert_eq!(status_of(503).await.0, Err(down.to_owned()));
    let down = "reg.example: it answered 500: look into its log";
    assert_eq!(status_of(500).await.0, Err(down.to_owned()));
    assert_eq!(status_of(418).await.0, untrusted("it answered 418 I'm a teapot"));
    assert_eq!(status_of(204).await.0, untrusted("it answered 204 No Content"));
    for code in [401, 403] {
        let (told, lines) = status_of(code).await;
        assert_eq!(told, Err(format!("reg.example wants credentials: add them to `credentials`: {IMAGE}")));
        assert_eq!(lines, [HEAD]);
    }
}

#[tokio::test]
async fn a_stall_ends_at_the_deadline() {
    let stalled: [&[u8]; 2] = [b"", b"HTTP/1.1 200 OK\r\ncontent-type: applic"];
    for (number, bytes) in stalled.into_iter().enumerate() {
        let stranger = Stranger::writing(bytes, false).await;
        let client = client(&[("reg.example", &stranger.url())], &[]);
        let start = Instant::now();
        let told = ask_within(&client, IMAGE, Duration::from_millis(200)).await;
        let limit = told.unwrap_err();
        assert!(limit.starts_with("reg.example gave no answer in"), "case {number}: {limit}");
        assert!(start.elapsed() < Duration::from_secs(2));
    }
}

/// S16: what drips is ended by the deadline, whether it is a manifest or a token.
#[tokio::test]
async fn what_drips_ends_at_the_deadline() {
    let drops = || {
        let each = Duration::from_millis(20);
        let drops = stream::repeat_with(|| Ok::<_, std::io::Error>("{")).then(move |drop| async move {
            tokio::time::sleep(each).await;
            drop
        });
        Body::from_stream(drops)
    };
    for at_token in [false, true] {
        let stranger = Stranger::answering(move |request| match request.uri.path() {
            "/token" => Response::new(drops()),
            _ if at_token => {
                challenge(&format!("Bearer realm=\"http://{}/token\"", request.headers["host"].to_str().unwrap()))
            }
            _ => Response::builder()
                .header("content-type", "application/vnd.oci.image.index.v1+json")
                .body(drops())
                .unwrap(),
        })
        .await;
        let start = Instant::now();
        let client = client(&[("reg.example", &stranger.url())], &[]);
        let told = ask_within(&client, IMAGE, Duration::from_millis(300)).await.unwrap_err();
        assert!(told.starts_with("reg.example gave no answer in "), "{told}");
        assert!(start.elapsed() < Duration::from_secs(2));
        let last = if at_token { "GET /token" } else { GET };
        assert!(stranger.lines().last().is_some_and(|line| line.starts_with(last)), "{:?}", stranger.lines());
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_told_in_words() {
    let cases: [(&[u8], &str); 3] = [
        (b"", "the connection broke: look into its log"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "invalid HTTP version parsed"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.oci.image.index.v1+json\r\ncontent-length: 100\r\n\r\n",
            "the manifest: the connection broke: look into its log",
        ),
    ];
    for (bytes, words) in cases {
        let stranger = Stranger::writing(bytes, true).await;
        let told = ask(&client(&[("reg.example", &stranger.url())], &[]), IMAGE).await;
        assert_eq!(told, Err(format!("reg.example: {words}")));
    }
}
