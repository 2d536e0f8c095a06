//! What the nodes hold, from `Node.status.images`; and the gates that wait for it.
//!
//! Reviews read [`Index`] under a short lock and never wait for the API; [`watch`] is the only writer.

pub mod fits;
pub mod gates;
pub mod heartbeat;
pub mod index;
mod names;
pub mod watch;

pub use heartbeat::Heartbeat;
pub use index::{Evidence, Index};
pub use watch::Nodes;
