//! **respond** — the answer as the API server takes it.
//!
//! Berth's own failure policy travels inside HTTP 200: any other status hands the decision to `failurePolicy`.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;

use super::{Mode, Verdict, decode, note::Note};
use crate::config::OnFailure;

/// The body that carries `verdict` to the API server.
pub fn respond(uid: &str, mode: Mode, verdict: &Verdict) -> Vec<u8> {
    let mut response = Response { uid, allowed: true, ..Response::default() };
    response.audit_annotations = audit(verdict);
    response.warnings = warnings(&verdict.notes);
    match (mode, &verdict.denied) {
        (Mode::Enforce, Some(reason)) => {
            response.allowed = false;
            response.status = Some(Status { message: printable(reason, DENIAL_LIMIT), code: 403 });
        }
        (Mode::Observe, Some(reason)) => {
            response.warnings.push(warning(&format!("observed only; would be refused: {reason}")));
        }
        (Mode::Enforce, None) if !verdict.patch.0.is_empty() => {
            response.patch_type = Some("JSONPatch");
            response.patch = Some(STANDARD.encode(to_json(&verdict.patch, verdict.patch.0.len() * 256)));
        }
        (Mode::Enforce | Mode::Observe, None) => (),
    }
    response.into_body()
}

/// The body for an object that cannot be read as `what` it should be: it is the API server's to refuse.
pub fn unreadable(uid: &str, what: &str, reason: &str) -> Vec<u8> {
    warned(uid, vec![warning(&format!("not {what} that Berth can read, left as it is: {reason}"))])
}

/// The body that only speaks.
pub fn warned(uid: &str, warnings: Vec<String>) -> Vec<u8> {
    Response { uid, allowed: true, warnings, ..Response::default() }.into_body()
}

/// The body for a review that panicked: `pin.onFailure` decides. None where the request does not even have a uid.
pub fn panicked(body: &[u8], policy: OnFailure) -> Option<Vec<u8>> {
    let uid = decode::uid(body)?;
    let text = "the review failed by a mistake in Berth: please report it, with Berth's log";
    let denied = (policy == OnFailure::Deny).then(|| format!("{text} (pin.onFailure is deny)"));
    let verdict =
        Verdict { denied, notes: vec![Note::attention(format!("{text}; left as it is"))], ..Verdict::default() };
    Some(respond(&uid, Mode::Enforce, &verdict))
}

/// `AdmissionReview`, `admission.k8s.io/v1`, the way back.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    /// Both or neither: a patch without its type is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    audit_annotations: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct Status {
    message: String,
    code: u16,
}

impl Response<'_> {
    fn into_body(self) -> Vec<u8> {
        let answer = Answer { api_version: "admission.k8s.io/v1", kind: "AdmissionReview", response: self };
        to_json(&answer, 1024 + answer.response.patch.as_ref().map_or(0, String::len))
    }
}

/// `value` as JSON, of about `size` bytes.
fn to_json(value: &impl Serialize, size: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(size);
    // Strings and maps with string keys always serialise, and writing to a Vec does not fail.
    let _written = serde_json::to_writer(&mut text, value);
    text
}

/// What was done, what should be known, and what would have been refused: `<webhook>/<key>` in the audit log.
fn audit(verdict: &Verdict) -> BTreeMap<&'static str, String> {
    let notes = verdict.notes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    [("done", &*verdict.done), ("notes", &notes), ("refused", verdict.denied.as_deref().unwrap_or_default())]
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(key, text)| (key, printable(text, AUDIT_LIMIT)))
        .collect()
}

fn warnings(notes: &[Note]) -> Vec<String> {
    let mut warnings: Vec<_> = notes.iter().take(WARNINGS_LIMIT).map(|note| warning(&note.to_string())).collect();
    if let Some(more) = notes.len().checked_sub(WARNINGS_LIMIT).filter(|more| *more > 0) {
        warnings.push(format!("berth: {more} more notes are in the annotation berth.dev/notes"));
    }
    warnings
}

fn warning(text: &str) -> String {
    printable(&format!("berth: {text}"), WARNING_LIMIT)
}

/// At most `limit` characters, none of them a control character: the API server drops such texts without a word.
pub(super) fn printable(text: &str, limit: usize) -> String {
    let clean = |letter: char| if letter.is_control() { ' ' } else { letter };
    if text.chars().count() <= limit {
        return text.chars().map(clean).collect();
    }
    text.chars().map(clean).take(limit.saturating_sub(1)).chain(['…']).collect()
}

/// Characters of one warning. Source: `k8s.io/api/admission/v1`, `AdmissionResponse.Warnings`: "under 120 if possible".
pub(super) const WARNING_LIMIT: usize = 119;
/// Warnings of one answer: all webhooks together have 4 096 characters.
/// Source: `k8s.io/apiserver/pkg/endpoints/filters/warning.go`.
const WARNINGS_LIMIT: usize = 16;
/// Characters of a refusal, which becomes an Event's message (1 024) together with the API server's own words.
const DENIAL_LIMIT: usize = 700;
/// Characters of one audit annotation: a line in somebody's log.
const AUDIT_LIMIT: usize = 2048;

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn answer(mode: Mode, verdict: &Verdict) -> Value {
        serde_json::from_slice::<Value>(&respond("u", mode, verdict)).unwrap()["response"].clone()
    }

    #[test]
    fn texts_are_what_the_api_server_passes_on() {
        let long = format!("first\nsecond\u{7}{}", "é".repeat(300));
        let verdict = Verdict { notes: vec![Note::info(long.clone())], denied: Some(long), ..Verdict::default() };
        let response = answer(Mode::Enforce, &verdict);
        let warning = response["warnings"][0].as_str().unwrap();
        assert!(warning.chars().count() < 120 && warning.ends_with('…'), "{warning}");
        let texts = [warning, response["status"]["message"].as_str().unwrap()];
        assert!(texts.iter().all(|text| !text.contains(char::is_control)), "{texts:?}");
        assert_eq!((&response["allowed"], &response["status"]["code"]), (&false.into(), &403.into()));
    }

    #[test]
    fn all_warnings_together_fit_into_what_webhooks_share() {
        let notes: Vec<_> = (0..500).map(|number| Note::info(format!("{number} {}", "x".repeat(200)))).collect();
        let response = answer(Mode::Enforce, &Verdict { notes, ..Verdict::default() });
        let warnings = response["warnings"].as_array().unwrap();
        assert!(warnings.last().unwrap().as_str().unwrap().contains("484 more notes"));
        assert!(warnings.iter().map(|warning| warning.as_str().unwrap().len()).sum::<usize>() < 4_096);
    }

    #[test]
    fn audit_keys_are_what_the_api_server_accepts() {
        let verdict = Verdict {
            notes: vec![Note::info("n")],
            done: "c: a -> b".to_owned(),
            denied: Some("d".into()),
            ..Verdict::default()
        };
        let response = answer(Mode::Enforce, &verdict);
        let audit = response["auditAnnotations"].as_object().unwrap();
        assert_eq!(audit.keys().collect::<Vec<_>>(), ["done", "notes", "refused"]);
        assert!(audit.keys().all(|key| key.len() <= 63 && !key.contains('/')));
    }

    #[test]
    fn an_admission_without_anything_to_say_says_nothing() {
        let response = answer(Mode::Enforce, &Verdict::default());
        assert_eq!(response.to_string(), r#"{"allowed":true,"uid":"u"}"#);
    }
}
