//! Whole lives of certificates in virtual time, with real certificates: what API servers trust at a moment must accept
//! what replicas serve at that moment, whatever happens to whoever rotates.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "what fails here fails the test")]

mod dice;
mod door;
mod peers;
mod simulation;

mod bundles;
mod rotations;
mod secrets;
mod start;
