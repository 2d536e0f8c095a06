//! What the nodes hold, from `Node.status.images`; and the gates that wait for it.
//!
//! Reviews read [`Index`] under a short lock and never wait for the API; [`watch`] is the only writer.

pub mod fits;
pub mod gates;
pub mod heartbeat;
mod images;
pub mod index;
mod names;
pub mod node;
pub mod quantity;
mod view;
pub mod watch;

pub use heartbeat::Heartbeat;
pub use images::Evidence;
pub use index::Index;
pub use node::Node;
pub use view::{Listing, NodeView, Runtime};
pub use watch::Nodes;
