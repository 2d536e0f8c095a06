//! Reading a registry's answer, which is data from a stranger: nothing enters a Pod unchecked.

use std::time::{Duration, SystemTime};

use http::{
    HeaderMap, HeaderName,
    header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
};

use crate::image::Digest;

/// The digest that the headers of a manifest give, if they give one.
///
/// # Errors
/// What is wrong: a text that is no digest, several that differ, or another than the one `asked` for.
///
/// # Source
/// OCI Distribution Specification 1.1, "Pulling manifests": `Docker-Content-Digest` is only a SHOULD.
pub(super) fn digest(headers: &HeaderMap, asked: Option<&Digest>) -> Result<Option<Digest>, String> {
    let mut found: Option<Digest> = None;
    for value in headers.get_all(DIGEST) {
        let text = value.to_str().unwrap_or("(not ASCII)");
        let digest: Digest = text.parse().map_err(|_| format!("its digest is {}", quoted(text)))?;
        if found.as_ref().is_some_and(|other| *other != digest) {
            return Err("it gave two different digests".to_owned());
        }
        found = Some(digest);
    }
    match (found, asked) {
        (Some(found), Some(asked)) if found != *asked => Err(format!("asked for {asked}, it gave {found}")),
        (Some(found), None) if found.algorithm() != "sha256" => Err(format!("its digest is {found}, no sha256")),
        (found, _) => Ok(found),
    }
}

/// The digest of a manifest's body, where the headers give none or to compare with what they `said`.
pub(super) fn digest_of(body: &[u8], expected: Option<&Digest>) -> Result<Digest, String> {
    match expected {
        Some(expected) if expected.is_of(body) => Ok(expected.clone()),
        Some(expected) => Err(format!("the manifest that it gave is not {expected}")),
        None => Ok(Digest::of(body)),
    }
}

/// Whether the body is what it is: Berth asks for no compression and undoes none.
pub(super) fn is_plain(headers: &HeaderMap) -> Result<(), String> {
    match headers.get(CONTENT_ENCODING).filter(|coding| *coding != "identity") {
        Some(coding) => {
            Err(format!("an answer with the encoding {}", quoted(&String::from_utf8_lossy(coding.as_bytes()))))
        }
        None => Ok(()),
    }
}

/// Whether the answer is a manifest: a 200 with a login page is not, and a tool that pinned its digest is in wide use.
pub(super) fn is_manifest(headers: &HeaderMap) -> Result<(), String> {
    is_plain(headers)?;
    let Some(kind) = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else {
        return Err("an answer without a content type".to_owned());
    };
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if MANIFESTS.iter().any(|manifest| essence.eq_ignore_ascii_case(manifest)) {
        Ok(())
    } else {
        Err(format!("an answer of type {}, which is no manifest", quoted(essence)))
    }
}

/// How long the header `Retry-After` asks to wait: seconds, or a date. Zero if that has passed.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = text.parse().ok().map(Duration::from_secs);
    seconds.or_else(|| Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()))
}

/// Bytes of all headers, names and values.
pub(super) fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// A stranger's text, short and without control characters.
pub(super) fn quoted(text: &str) -> String {
    let start: String = text.chars().take(QUOTED).collect();
    let dots = if start.len() < text.len() { "…" } else { "" };
    format!("`{}{dots}`", start.escape_debug())
}

/// The kinds of manifest that Berth takes: indexes and manifests, OCI's and Docker's.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";
const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
/// The header with a manifest's digest.
pub(super) const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Characters of a stranger's text that are shown.
const QUOTED: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[track_caller]
    fn check_digest(values: &[&str], asked: Option<&str>, want: Result<Option<&str>, &str>) {
        let lines: Vec<_> = values.iter().map(|value| ("docker-content-digest", *value)).collect();
        let asked: Option<Digest> = asked.map(|asked| asked.parse().unwrap());
        let got = digest(&headers(&lines), asked.as_ref());
        let got = got.as_ref().map(|digest| digest.as_ref().map(Digest::as_str)).map_err(String::as_str);
        assert_eq!(got, want, "headers: {values:?}");
    }

    #[test]
    fn a_digest_is_taken_only_to_the_letter() {
        let (a, b) = (format!("sha256:{}", "a".repeat(64)), format!("sha256:{}", "b".repeat(64)));
        let upper = format!("sha256:{}", "A".repeat(64));
        let long = format!("sha512:{}", "c".repeat(128));
        check_digest(&[], None, Ok(None));
        check_digest(&[&a], None, Ok(Some(&a)));
        check_digest(&[&a], Some(&a), Ok(Some(&a)));
        check_digest(&[&a, &a], None, Ok(Some(&a)));
        check_digest(&[&a, &b], None, Err("it gave two different digests"));
        check_digest(&[&b], Some(&a), Err(&format!("asked for {a}, it gave {b}")));
        check_digest(&[&long], None, Err(&format!("its digest is {long}, no sha256")));
        check_digest(&[&long], Some(&long), Ok(Some(&long)));
        check_digest(&[&upper], None, Err(&format!("its digest is `{upper}`")));
        check_digest(&["sha256:EVIL\"}]"], None, Err(r#"its digest is `sha256:EVIL\"}]`"#));
        check_digest(&[""], None, Err("its digest is ``"));
    }

    #[track_caller]
    fn check_type(lines: &[(&'static str, &str)], want: Result<(), &str>) {
        assert_eq!(is_manifest(&headers(lines)), want.map_err(str::to_owned), "headers: {lines:?}");
    }

    #[test]
    fn a_page_is_no_manifest() {
        for manifest in ACCEPT.split(", ") {
            check_type(&[("content-type", manifest)], Ok(()));
        }
        assert_eq!(ACCEPT.split(", ").collect::<Vec<_>>(), MANIFESTS);
        check_type(&[("content-type", "application/vnd.OCI.image.index.v1+json; charset=utf-8")], Ok(()));
        check_type(&[], Err("an answer without a content type"));
        let page = "an answer of type `text/html`, which is no manifest";
        check_type(&[("content-type", "text/html; charset=utf-8")], Err(page));
        let old = "application/vnd.docker.distribution.manifest.v1+prettyjws";
        check_type(&[("content-type", old)], Err(&format!("an answer of type `{old}`, which is no manifest")));
        let packed = [("content-type", MANIFESTS[0]), ("content-encoding", "gzip")];
        check_type(&packed, Err("an answer with the encoding `gzip`"));
    }

    #[track_caller]
    fn check_retry(value: &str, want: Option<u64>) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_747); // Sun, 06 Nov 1994 08:49:07 GMT
        let got = retry_after(&headers(&[("retry-after", value)]), now);
        assert_eq!(got, want.map(Duration::from_secs), "value: {value}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        check_retry("30", Some(30));
        check_retry(" 0 ", Some(0));
        check_retry("18446744073709551615", Some(u64::MAX));
        check_retry("Sun, 06 Nov 1994 08:49:37 GMT", Some(30));
        check_retry("Sunday, 06-Nov-94 08:49:37 GMT", Some(30));
        check_retry("Sun Nov  6 08:49:37 1994", Some(30));
        check_retry("Sun, 06 Nov 1994 08:49:06 GMT", Some(0));
        check_retry("-1", None);
        check_retry("1.5", None);
        check_retry("soon", None);
        assert_eq!(retry_after(&headers(&[]), SystemTime::UNIX_EPOCH), None);
    }

    #[test]
    fn a_body_is_held_against_the_digest_it_was_asked_by() {
        let digest = Digest::of(b"{}");
        assert_eq!(digest_of(b"{}", None), Ok(digest.clone()));
        assert_eq!(digest_of(b"{}", Some(&digest)), Ok(digest.clone()));
        let wrong = Digest::of(b"other");
        assert_eq!(digest_of(b"{}", Some(&wrong)), Err(format!("the manifest that it gave is not {wrong}")));
    }

    #[test]
    fn a_strangers_text_is_quoted_short_and_without_control_characters() {
        assert_eq!(quoted("a\r\nb\u{202e}"), "`a\\r\\nb\\u{202e}`");
        assert_eq!(quoted(&"x".repeat(90)), format!("`{}…`", "x".repeat(80)));
    }
}
