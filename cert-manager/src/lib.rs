//! Issues and rotates the certificates that a Kubernetes webhook serves with, and verifies them as an API server would.
//!
//! An [`Authority`] is one CA for all replicas. It signs [`Leaf`]s for the names by which the API server calls the
//! webhook's Service ([`service_names`]). Nothing is used before [`verify()`] has accepted it against the published
//! bundle. [`verify_client`] looks the other way: who calls. Everything there is data to data: the time is an argument.
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

mod manager;
mod observer;
pub mod plan;
pub mod settings;
pub mod state;
pub mod store;
mod subject;

pub mod served;

mod authority;
mod bundle;
mod chain;
mod client;
mod error;
mod inspect;
mod leaf;
mod moment;
mod verify;

pub use authority::Authority;
pub use bundle::{Anchor, Bundle};
pub use chain::Chain;
pub use client::{Client, verify_client};
pub use error::Error;
pub use inspect::{Validity, validity};
pub use leaf::{Leaf, service_names};
pub use manager::{Failure, Look, Manager};
pub use observer::{About, News, Observer};
pub use served::Served;
pub use settings::Settings;
pub use subject::Subject;
pub use verify::{authorities, verify};
