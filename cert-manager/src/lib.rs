//! Issues the certificates that a Kubernetes webhook serves with, and verifies them as an API server would.
//!
//! An [`Authority`] is one CA for all replicas. It signs [`Leaf`]s for the names by which the API server calls the
//! webhook's Service ([`service_names`]). Nothing is used before [`verify()`] has accepted it against the published
//! bundle. [`verify_client`] looks the other way: who calls. Everything here is data to data: the time is an argument, and nothing is stored or sent.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use berth_cert_manager::{Authority, service_names, verify};
//!
//! const DAY: Duration = Duration::from_secs(24 * 60 * 60);
//! let now = SystemTime::now();
//! let authority = Authority::issue("example", now, 365 * DAY)?;
//! let leaf = authority.issue_leaf(&service_names("webhook", "system"), now, 90 * DAY)?;
//! verify(&leaf, authority.certificate_pem(), "webhook.system.svc", now)?;
//! # Ok::<(), berth_cert_manager::Error>(())
//! ```

mod authority;
mod client;
mod error;
mod inspect;
mod leaf;
mod verify;

pub use authority::Authority;
pub use client::{Client, verify_client};
pub use error::Error;
pub use inspect::{Validity, validity};
pub use leaf::{Leaf, service_names};
pub use verify::{authorities, verify};
