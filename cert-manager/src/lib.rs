//! Issues, publishes and rotates the certificates of a Kubernetes webhook, without one failed call.
//!
//! An API server calls a webhook over TLS. Which CA it trusts stands in the webhook's configuration (`caBundle`), and
//! each API server learns of a change in its own time; what is served stands in a Secret, and each replica learns of that
//! in its own time, too. So the order matters, and this library is that order.
//!
//! # The objects
//!
//! | object | holds | who reads it |
//! |---|---|---|
//! | Secret `berth-ca` | the CA that signs, the one that is coming, their keys, certificates of retired ones | a [`Manager`] |
//! | Secret `berth-tls` | the leaf, its key, and the bundle: every CA that is to be trusted | the webhook, by [`Served`] |
//! | webhook configurations | the bundle, as `caBundle` | API servers |
//!
//! Annotations say of which *generation* of the first each content is (`berth.dev/generation`), and since when that
//! generation was found in every configuration (`berth.dev/published`). There is no other state: whoever reads the
//! objects knows what is due.
//!
//! # One rotation
//!
//! [`plan::next_action`] looks at the objects and the clock and names one step; a [`Manager`] does it, and looks again.
//! With a CA *old* that has lived for two thirds of its life:
//!
//! 1. *new* is made and stored beside *old*, as `coming`: generation 2.
//! 2. The bundle beside the leaf becomes {old, new}. From now on nobody who has not heard of *new* can write a leaf, and
//!    replicas know *new* before they see a leaf of it.
//! 3. `caBundle` becomes {old, new} in each configuration. Only that field is written, under its own field manager.
//! 4. All are read back, and the moment is noted: the *hold* begins. A bundle that is lost meanwhile is put back at once,
//!    and the hold begins anew.
//! 5. The hold is over: a leaf of *new* is made, verified as an API server would do it, and stored.
//! 6. *new* becomes the CA that signs. The certificate of *old* stays in the bundle; its key is gone.
//! 7. The last leaf of *old* has expired: *old* is dropped, generation 3, first beside the leaf, and then everywhere.
//!
//! Each step is one conditional write that leads to a state in which the next step is due. So it may be stopped anywhere,
//! and two managers at once do each step once: whoever is second is told that the object has changed, and looks again.
//! Somebody who sees an old state cannot undo a step: his writes are conditional on versions that are gone, and nothing is
//! written over a higher generation.
//!
//! What is lost or broken is made anew. The leaf stays as long as it verifies; a CA that signed it stays trusted. Where
//! nothing that is stored verifies, there is nothing to lose, and a leaf is issued at once.
//!
//! A configuration is never made, and where none is there none has to be waited for.
//!
//! # Use
//!
//! ```no_run
//! # async fn run(client: kube::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use berth_cert_manager::{About, Manager, News, Observer, Settings, plan::Status};
//!
//! struct Log;
//!
//! impl Observer for Log {
//!     fn happened(&self, about: &About, news: &News) {
//!         println!("{}: {} ({news})", about.subject, news.reason());
//!     }
//!     fn looked(&self, status: &Status) {
//!         println!("the leaf expires at {:?}", status.leaf_expires);
//!     }
//! }
//!
//! let settings = Settings::berth("berth-system");
//! settings.check()?;
//! Manager::new(client, settings, Log).run().await;
//! # Ok(())
//! # }
//! ```
//!
//! The parts of it can be used alone. An [`Authority`] signs [`Leaf`]s for the names of a Service, and [`verify()`] says
//! whether an API server would accept one; [`verify_client`] looks the other way: who calls. All of that is data to data,
//! and the time is an argument:
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
