//! The certificates that API servers know Berth by.

/// The name of both webhook configurations.
pub const CONFIGURATION: &str = "zz-berth.dev";
