//! What the API server answered last, for when that is to be repeated.

use std::collections::HashMap;

use bytes::Bytes;
use http::StatusCode;

/// Answers to reads of single objects and lists, by path and query.
#[derive(Debug, Default)]
pub(super) struct Memory(HashMap<String, (StatusCode, Bytes)>);

impl Memory {
    pub(super) fn keep(&mut self, line: &str, status: StatusCode, body: &Bytes) {
        self.0.insert(line.to_owned(), (status, body.clone()));
    }

    /// What was answered last.
    pub(super) fn repeat(&self, line: &str) -> Option<(StatusCode, Bytes)> {
        self.0.get(line).cloned()
    }
}
