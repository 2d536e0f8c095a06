//! What registries say: the one seam towards them, and the client behind it.
//!
//! [`Resolve`] is the question of a review. [`Shared`] joins equal questions, [`Client`] asks them over HTTP,
//! and [`Fake`] answers in tests; client and fake pass the same [`conformance`] suite.

mod answer;
mod challenge;
mod chance;
mod client;
#[doc(hidden)]
pub mod conformance;
mod conversation;
mod credentials;
mod egress;
mod error;
mod fake;
mod health;
mod probe;
mod question;
mod send;
mod shared;
#[doc(hidden)]
pub mod strangers;
mod token;
mod token_service;
mod upstream;

pub use client::{BadProxy, Client, ClientError};
pub use credentials::{Asker, Candidates, CredentialsError, Format, Keychain, Keyring};
pub use error::{Error, Word};
pub use fake::Fake;
pub(crate) use probe::{may_be_asked, probe};
pub use question::{LastKnown, Question, Role};
pub use shared::{Ages, Memory, Shared};

use std::time::Instant;

use crate::image::Digest;

/// Answers what an image means at its registry.
pub trait Resolve: Send + Sync + 'static {
    /// The digest of the question's image at its registry: of its tag, or of its digest if it has one (then the answer
    /// is that the registry has it). It is the index digest of a multi-platform image, never one platform's.
    ///
    /// `deadline` bounds everything, token exchange included.
    fn resolve(&self, question: &Question<'_>, deadline: Instant)
    -> impl Future<Output = Result<Digest, Error>> + Send;

    /// What the registry said to the same question the last time it said anything, if that may still be used.
    fn last_known(&self, _question: &Question<'_>) -> Option<LastKnown> {
        None
    }
}
