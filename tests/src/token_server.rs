//! A token service: what registries with Bearer authentication send their clients to.
//!
//! # Source
//! `distribution/distribution`, "Token Authentication Specification", its `OAuth2` part and its token implementation.

mod jwt;
mod request;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Form, Json, Router,
    extract::State,
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use berth::image::Pattern;
use serde_json::{Value, json};

use self::{jwt::Signer, request::Question};
use crate::{lock::locked, pki::Authority, serve::Server};

/// A running token service. It ends when it is dropped.
pub struct TokenServer {
    server: Server,
    shared: Arc<Shared>,
}

/// Somebody with a password.
#[derive(Clone, Debug)]
pub struct User {
    /// As sent by Basic authentication.
    pub name: String,
    /// As sent by Basic authentication.
    pub password: String,
    /// Patterns of the repositories that the user may pull from.
    pub pulls: Vec<Pattern>,
}

/// How tokens are handed out.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Under which names an answer has its token; `GET` only, `POST` has `access_token` always.
    pub names: &'static [&'static str],
    /// What the answer says about how long it is good; nothing: 60 s by the specification.
    pub expires_in: Option<u64>,
    /// Tokens come expired, so that the registry refuses every one (it allows 60 s of skew).
    pub expired: bool,
    /// Everybody gets this status, with `Retry-After: 1`, and no token.
    pub status: Option<StatusCode>,
    /// Time before each answer.
    pub delay: Duration,
}

/// A request that came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenRequest {
    /// `GET` or `POST`.
    pub method: String,
    /// Who was recognised; nobody: anonymous, or refused.
    pub user: Option<String>,
    /// As asked for, one by one.
    pub scopes: Vec<String>,
    /// As asked for.
    pub service: Option<String>,
    /// Of a `POST`.
    pub grant_type: Option<String>,
    /// The header `Authorization`, if one came.
    pub authorization: Option<String>,
    /// What was answered.
    pub status: u16,
}

impl TokenServer {
    /// Serves `users`, and everybody what `public` matches; by TLS with a certificate from `authority`.
    pub async fn start(authority: Option<&Authority>, users: Vec<User>, public: Vec<Pattern>) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            users,
            public,
            signer: Mutex::new(Signer::new()?),
            manner: Mutex::new(Manner::default()),
            requests: Mutex::default(),
        });
        let identity = authority.map(|authority| authority.server(&["127.0.0.1", "localhost"])).transpose()?;
        let router = Router::new().route("/token", get(answer).post(answer)).with_state(shared.clone());
        Ok(Self { server: Server::start(router, identity.as_ref()).await?, shared })
    }

    /// The URL that registries name in their challenges.
    pub fn realm(&self) -> String {
        format!("{}/token", self.server.endpoint())
    }

    /// Its host and port, as in `tokenHosts`.
    pub fn host(&self) -> String {
        self.server.host()
    }

    /// From now on, answers in this manner.
    pub fn behave(&self, manner: Manner) {
        *locked(&self.shared.manner) = manner;
    }

    /// Signs by a new key from now on; registries take what it signs when they have been told to.
    pub fn change_key(&self) -> anyhow::Result<()> {
        *locked(&self.shared.signer) = Signer::new()?;
        Ok(())
    }

    /// All requests so far, in the order in which they were answered.
    pub fn requests(&self) -> Vec<TokenRequest> {
        locked(&self.shared.requests).clone()
    }

    /// The refresh token ("identity token") of a user.
    pub fn identity_token(&self, user: &str) -> String {
        identity_token(user)
    }

    /// The keys that a registry trusts, as a JSON Web Key Set.
    pub(crate) fn keys(&self) -> Value {
        locked(&self.shared.signer).keys()
    }

    /// What the tests themselves push with.
    pub(crate) fn master(&self) -> Master {
        Master(self.shared.clone())
    }
}

/// Makes tokens for the tests themselves, without any request.
pub(crate) struct Master(Arc<Shared>);

impl Master {
    /// A token with which everything may be done in `repository`.
    pub(crate) fn token(&self, repository: &str) -> anyhow::Result<String> {
        let access = json!([{ "type": "repository", "name": repository, "actions": ["pull", "push", "delete"] }]);
        locked(&self.0.signer).sign("berth-tests", &access, false)
    }
}

struct Shared {
    users: Vec<User>,
    public: Vec<Pattern>,
    signer: Mutex<Signer>,
    manner: Mutex<Manner>,
    requests: Mutex<Vec<TokenRequest>>,
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    headers: HeaderMap,
    Form(fields): Form<Vec<(String, String)>>,
) -> Response {
    let question = Question::read(&method, &headers, fields);
    let manner = locked(&shared.manner).clone();
    tokio::time::sleep(manner.delay).await;
    let user = question.user(&shared.users);
    let answer = match (&user, manner.status) {
        (_, Some(status)) => (status, [(header::RETRY_AFTER, "1")]).into_response(),
        (Err(()), None) => {
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, r#"Basic realm="berth-tests""#)]).into_response()
        }
        (Ok(user), None) => shared.token(&question, *user, &manner),
    };
    let user = user.ok().flatten().map(|user| user.name.clone());
    locked(&shared.requests).push(question.record(user, answer.status().as_u16()));
    answer
}

impl Shared {
    /// What `user` may have of what is asked for. To grant less than that, or nothing, is no error.
    fn token(&self, question: &Question, user: Option<&User>, manner: &Manner) -> Response {
        let patterns = self.public.iter().chain(user.iter().flat_map(|user| &user.pulls));
        let access = question.pulls(&patterns.collect::<Vec<_>>());
        let subject = user.map_or("", |user| &user.name);
        let Ok(token) = locked(&self.signer).sign(subject, &access, manner.expired) else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        let tokens = question.names(manner).iter().map(|name| (*name, json!(token)));
        let expires = manner.expires_in.map(|seconds| ("expires_in", json!(seconds)));
        let refresh =
            user.filter(|_| question.offline()).map(|user| ("refresh_token", json!(identity_token(&user.name))));
        let scope = question.is_oauth2().then(|| ("scope", json!(question.scopes().join(" "))));
        Json(tokens.chain(expires).chain(refresh).chain(scope).collect::<BTreeMap<_, _>>()).into_response()
    }
}

impl User {
    /// `name` with its password, for the repositories that `pulls` match.
    ///
    /// # Panics
    /// If one is no pattern.
    #[expect(clippy::expect_used, reason = "this is for tests")]
    pub fn new(name: &str, password: &str, pulls: &[&str]) -> Self {
        let pulls = pulls.iter().map(|pattern| pattern.parse().expect("a pattern")).collect();
        Self { name: name.to_owned(), password: password.to_owned(), pulls }
    }
}

impl Default for Manner {
    fn default() -> Self {
        Self { names: &["token"], expires_in: Some(300), expired: false, status: None, delay: Duration::ZERO }
    }
}

fn identity_token(user: &str) -> String {
    format!("{IDENTITY}{user}")
}

/// What the service calls registries, and they themselves.
pub const SERVICE: &str = "berth-tests-registry";
/// Who signs tokens.
pub(crate) const ISSUER: &str = "berth-tests-token-server";
/// What refresh tokens begin with.
const IDENTITY: &str = "identity-of-";

#[cfg(test)]
mod tests;
