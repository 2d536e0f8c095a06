//! Why a request failed, in words that help.

use std::{error::Error, io, iter};

use rustls::{AlertDescription, CertificateError, InvalidMessage};

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

/// The cause of a failed request, in words: what is around it says only that the request failed, and where to.
pub(in crate::registry) fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() && error.is_connect() {
        return "no connection could be made in time".to_owned();
    }
    let causes = causes(error);
    let tls = causes.iter().find_map(|cause| of_tls(*cause)).map(in_words);
    tls.or_else(|| causes.last().map(ToString::to_string)).unwrap_or_else(|| "the request failed".to_owned())
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

/// What is wrong with the TLS of a registry, and what can be done about it.
fn in_words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(problem) => of_certificate(problem),
        rustls::Error::PeerIncompatible(_)
        | rustls::Error::AlertReceived(AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure) => {
            "it has no TLS that Berth takes: 1.2 or newer, with current ciphers".to_owned()
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "it wants a certificate from Berth; give it `clientCertFile`".to_owned()
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
        ) => "it does not take Berth's certificate; look at `clientCertFile`".to_owned(),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "it does not speak TLS; give it an `endpoint` with http:// if that is meant".to_owned()
        }
        other => format!("TLS failed: {other}"),
    }
}

fn of_certificate(problem: &CertificateError) -> String {
    let what = match problem {
        // A private authority that was made anew often has the old one's name, and then its signature is wrong.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "is of an unknown authority; give it a `caFile`"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet; compare the clocks"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "is for another host; set `endpoint` to a name in it"
        }
        other => return format!("its certificate cannot be trusted: {other}"),
    };
    ["its certificate ", what].concat()
}
