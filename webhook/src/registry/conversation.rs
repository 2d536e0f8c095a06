//! The conversation with one registry about one image: a `HEAD` of the manifest, and what it takes to be let in.

mod tokens;

use std::time::{Duration, SystemTime};

use http::{
    Method, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, LOCATION},
};
use reqwest::{RequestBuilder, Response, Url};
use tokio::time;

use super::{
    Error, answer,
    challenge::Challenge,
    credentials::Credential,
    egress::Refusal,
    send::send,
    token::{Grant, Grants, Key, Slot, Standing},
    upstream::{Failure, Upstream, Upstreams},
};
use crate::image::{Digest, Reference};

/// What is asked, and where.
pub(super) struct Conversation<'a> {
    pub(super) image: &'a Reference,
    /// The repository at the registry.
    pub(super) path: &'a str,
    pub(super) upstream: Upstream<'a>,
    /// The ways to where the registry may send Berth.
    pub(super) upstreams: &'a Upstreams,
    pub(super) grants: &'a Grants,
}

impl Conversation<'_> {
    /// Asks once as `credential`, answering one challenge.
    pub(super) async fn ask(&self, credential: Option<&Credential>) -> Result<Digest, Error> {
        let slot = self.grants.slot(Key {
            host: self.image.host().to_owned(),
            repository: self.path.to_owned(),
            credential: credential.map(Credential::fingerprint),
        });
        let known = slot.current();
        let first = self.manifest(Method::HEAD, known.as_ref()).await?;
        if first.status() != StatusCode::UNAUTHORIZED {
            return self.read(first, known.as_ref()).await;
        }
        if let Some(stale) = &known {
            slot.forget(stale);
        }
        let grant = self.grant(&slot, credential, &first).await?;
        drop(first);
        let second = self.manifest(Method::HEAD, Some(&grant)).await?;
        if second.status() == StatusCode::UNAUTHORIZED {
            slot.forget(&grant);
            let by_service = matches!(grant.standing, Standing::Stranger | Standing::Known);
            if by_service && Challenge::says_invalid_token(second.headers()) {
                return Err(Error::TokenRefused { host: self.image.host().to_owned() });
            }
        }
        self.read(second, Some(&grant)).await
    }

    /// What the challenge in `refusal` asks for.
    async fn grant(&self, slot: &Slot, credential: Option<&Credential>, refusal: &Response) -> Result<Grant, Error> {
        let challenge = Challenge::choose(refusal.headers());
        if let (Some(Challenge::Bearer(_)), Some(header)) = (&challenge, credential.and_then(Credential::bearer)) {
            let expires = time::Instant::now() + BASIC_REMEMBERED;
            return slot.obtain(async { Ok(Grant { header, standing: Standing::Claimed, expires }) }).await;
        }
        match (challenge, credential.and_then(Credential::basic)) {
            (Some(Challenge::Bearer(bearer)), _) => slot.obtain(self.token(&bearer, credential)).await,
            (Some(Challenge::Basic), Some(header)) => {
                let expires = time::Instant::now() + BASIC_REMEMBERED;
                slot.obtain(async { Ok(Grant { header, standing: Standing::Claimed, expires }) }).await
            }
            (Some(Challenge::Basic) | None, _) => {
                let standing = if credential.is_some() { Standing::Claimed } else { Standing::Stranger };
                Err(self.denied(refusal.status(), &standing))
            }
        }
    }

    /// Requests the manifest, following redirects: few, without credentials, and to where Berth may connect.
    async fn manifest(&self, method: Method, grant: Option<&Grant>) -> Result<Response, Error> {
        let (mut url, mut http) = (self.url()?, self.upstream.http);
        let mut header = grant.map(|grant| grant.header.clone());
        for _ in 0..=REDIRECTS {
            let request = http.request(method.clone(), url.clone()).header(ACCEPT, answer::ACCEPT);
            let mut request = request.header(CACHE_CONTROL, "no-cache");
            if let Some(header) = &header {
                request = request.header(AUTHORIZATION, header.clone());
            }
            let answer = self.send(request, "").await?;
            let Some(next) = self.redirect(&url, &answer)? else {
                let elsewhere = url.origin() != self.upstream.endpoint.origin();
                if elsewhere && answer.status() == StatusCode::UNAUTHORIZED {
                    let host = url.host_str().unwrap_or_default();
                    return Err(self.untrusted(format!("it redirects to {host}, which wants credentials")));
                }
                return Ok(answer);
            };
            http = self
                .upstreams
                .client_for(&next, &self.upstream)
                .map_err(|refusal| self.not_sent_to("redirects", &refusal))?;
            (url, header) = (next, None);
        }
        Err(self.untrusted(format!("more than {REDIRECTS} redirects")))
    }

    /// Sends one request; `what` is asked. The headers of the answer are within bounds.
    async fn send(&self, request: RequestBuilder, what: &str) -> Result<Response, Error> {
        let answer = send(request).await.map_err(|error| self.broken(what, &error))?;
        if answer::size(answer.headers()) <= HEADERS_LIMIT {
            Ok(answer)
        } else {
            Err(self.untrusted(TOO_LARGE.to_owned()))
        }
    }

    fn url(&self) -> Result<Url, Error> {
        let version = self.image.digest().map(Digest::as_str).or(self.image.effective_tag()).unwrap_or_default();
        let endpoint = self.upstream.endpoint.as_str().trim_end_matches('/');
        let url = Url::parse(&[endpoint, "/v2/", self.path, "/manifests/", version].concat());
        url.map_err(|error| Error::unreachable(self.image, error.to_string()))
    }

    /// Where `answer` redirects to, if it does.
    fn redirect(&self, from: &Url, answer: &Response) -> Result<Option<Url>, Error> {
        if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Ok(None);
        }
        let location = answer.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        let next = location.and_then(|location| from.join(location).ok());
        let next = next.filter(|next| next.username().is_empty() && next.password().is_none());
        let next = next.ok_or_else(|| self.untrusted("it redirects to what is no address".to_owned()))?;
        match (from.scheme(), next.scheme()) {
            ("https" | "http", "https") | ("http", "http") => Ok(Some(next)),
            (before, after) => Err(self.untrusted(format!("it redirects from {before} to {after}"))),
        }
    }

    /// Reads the digest from the answer to a `HEAD`; asks again by `GET` where it gives none.
    async fn read(&self, answer: Response, grant: Option<&Grant>) -> Result<Digest, Error> {
        let answer = self.checked(answer, grant)?;
        if let Some(digest) = self.digest(&answer)? {
            return Ok(digest);
        }
        let answer = self.checked(self.manifest(Method::GET, grant).await?, grant)?;
        let said = self.digest(&answer)?;
        let body = self.body(answer, MANIFEST_LIMIT, "the manifest").await?;
        answer::digest_of(&body, self.image.digest().or(said.as_ref())).map_err(|reason| self.untrusted(reason))
    }

    fn digest(&self, answer: &Response) -> Result<Option<Digest>, Error> {
        answer::digest(answer.headers(), self.image.digest()).map_err(|reason| self.untrusted(reason))
    }

    /// The answer, if it is a manifest.
    fn checked(&self, answer: Response, grant: Option<&Grant>) -> Result<Response, Error> {
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(Error::not_found(self.image)),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                return Err(self.denied(status, grant.map_or(&Standing::Stranger, |grant| &grant.standing)));
            }
            StatusCode::TOO_MANY_REQUESTS => return Err(self.too_many(&answer)),
            status if status.is_server_error() => return Err(self.failed("it", &answer)),
            status => return Err(self.untrusted(format!("it answered {status}"))),
        }
        answer::is_manifest(answer.headers()).map_err(|reason| self.untrusted(reason))?;
        Ok(answer)
    }

    /// The body, read by pieces so that no more than `limit` bytes are held.
    async fn body(&self, mut answer: Response, limit: usize, what: &str) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| self.broken(what, &error))? {
            if body.len() + piece.len() > limit {
                return Err(self.untrusted(format!("{what} is larger than {} KiB", limit / 1024)));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    fn broken(&self, what: &str, error: &reqwest::Error) -> Error {
        let what = if what.is_empty() { String::new() } else { format!("{what}: ") };
        match Failure::of(error) {
            Failure::NotAllowed(refusal) => Error::not_allowed(self.image, refusal.to_string()),
            Failure::TooLarge => self.untrusted(TOO_LARGE.to_owned()),
            Failure::Broken(words) => Error::unreachable(self.image, what + &words),
        }
    }

    /// A 401 or 403 to somebody of this standing.
    fn denied(&self, status: StatusCode, standing: &Standing) -> Error {
        match (standing, status) {
            (Standing::Withheld(service), _) => self.unlisted(service),
            (Standing::Known, _) => Error::forbidden(self.image, false),
            (Standing::Stranger | Standing::Claimed, StatusCode::FORBIDDEN) => {
                Error::forbidden(self.image, *standing == Standing::Stranger)
            }
            (Standing::Stranger | Standing::Claimed, _) => {
                Error::unauthorized(self.image, *standing == Standing::Stranger)
            }
        }
    }

    /// Its token service may not be asked, or not by whom it must be asked, because nobody has listed it.
    fn unlisted(&self, service: &str) -> Error {
        let host = self.image.host();
        let remedy = format!("{host}: add its token service to `tokenHosts` if you trust it: {service}");
        Error::not_allowed(self.image, remedy)
    }

    /// Berth does not connect to where the registry sends it.
    fn not_sent_to(&self, what: &str, refusal: &Refusal) -> Error {
        Error::not_allowed(self.image, format!("{refusal} ({} {what} there)", self.image.host()))
    }

    /// A 5xx of `who`.
    fn failed(&self, who: &str, answer: &Response) -> Error {
        match answer::retry_after(answer.headers(), SystemTime::now()) {
            Some(retry_after) if answer.status() == StatusCode::SERVICE_UNAVAILABLE => {
                Error::Busy { host: self.image.host().to_owned(), retry_after }
            }
            _ => Error::unreachable(
                self.image,
                format!("{who} answered {}: look into its log", answer.status().as_u16()),
            ),
        }
    }

    fn untrusted(&self, reason: String) -> Error {
        Error::untrusted(self.image, reason)
    }

    fn too_many(&self, answer: &Response) -> Error {
        Error::TooMany {
            host: self.image.host().to_owned(),
            retry_after: answer::retry_after(answer.headers(), SystemTime::now()),
        }
    }
}

/// Redirects that are followed.
const REDIRECTS: usize = 3;
/// Bytes of all headers of an answer. The HTTP library stops at 400 KiB by itself.
const HEADERS_LIMIT: usize = 64 * 1024;
/// Bytes of a manifest.
const MANIFEST_LIMIT: usize = 4 * 1024 * 1024;
/// That there are more.
const TOO_LARGE: &str = "headers of more than 64 KiB";
/// How long Berth remembers that a registry wants a name and password.
const BASIC_REMEMBERED: Duration = Duration::from_secs(600);
