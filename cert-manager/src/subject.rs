//! The objects that a rotation is about.

use std::fmt;

use crate::settings::ConfigurationName;

/// An object, by its name.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Subject {
    /// A Secret of the one namespace.
    Secret(String),
    /// A configuration.
    Configuration(ConfigurationName),
}

impl Subject {
    /// As it stands in `kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Secret(_) => "Secret",
            Self::Configuration(which) => which.kind.name(),
        }
    }

    /// As it stands in paths and roles.
    pub fn resource(&self) -> &'static str {
        match self {
            Self::Secret(_) => "secrets",
            Self::Configuration(which) => which.kind.resource(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Secret(name) => name,
            Self::Configuration(which) => &which.name,
        }
    }
}

impl fmt::Display for Subject {
    /// As `kubectl` names it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.kind(), self.name())
    }
}
