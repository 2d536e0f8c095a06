//! What can be wrong with a certificate.

use std::time::SystemTime;

use crate::moment::written;

/// Why a certificate was not issued, or not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A Secret lacks an entry.
    #[error("the entry `{entry}` is missing")]
    Missing {
        /// Its name.
        entry: &'static str,
    },
    /// The text holds no PEM certificate, or none that parses.
    #[error("there is no readable certificate: expected a PEM block `CERTIFICATE`")]
    NoCertificate,
    /// After the first certificate only the CAs may follow that stand between it and the bundle.
    #[error("there are two certificates that are no CAs: which of them is to be served?")]
    SeveralLeaves,
    /// The text holds no private key, or none of a known kind.
    #[error("there is no readable private key: expected a PEM block `PRIVATE KEY`")]
    NoKey,
    /// The key belongs to another certificate.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    /// It may not sign others: `BasicConstraints CA:TRUE` or the key usage `keyCertSign` is missing.
    #[error("the certificate `{subject}` is not a CA")]
    NotAnAuthority {
        /// The certificate's subject.
        subject: String,
    },
    /// The CA has expired, or is not valid yet: nothing that it signs would be accepted.
    #[error("the CA `{subject}` is not valid at this time")]
    AuthorityNotValid {
        /// The CA's subject.
        subject: String,
    },
    /// A leaf for no name would be accepted for no call.
    #[error("a certificate needs at least one name")]
    NoNames,
    /// Not a DNS name or an IP address.
    #[error("`{}` is not a DNS name or an IP address", .name.escape_debug())]
    BadName {
        /// As given.
        name: String,
    },
    /// No CA of the bundle is valid at this time.
    #[error("the bundle holds no CA that is valid at this time")]
    EmptyBundle,
    /// It has ended.
    #[error("the certificate expired at {}", written(*.ended))]
    Expired {
        /// Its last moment.
        ended: SystemTime,
    },
    /// It has not begun, or the clock here is wrong.
    #[error("the certificate is not valid before {}", written(*.begins))]
    NotYetValid {
        /// Its first moment.
        begins: SystemTime,
    },
    /// API servers call another name than it was made for.
    #[error("the certificate is not for the name `{name}`")]
    WrongName {
        /// The name of the call.
        name: String,
    },
    /// No CA of the bundle has signed it.
    #[error("no CA of the bundle has signed the certificate")]
    Unvouched,
    /// A caller that trusts the bundle would refuse the certificate.
    #[error("the certificate does not verify for `{name}`")]
    Refused {
        /// The name of the call.
        name: String,
        /// What the verifier said.
        source: rustls::Error,
    },
    /// The bundle does not vouch for a client's certificate at this time.
    #[error("the client certificate does not verify")]
    RefusedClient(#[source] rustls::Error),
    /// Its extended key usage does not name `clientAuth`.
    #[error("the certificate is not for clients: the extended key usage `clientAuth` is missing")]
    NotAClient,
    /// The lifetime leaves the range of dates.
    #[error("the lifetime ends beyond the range of dates")]
    Lifetime,
    /// The certificate could not be made.
    #[error("the certificate could not be made")]
    Issue(#[source] rcgen::Error),
}
