//! Asking a token service.

use http::{
    HeaderValue, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use reqwest::{Client, Response, Url};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time;

use super::Conversation;
use crate::registry::{
    Error, answer,
    challenge::{Bearer, may_see_credentials},
    credentials::Credential,
    token::{Grant, Standing},
    token_service::Token,
};

impl Conversation<'_> {
    /// Obtains a token, by `credential` only where the token service may see it.
    ///
    /// Redirects are not followed: who may see credentials is decided by the address that the registry gave.
    pub(super) async fn token(&self, bearer: &Bearer, credential: Option<&Credential>) -> Result<Grant, Error> {
        let (endpoint, token_hosts) = (&self.upstream.endpoint, self.upstream.token_hosts());
        let url = bearer.service_url(endpoint).map_err(|reason| self.untrusted(reason))?;
        let seen = may_see_credentials(&url, self.image.host(), endpoint, token_hosts);
        let http = self.upstreams.client_for(&url, &self.upstream).map_err(|refusal| {
            // Without TLS, being named in `registries` would not do.
            let unlisted = url.scheme() == "http" && !seen;
            if unlisted { self.unlisted(url.authority()) } else { self.not_sent_to("has its token service", &refusal) }
        })?;
        let standing = match credential {
            None => Standing::Stranger,
            Some(_) if seen => Standing::Claimed,
            Some(_) => Standing::Withheld(url.authority().to_owned()),
        };
        let service = Service { conversation: self, bearer, http, url };
        let asked = time::Instant::now();
        let answer = match credential.filter(|_| seen) {
            None => service.get(None).await?,
            Some(credential) => match credential.identity_token() {
                None => service.get(credential.basic()).await?,
                Some(given) => service.exchange(credential, given).await?,
            },
        };
        let token = self.read_token(answer, &standing).await?;
        if let (Some(credential), Some(replacement)) = (credential.filter(|_| seen), token.replacement) {
            self.grants.replace(self.image.host(), credential.fingerprint(), Some(replacement));
        }
        let standing = if standing == Standing::Claimed { Standing::Known } else { standing };
        Ok(Grant { header: token.header, standing, expires: asked + token.good })
    }

    /// Reads the token service's answer to somebody of this standing.
    async fn read_token(&self, answer: Response, standing: &Standing) -> Result<Token, Error> {
        match answer.status() {
            StatusCode::OK => {}
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => return Err(self.denied(status, standing)),
            StatusCode::TOO_MANY_REQUESTS => return Err(self.too_many(&answer)),
            status if status.is_server_error() => return Err(self.failed(SERVICE, &answer)),
            status => return Err(self.untrusted(format!("{SERVICE} answered {status}"))),
        }
        answer::is_plain(answer.headers()).map_err(|reason| self.untrusted(format!("{SERVICE} gave {reason}")))?;
        let body = self.body(answer, TOKEN_LIMIT, SERVICE).await?;
        Token::read(&body).map_err(|reason| self.untrusted(reason.to_owned()))
    }
}

/// A token service, and what is asked of it.
struct Service<'a> {
    conversation: &'a Conversation<'a>,
    bearer: &'a Bearer,
    http: &'a Client,
    url: Url,
}

impl Service<'_> {
    /// Asks in the way that every token service knows.
    async fn get(&self, basic: Option<HeaderValue>) -> Result<Response, Error> {
        let mut request = self.http.get(self.bearer.question(self.url.clone(), self.conversation.path));
        if let Some(basic) = basic {
            request = request.header(AUTHORIZATION, basic);
        }
        self.conversation.send(request, SERVICE).await
    }

    /// Exchanges the refresh token of `credential`, which was `given`, or what has replaced it.
    ///
    /// Not every token service knows `OAuth2`. Those that do not answer 404, 405, 401 (Artifactory) or 400 (Azure), and
    /// then the token is sent as a password without a name: so does containerd, and the nodes with it.
    async fn exchange(&self, credential: &Credential, given: &SecretString) -> Result<Response, Error> {
        let Conversation { image, grants, .. } = self.conversation;
        if let Some(replacement) = grants.replacement(image.host(), credential.fingerprint()) {
            let answer = self.post(&replacement).await?;
            if !is_refusal(answer.status()) {
                return Ok(answer);
            }
            grants.replace(image.host(), credential.fingerprint(), None);
        }
        let answer = self.post(given).await?;
        if is_refusal(answer.status()) {
            self.get(Credential::password("", given.clone()).basic()).await
        } else {
            Ok(answer)
        }
    }

    async fn post(&self, refresh_token: &SecretString) -> Result<Response, Error> {
        let form = self.bearer.exchange(refresh_token, self.conversation.path);
        let request = self.http.post(self.url.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.conversation.send(request.body(form.expose_secret().to_owned()), SERVICE).await
    }
}

/// Whether the service does not take a refresh token, or not this one.
fn is_refusal(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 401 | 404 | 405)
}

/// What it is called.
const SERVICE: &str = "its token service";
/// Bytes of its answer.
const TOKEN_LIMIT: usize = 128 * 1024;
