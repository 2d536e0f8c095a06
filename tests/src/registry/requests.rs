//! What a registry was asked, by its own word.

use std::{fs, path::Path};

use super::push::AGENT;

/// A line of the registry's access log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// `HEAD`, `GET`, …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// What it answered.
    pub status: u16,
    /// `User-Agent`.
    pub agent: String,
}

impl Request {
    /// It came from these tests, which push and delete.
    pub fn is_push(&self) -> bool {
        self.agent == AGENT
    }

    /// Reads `127.0.0.1 - - [time] "METHOD PATH PROTOCOL" STATUS SIZE "REFERER" "AGENT"`; other lines are none.
    ///
    /// # Source
    /// `CombinedLoggingHandler` of gorilla/handlers. It writes the line before a short answer leaves the process, so
    /// who has read the answer finds the line.
    fn parse(line: &str) -> Option<Self> {
        let mut quoted = line.split('"');
        let (_, request, numbers) = (quoted.next()?, quoted.next()?, quoted.next()?);
        let agent = quoted.nth(2)?;
        let mut words = request.split(' ');
        Some(Self {
            method: words.next()?.to_owned(),
            path: words.next()?.to_owned(),
            status: numbers.split_whitespace().next()?.parse().ok()?,
            agent: agent.to_owned(),
        })
    }
}

/// All requests in the log at `path`.
pub(super) fn read(path: &Path) -> Vec<Request> {
    let log = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&log).lines().filter_map(Request::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_lines_are_told_from_others() {
        let line = r#"127.0.0.1 - - [21/Nov/2026:11:00:00 +0000] "HEAD /v2/a/manifests/b?ns=c HTTP/1.1" 200 7 "" "Go""#;
        let want = Request {
            method: "HEAD".to_owned(),
            path: "/v2/a/manifests/b?ns=c".to_owned(),
            status: 200,
            agent: "Go".to_owned(),
        };
        assert_eq!(Request::parse(line), Some(want));
        let other = r#"time="2026-11-21T11:00:00Z" level=info msg="response completed" http.request.method=HEAD go.version=go1.26 instance.id="x" service=registry version="v3""#;
        assert_eq!(Request::parse(other), None);
        assert_eq!(Request::parse(""), None);
    }
}
