//! Image names, parsed once at the edge: everything inward holds a [`Reference`] and a [`Digest`].

mod digest;
mod pattern;
mod reference;

pub use digest::{Digest, DigestError};
pub use pattern::{Pattern, PatternError};
pub use reference::{ParseError, Reference};
