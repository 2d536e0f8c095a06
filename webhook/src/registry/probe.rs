//! Whether anybody is there: a question without an image.

use std::time::Duration;

use http::StatusCode;
use tokio::time;

use super::upstream::{Upstreams, cause};
use crate::config::{Config, Registry};

/// Whether the egress policy lets Berth ask `registry` at all, as far as that is known before its name is resolved.
///
/// # Errors
/// Why not, in words.
pub(crate) fn may_be_asked(registry: &Registry) -> Result<(), String> {
    upstreams(registry)?.of(&registry.host).map(drop).map_err(|refusal| refusal.to_string())
}

/// Asks once whether a registry answers where `registry` says, within `limit`.
///
/// # Errors
/// Why there is none, in words.
///
/// # Source
/// OCI Distribution Specification 1.1, "Determining Support": `GET /v2/`, answered by 200, or 401 by one that is locked.
pub(crate) async fn probe(registry: &Registry, limit: Duration) -> Result<(), String> {
    let ask = async {
        let upstreams = upstreams(registry)?;
        let upstream = upstreams.of(&registry.host).map_err(|refusal| refusal.to_string())?;
        let url = upstream.endpoint.join("/v2/").map_err(|error| error.to_string())?;
        let answer = upstream.http.get(url).send().await.map_err(|error| cause(&error))?;
        match answer.status() {
            StatusCode::OK | StatusCode::UNAUTHORIZED => Ok(()),
            status => Err(format!("it answered {status}")),
        }
    };
    time::timeout(limit, ask).await.unwrap_or_else(|_| Err(format!("no answer within {} ms", limit.as_millis())))
}

fn upstreams(registry: &Registry) -> Result<Upstreams, String> {
    let config = Config { registries: vec![registry.clone()], ..Config::default() };
    Upstreams::new(&config).map_err(|error| error.to_string())
}
