//! What a rotation tells the program that runs it: for Events, and for metrics.

use std::{fmt, time::SystemTime};

use crate::{
    Subject,
    moment::written,
    plan::{Cause, Status},
};

/// Whoever listens. It must not block.
pub trait Observer: Send + Sync + 'static {
    /// Something happened that a person who looks at `about` should see.
    fn happened(&self, about: &About, news: &News);

    /// The objects were read; called at each look, also where nothing has changed.
    fn looked(&self, status: &Status);
}

/// Nobody listens.
impl Observer for () {
    fn happened(&self, _: &About, _: &News) {}
    fn looked(&self, _: &Status) {}
}

/// An object, for an Event about it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct About {
    /// Which one.
    pub subject: Subject,
    /// The namespace of a Secret; none of what is in no namespace.
    pub namespace: Option<String>,
    /// Its uid; none where there is none yet, or it is not known.
    pub uid: Option<String>,
}

/// What happened. Its text is for people; it holds no secret.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum News {
    /// A leaf was put into the serving Secret.
    CertificateIssued {
        /// Why.
        cause: Cause,
        /// When it expires.
        expires: SystemTime,
    },
    /// A CA was made, and is being published.
    RotationStarted {
        /// When the CA that it follows expires; none where there was none that could sign.
        before: Option<SystemTime>,
    },
    /// The new CA signs, and its leaf is served.
    RotationFinished {
        /// Until when the old one stays trusted.
        retired_until: SystemTime,
    },
    /// What an object holds cannot be used.
    CertificateRefused {
        /// What is wrong, and what to do.
        why: String,
    },
    /// Somebody had removed the bundle from a configuration.
    BundleRestored {
        /// Who wrote to it last, if that is known.
        other_writer: Option<String>,
    },
    /// Something does not succeed.
    CertificateTrouble {
        /// What, and what to do.
        why: String,
    },
}

impl News {
    /// The Event's `reason`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::CertificateIssued { .. } => "CertificateIssued",
            Self::RotationStarted { .. } => "RotationStarted",
            Self::RotationFinished { .. } => "RotationFinished",
            Self::CertificateRefused { .. } => "CertificateRefused",
            Self::BundleRestored { .. } => "BundleRestored",
            Self::CertificateTrouble { .. } => "CertificateTrouble",
        }
    }

    /// Whether a person should look: the Event's `type` is `Warning`, else `Normal`.
    pub fn is_warning(&self) -> bool {
        match self {
            Self::CertificateIssued { .. } | Self::RotationStarted { .. } | Self::RotationFinished { .. } => false,
            Self::CertificateRefused { .. } | Self::BundleRestored { .. } | Self::CertificateTrouble { .. } => true,
        }
    }
}

impl fmt::Display for News {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CertificateIssued { cause, expires } => {
                let why = match cause {
                    Cause::NoneUsable => "there was none that API servers would accept",
                    Cause::Renewal => "two thirds of its life were over",
                    Cause::Rotation => "its CA is replaced",
                };
                write!(formatter, "issued a certificate that expires at {}: {why}", written(*expires))
            }
            Self::RotationStarted { before: Some(before) } => {
                write!(formatter, "made the next CA; the one that signs expires at {}", written(*before))
            }
            Self::RotationStarted { before: None } => formatter.write_str("made a CA, because none could sign"),
            Self::RotationFinished { retired_until } => {
                write!(formatter, "the new CA signs; the old one stays trusted until {}", written(*retired_until))
            }
            Self::CertificateRefused { why } | Self::CertificateTrouble { why } => formatter.write_str(why),
            Self::BundleRestored { other_writer } => {
                let who = other_writer.as_deref().unwrap_or("somebody");
                write!(
                    formatter,
                    "put `caBundle` back, after a write by `{}`: whoever applies this object must leave `caBundle` out of it",
                    who.escape_debug()
                )
            }
        }
    }
}
