//! Why a request failed, in words that help.

use std::{error::Error, io, iter};

use rustls::{AlertDescription, CertificateError, InvalidMessage};

use super::tls::is_strange;
use crate::registry::egress::Refusal;

/// How a request failed.
pub(in crate::registry) enum Failure {
    /// Its host resolves to nothing that Berth may dial.
    NotAllowed(Refusal),
    /// The head of the answer is larger than the HTTP library reads.
    TooLarge,
    /// Anything else, in words.
    Broken(String),
}

impl Failure {
    /// The failure behind `error`.
    pub(in crate::registry) fn of(error: &reqwest::Error) -> Self {
        let causes = causes(error);
        if let Some(refusal) = causes.iter().find_map(|cause| cause.downcast_ref::<Refusal>()) {
            return Self::NotAllowed(refusal.clone());
        }
        if causes.iter().any(|cause| cause.downcast_ref().is_some_and(hyper::Error::is_parse_too_large)) {
            return Self::TooLarge;
        }
        Self::Broken(cause(error))
    }
}

/// The cause of a failed request, in words, and what to do about it: short, because the end may be cut where people read
/// them.
pub(in crate::registry) fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() && error.is_connect() {
        return NO_CONNECTION.to_owned();
    }
    let causes = causes(error);
    let known = causes.iter().find_map(|cause| of_tls(*cause).map(in_words).or_else(|| of_connection(*cause)));
    known.or_else(|| causes.last().map(ToString::to_string)).unwrap_or_else(|| "the request failed".to_owned())
}

/// What is wrong with a connection.
fn of_connection(cause: &(dyn Error + 'static)) -> Option<String> {
    if cause.downcast_ref().is_some_and(hyper::Error::is_incomplete_message) {
        return Some(BROKEN.to_owned());
    }
    let words = match cause.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused: see if it runs",
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => BROKEN,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "no route to it: see network policies",
        io::ErrorKind::TimedOut => NO_CONNECTION,
        _ => return None,
    };
    Some(words.to_owned())
}

/// What is behind `error`, from the outside in.
fn causes(error: &reqwest::Error) -> Vec<&(dyn Error + 'static)> {
    iter::successors(error.source(), |cause: &&(dyn Error + 'static)| (*cause).source()).collect()
}

/// The error of TLS in `cause`: an I/O error, and one in that, does not name what it wraps as its source.
fn of_tls<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let wrapped = || cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    cause.downcast_ref().or_else(|| wrapped().and_then(|inner| of_tls(inner)))
}

/// What is wrong with the TLS of a registry.
fn in_words(error: &rustls::Error) -> String {
    let words = match error {
        rustls::Error::InvalidCertificate(problem) => return of_certificate(problem),
        rustls::Error::PeerIncompatible(_)
        | rustls::Error::AlertReceived(AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure) => {
            "its TLS is too old: let it speak 1.2 or 1.3"
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "it wants a certificate: set `clientCertFile`"
        }
        rustls::Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::DecryptError,
        ) => "it refuses Berth: renew `clientCertFile`",
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => "it speaks no TLS: set an http `endpoint`",
        other => return format!("TLS failed, see its log: {other}"),
    };
    words.to_owned()
}

fn of_certificate(problem: &CertificateError) -> String {
    let words = match problem {
        strange if is_strange(strange) => "unknown certificate authority: add `caFile`",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired: renew it",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet: see clocks"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "certificate of another host: see `endpoint`"
        }
        other => return format!("its certificate is bad: renew it: {other}"),
    };
    words.to_owned()
}

const NO_CONNECTION: &str = "no connection in time: see if it is up";
const BROKEN: &str = "the connection broke: look into its log";

#[cfg(test)]
mod tests {
    use super::*;

    /// Letters left of a warning of 119 after the name of a container (20) and of a registry (30), and `…`.
    const LEFT: usize = 119 - "berth: : not pinned: : …".len() - 20 - 30 + "…".len() - 1;

    #[track_caller]
    fn check(words: Option<String>, remedy: &str) {
        let words = words.unwrap();
        assert!(words.ends_with(remedy) && words.len() <= LEFT, "{} of {LEFT}: {words}", words.len());
    }

    #[test]
    fn what_to_do_is_not_cut() {
        use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage as Message};
        for (error, remedy) in [
            (InvalidCertificate(CertificateError::UnknownIssuer), "add `caFile`"),
            (InvalidCertificate(CertificateError::BadSignature), "add `caFile`"),
            (InvalidCertificate(CertificateError::Expired), "renew it"),
            (InvalidCertificate(CertificateError::NotValidYet), "see clocks"),
            (InvalidCertificate(CertificateError::NotValidForName), "see `endpoint`"),
            (AlertReceived(AlertDescription::ProtocolVersion), "let it speak 1.2 or 1.3"),
            (AlertReceived(AlertDescription::CertificateRequired), "set `clientCertFile`"),
            (AlertReceived(AlertDescription::UnknownCA), "renew `clientCertFile`"),
            (Message(InvalidMessage::InvalidContentType), "set an http `endpoint`"),
        ] {
            check(Some(in_words(&error)), remedy);
        }
        for (kind, remedy) in [
            (io::ErrorKind::ConnectionRefused, "see if it runs"),
            (io::ErrorKind::ConnectionReset, "look into its log"),
            (io::ErrorKind::HostUnreachable, "see network policies"),
            (io::ErrorKind::TimedOut, "see if it is up"),
        ] {
            check(of_connection(&io::Error::from(kind)), remedy);
        }
    }
}
