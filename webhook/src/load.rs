//! Putting a local build on nodes, for `berth load` and `berth loaded`: what an archive holds ([`archive`]), which command
//! takes it to a node ([`via`]), how that command is run ([`import`]), and how Berth is told ([`tell`]).

pub mod archive;
pub mod import;
pub mod node_name;
pub mod tell;
pub mod via;
