//! A Kubernetes cluster and a registry of real programs, for tests and for the demo.
//!
//! Everything runs on loopback, at free ports, without rights and without containers, and ends with its owner.

pub mod cluster;
pub mod image;
pub mod kubelet;
pub mod outcome;

pub mod helm;
pub mod manifests;

pub mod berth;
pub mod dns;
pub mod faults;
pub mod go_between;
pub mod oracle;
pub mod provider;
pub mod recorder;
pub mod registry;
pub mod token_server;
pub mod tunnel;

pub mod enclave;

pub mod demo;

mod binary;
mod lock;
mod machine;
mod netlink;
pub mod pki;
pub mod port;
pub mod processes;
pub mod programs;
mod progress;
mod serve;
pub mod wait;
