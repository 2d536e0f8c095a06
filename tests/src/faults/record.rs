//! What the proxy heard.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use http::HeaderMap;

use crate::lock::locked;

/// A request that came.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The number of its connection, from 0.
    pub connection: usize,
    /// `HEAD`, `GET`, …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// All headers.
    pub headers: HeaderMap,
}

/// The record of a proxy.
#[derive(Debug, Default)]
pub(super) struct Record {
    connections: AtomicUsize,
    open: AtomicUsize,
    requests: Mutex<Vec<Heard>>,
}

impl Record {
    /// Another connection; its number, from 0.
    pub(super) fn connected(&self) -> usize {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts as open until the answer is dropped.
    pub(super) fn opened(&self) -> Open<'_> {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(&self.open)
    }

    /// Notes a request; its number, from 0.
    pub(super) fn heard(&self, request: Heard) -> usize {
        let mut requests = locked(&self.requests);
        requests.push(request);
        requests.len() - 1
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub(super) fn requests(&self) -> Vec<Heard> {
        locked(&self.requests).clone()
    }
}

/// A connection that is open.
pub(super) struct Open<'a>(&'a AtomicUsize);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
