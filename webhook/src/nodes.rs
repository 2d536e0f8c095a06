//! What the nodes hold, from `Node.status.images`.
//!
//! Reviews read [`Index`] under a short lock and never wait for the API; [`watch`] is the only writer.

mod apply;
mod bounded;
mod build;
mod changes;
mod facts;
pub mod heartbeat;
mod images;
pub mod index;
mod listed;
pub mod loaded;
mod names;
pub mod node;
mod now;
mod order;
pub mod quantity;
mod sighting;
mod told;
mod view;
pub mod watch;

pub use build::Likeness;
pub use facts::Runtime;
pub use heartbeat::Heartbeat;
pub use images::Evidence;
pub use index::Index;
pub use listed::Listing;
pub use loaded::{Load, Loaded};
pub use node::Node;
pub use now::Now;
pub use sighting::Sighting;
pub use view::NodeView;
pub use watch::Nodes;
