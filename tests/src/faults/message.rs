//! HTTP/1.1 by hand, since no library sends half a header.

use std::{fmt::Write as _, io};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A request.
pub(super) struct Request {
    pub(super) method: Method,
    /// Path and query.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What is sent back.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Reads the next request from `stream`; what was read beyond stays in `buffer`. None: the connection has ended.
pub(super) async fn read_request<S>(stream: &mut S, buffer: &mut BytesMut) -> io::Result<Option<Request>>
where
    S: AsyncRead + Unpin,
{
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = buffer.split_to(end);
    let mut request = parse_head(&String::from_utf8_lossy(&head)).ok_or(io::ErrorKind::InvalidData)?;
    let length = request.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let length = length.unwrap_or(0);
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    request.body = buffer.split_to(length).freeze();
    Ok(Some(request))
}

fn parse_head(head: &str) -> Option<Request> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, path) = (words.next()?.parse().ok()?, words.next()?.to_owned());
    let mut headers = HeaderMap::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        headers.append(name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value.trim()).ok()?);
    }
    Some(Request { method, path, headers, body: Bytes::new() })
}

impl Answer {
    /// An empty one.
    pub(super) fn new(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// With another header.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// The bytes of status and headers, with the empty line. A `HEAD` keeps the length that it was given.
    pub(super) fn head(&self, method: &Method) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {}\r\n", self.status);
        let framing = |name: &HeaderName| {
            *name == header::TRANSFER_ENCODING || (*name == header::CONTENT_LENGTH && *method != Method::HEAD)
        };
        for (name, value) in self.headers.iter().filter(|(name, _)| !framing(name)) {
            // Writing to a string cannot fail.
            let _ = write!(head, "{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes()));
        }
        if *method != Method::HEAD {
            let _ = write!(head, "content-length: {}\r\n", self.body.len());
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// The bytes of the body, which a `HEAD` has not.
    pub(super) fn body(&self, method: &Method) -> Bytes {
        if *method == Method::HEAD { Bytes::new() } else { self.body.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_come_one_after_the_other_and_in_pieces() {
        let text =
            b"PUT /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcHEAD /c HTTP/1.1\r\nA: b\r\nA: c\r\n\r\nrest";
        let (mut near, mut far) = tokio::io::duplex(5);
        let write = async {
            tokio::io::AsyncWriteExt::write_all(&mut far, text).await.unwrap();
            drop(far);
        };
        let mut buffer = BytesMut::new();
        let read = async {
            let first = read_request(&mut near, &mut buffer).await.unwrap().unwrap();
            assert_eq!((first.method, first.path.as_str(), &first.body[..]), (Method::PUT, "/a?b", &b"abc"[..]));
            let second = read_request(&mut near, &mut buffer).await.unwrap().unwrap();
            assert_eq!((second.method, second.path.as_str(), &second.body[..]), (Method::HEAD, "/c", &b""[..]));
            assert_eq!(second.headers.get_all("a").iter().collect::<Vec<_>>(), ["b", "c"]);
            assert!(read_request(&mut near, &mut buffer).await.unwrap().is_none());
        };
        tokio::join!(write, read);
    }

    #[test]
    fn a_head_has_a_length_and_no_body() {
        let answer = Answer { body: Bytes::from_static(b"1234"), ..Answer::new(StatusCode::OK) };
        let answer = answer.with(header::CONTENT_LENGTH, "7");
        assert_eq!(answer.head(&Method::HEAD), b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n");
        assert_eq!(answer.head(&Method::GET), b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n");
        assert_eq!((answer.body(&Method::HEAD).len(), answer.body(&Method::GET).len()), (0, 4));
    }
}
