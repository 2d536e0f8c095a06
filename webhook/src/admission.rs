//! The review: decode → select → pin → mirror → place → patch → respond.

pub mod decode;
pub mod mirror;
pub mod note;
pub mod patch;
pub mod pin;
pub mod place;
pub mod respond;
pub mod select;
pub mod verb;
