//! What is answered: the truth from behind the proxy, or a lie.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};

use super::{
    Fault, Shared,
    message::{Answer, Request},
};

/// The answer to `request`, which is the `number`th that the proxy got, under `fault`.
pub(super) async fn answer(shared: &Shared, request: &Request, fault: &Fault, number: usize) -> Answer {
    match fault {
        Fault::Status(status, retry_after) => {
            let answer = Answer::new(StatusCode::from_u16(*status).unwrap_or_default());
            retry_after.iter().fold(answer, |answer, after| answer.with(header::RETRY_AFTER, after))
        }
        Fault::Challenge(challenge) => Answer::new(StatusCode::UNAUTHORIZED).with(header::WWW_AUTHENTICATE, challenge),
        Fault::RedirectLoop => redirect(&request.path),
        Fault::Redirect(to) => redirect(&to.replace("{path}", &request.path)),
        Fault::Html => {
            let page = Answer { body: Bytes::from_static(PAGE), ..Answer::new(StatusCode::OK) };
            page.with(header::CONTENT_TYPE, "text/html; charset=utf-8")
        }
        _ => lie(forward(shared, request).await, request, fault, number),
    }
}

fn redirect(to: &str) -> Answer {
    Answer::new(StatusCode::TEMPORARY_REDIRECT).with(header::LOCATION, to)
}

/// Changes the true answer.
fn lie(mut answer: Answer, request: &Request, fault: &Fault, number: usize) -> Answer {
    let lies = match fault {
        Fault::WrongDigest => true,
        Fault::FlippingDigest => number % 2 == 1,
        Fault::Disagree => request.method == Method::HEAD,
        _ => false,
    };
    if lies {
        answer = answer.with(DIGEST, OTHER);
    }
    match fault {
        Fault::BrokenDigest => answer.with(DIGEST, "sha256:beef"),
        Fault::HugeHeader => answer.with(HeaderName::from_static("x-huge"), &"x".repeat(HUGE)),
        Fault::NoType => {
            answer.headers.remove(header::CONTENT_TYPE);
            answer
        }
        Fault::Tamper => {
            // Still JSON, and of the same length.
            answer.body = answer.body.iter().map(|byte| if *byte == b'a' { b'b' } else { *byte }).collect();
            answer
        }
        _ => answer,
    }
}

/// Asks the server behind; 502 where that fails.
async fn forward(shared: &Shared, request: &Request) -> Answer {
    let url = [shared.endpoint.as_str(), &request.path].concat();
    let mut headers = request.headers.clone();
    for hop in [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
        headers.remove(hop);
    }
    let asked = shared.http.request(request.method.clone(), url).headers(headers).body(request.body.clone());
    let Ok(answer) = asked.send().await else { return Answer::new(StatusCode::BAD_GATEWAY) };
    let (status, headers) = (answer.status(), answer.headers().clone());
    let Ok(body) = answer.bytes().await else { return Answer::new(StatusCode::BAD_GATEWAY) };
    let mut answer = Answer { status, headers, body };
    answer.headers.remove(header::CONNECTION);
    answer
}

/// Takes away the digest.
pub(super) fn without_digest(mut answer: Answer) -> Answer {
    let _: Option<HeaderValue> = answer.headers.remove(DIGEST);
    answer
}

/// The header that names a manifest's digest.
const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// The digest of nothing that any test pushes.
pub(super) const OTHER: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000bad";
const PAGE: &[u8] = b"<!DOCTYPE html><html><head><title>Please log in</title></head><body>Please log in.</body></html>";
/// Bytes of a header.
const HUGE: usize = 1024 * 1024;
