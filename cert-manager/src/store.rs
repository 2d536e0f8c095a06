//! Where Secrets and webhook configurations are: the one seam towards the API server.
//!
//! [`Cluster`] is the API server, [`Fake`] the one of tests; both pass the same [`conformance`] suite. Every write is
//! conditional on the version that was read, and whoever was second is told [`Fault::Conflict`].

mod cluster;
#[doc(hidden)]
pub mod conformance;
mod error;
mod fake;

pub use cluster::Cluster;
pub use error::{Fault, StoreError};
pub use fake::Fake;

use std::{collections::BTreeMap, convert::Infallible};

use secrecy::{ExposeSecret as _, SecretSlice};
use tokio::sync::Notify;

use crate::{Bundle, settings::ConfigurationName};

/// Reads and writes the objects of one namespace, and webhook configurations.
pub trait Store: Send + Sync + 'static {
    /// The Secret of this name as it is now; none where it is missing.
    fn secret(&self, name: &str) -> impl Future<Output = Result<Option<Secret>, StoreError>> + Send;

    /// Makes a Secret of this type and content.
    ///
    /// # Errors
    /// [`Fault::Conflict`] where it is there already.
    fn create_secret(
        &self,
        name: &str,
        kind: &'static str,
        change: SecretChange,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Changes what `change` names, and nothing else, where the Secret is still at `version`.
    ///
    /// # Errors
    /// [`Fault::Conflict`] where it is at another version, or gone.
    fn change_secret(
        &self,
        name: &str,
        version: &str,
        change: SecretChange,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The configuration of this name as it is now; none where it is missing.
    fn configuration(
        &self,
        name: &ConfigurationName,
    ) -> impl Future<Output = Result<Option<Configuration>, StoreError>> + Send;

    /// Changes what `change` names, and nothing else, where the configuration is still at `version`. Never makes one.
    ///
    /// # Errors
    /// [`Fault::Conflict`] where it is at another version, or gone.
    fn change_configuration(
        &self,
        name: &ConfigurationName,
        version: &str,
        change: ConfigurationChange,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Notifies `news` whenever one of the objects may have changed, for ever. What hinders it goes to `failed`, with
    /// how many failures in a row came before it.
    fn follow(
        &self,
        news: &Notify,
        failed: impl Fn(StoreError, u32) + Send + Sync,
    ) -> impl Future<Output = Infallible> + Send;
}

/// A Secret as it was read.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Its uid.
    pub uid: String,
    /// Its resource version.
    pub version: String,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// What it holds. Never printed.
    pub data: BTreeMap<String, SecretSlice<u8>>,
}

impl Secret {
    /// The bytes of an entry.
    pub fn entry(&self, name: &str) -> Option<&[u8]> {
        self.data.get(name).map(SecretSlice::expose_secret)
    }
}

/// What is to become of a Secret: what is named is set, or removed where it is none.
#[derive(Clone, Debug, Default)]
pub struct SecretChange {
    /// Annotations.
    pub annotations: BTreeMap<String, Option<String>>,
    /// Entries.
    pub data: BTreeMap<&'static str, Option<SecretSlice<u8>>>,
}

/// A webhook configuration as it was read.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// Its uid.
    pub uid: String,
    /// Its resource version.
    pub version: String,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its webhooks, in their order.
    pub webhooks: Vec<Webhook>,
    /// Which other field manager wrote to it after this one, where that is known.
    pub other_writer: Option<String>,
}

/// A webhook of a configuration.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its name.
    pub name: String,
    /// Its `caBundle`.
    pub bundle: Bundle,
}

/// What is to become of a configuration: what is named is set, or removed where it is none.
#[derive(Clone, Debug, Default)]
pub struct ConfigurationChange {
    /// Annotations.
    pub annotations: BTreeMap<String, Option<String>>,
    /// The `caBundle` of the webhooks of these names, in the configuration's order.
    pub bundles: Vec<Webhook>,
}
