//! Resolves names for the HTTP client, to the addresses that it may dial.

use std::{net::SocketAddr, sync::Arc};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{Names, Reach};

/// What a name resolves to, as far as the reach goes.
#[derive(Debug)]
pub(super) struct Guard {
    names: Arc<Names>,
    reach: Reach,
}

impl Guard {
    pub(super) fn new(names: Arc<Names>, reach: Reach) -> Self {
        Self { names, reach }
    }
}

impl Resolve for Guard {
    /// Of several addresses those that are allowed are dialled; the refusal of one is told where there are no others.
    fn resolve(&self, name: Name) -> Resolving {
        let (names, reach) = (Arc::clone(&self.names), self.reach);
        Box::pin(async move {
            let host = name.as_str();
            let (mut allowed, mut refused) = (Vec::new(), None);
            for address in names.addresses(host, reach).await? {
                match reach.judge(host, address) {
                    Ok(()) => allowed.push(SocketAddr::new(address, 0)), // the URL says the port
                    Err(refusal) => refused = Some(refusal),
                }
            }
            match refused {
                Some(refusal) if allowed.is_empty() => Err(refusal.into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}
