//! What a rotation works with: names, lifetimes, and who makes the certificate.

use std::time::Duration;

use crate::{Bundle, leaf::service_names};

/// What is to be managed, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Who makes the certificate.
    pub source: Source,
    /// Where both Secrets and the Service are.
    pub namespace: String,
    /// The Service by which API servers call the webhook.
    pub service: String,
    /// The Secret with the CA's key, which only the controller reads.
    pub authority_secret: String,
    /// The Secret with the leaf, its key and the bundle, which the webhook reads.
    pub serving_secret: String,
    /// Where API servers read the bundle.
    pub configurations: Vec<ConfigurationName>,
    /// Who wrote a `caBundle`, for `kubectl --show-managed-fields` and for conflicts of a server-side apply.
    pub field_manager: String,
    /// The domain before the slash of every annotation.
    pub domain: String,
    /// How long a CA counts.
    pub ca_lifetime: Duration,
    /// How long a leaf counts.
    pub leaf_lifetime: Duration,
    /// How long a new CA is published before a leaf of it is served: each API server learns of it in its own time.
    pub hold: Duration,
}

/// Who makes the certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// This manager: CA, leaf and bundle.
    Manager,
    /// Somebody else writes the serving Secret, with a `ca.crt`; only the bundle is published.
    Secret,
    /// Somebody else serves by other means, with a leaf that one of these CAs signed; they are published.
    Authorities(Bundle),
    /// Nobody here: nothing is read or written.
    Nobody,
}

/// A webhook configuration.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConfigurationName {
    /// Which of the two kinds.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

/// The kinds of objects in which API servers read a `caBundle` for a webhook.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// `MutatingWebhookConfiguration`
    Mutating,
    /// `ValidatingWebhookConfiguration`
    Validating,
}

impl Kind {
    /// As it stands in `kind`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mutating => "MutatingWebhookConfiguration",
            Self::Validating => "ValidatingWebhookConfiguration",
        }
    }

    /// As it stands in paths and roles.
    pub fn resource(self) -> &'static str {
        match self {
            Self::Mutating => "mutatingwebhookconfigurations",
            Self::Validating => "validatingwebhookconfigurations",
        }
    }
}

impl Settings {
    /// The names that Berth's manifests have, in Berth's own `namespace`, with a CA for a year, leaves for 90 days, and
    /// ten minutes for API servers to learn of a new CA.
    pub fn berth(namespace: &str) -> Self {
        let configuration = |kind| ConfigurationName { kind, name: "zz-berth.dev".to_owned() };
        Self {
            source: Source::Manager,
            namespace: namespace.to_owned(),
            service: "berth-webhook".to_owned(),
            authority_secret: "berth-ca".to_owned(),
            serving_secret: "berth-tls".to_owned(),
            configurations: vec![configuration(Kind::Mutating), configuration(Kind::Validating)],
            field_manager: "berth-certificates".to_owned(),
            domain: "berth.dev".to_owned(),
            ca_lifetime: 365 * DAY,
            leaf_lifetime: 90 * DAY,
            hold: Duration::from_secs(600),
        }
    }

    /// The name by which API servers call the webhook.
    pub fn call(&self) -> String {
        let Self { service, namespace, .. } = self;
        format!("{service}.{namespace}.svc")
    }

    /// The names for which a leaf is made; [`Self::call`] is the first.
    pub fn names(&self) -> Vec<String> {
        service_names(&self.service, &self.namespace)
    }

    /// Checks that a rotation can come to its end before what it replaces has expired.
    ///
    /// A third of a CA's life is left when its successor is made, and the hold has to fit into it, twice: it starts anew
    /// where the bundle was lost meanwhile.
    pub fn check(&self) -> Result<(), BadSettings> {
        let Self { ca_lifetime, leaf_lifetime, hold, .. } = *self;
        if leaf_lifetime.is_zero() {
            return Err(BadSettings::NoLeafLifetime);
        }
        if leaf_lifetime > ca_lifetime {
            return Err(BadSettings::LeafOutlivesCa { leaf_lifetime, ca_lifetime });
        }
        if hold.checked_mul(6).is_none_or(|needed| needed > ca_lifetime) {
            return Err(BadSettings::HoldTooLong { hold, ca_lifetime });
        }
        Ok(())
    }
}

/// Lifetimes that do not go together.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BadSettings {
    /// A leaf would have expired when it is made.
    #[error("the lifetime of a leaf is zero")]
    NoLeafLifetime,
    /// A leaf never counts longer than its CA.
    #[error("a leaf for {leaf_lifetime:?} would outlive its CA, which lives for {ca_lifetime:?}")]
    LeafOutlivesCa {
        /// Of a leaf.
        leaf_lifetime: Duration,
        /// Of a CA.
        ca_lifetime: Duration,
    },
    /// The successor would not be known everywhere before the CA expires.
    #[error("a hold of {hold:?} is longer than a sixth of the CA's lifetime, {ca_lifetime:?}")]
    HoldTooLong {
        /// The hold.
        hold: Duration,
        /// Of a CA.
        ca_lifetime: Duration,
    },
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_must_fit_into_the_life_of_a_ca() {
        let check = |ca, leaf, hold| {
            let [ca_lifetime, leaf_lifetime, hold] = [ca, leaf, hold].map(Duration::from_secs);
            Settings { ca_lifetime, leaf_lifetime, hold, ..Settings::berth("berth-system") }.check()
        };
        assert_eq!(Settings::berth("berth-system").check(), Ok(()));
        assert_eq!(check(60, 60, 10), Ok(()));
        assert_eq!(check(60, 20, 0), Ok(()));
        assert!(matches!(check(60, 0, 10), Err(BadSettings::NoLeafLifetime)));
        assert!(matches!(check(60, 61, 10), Err(BadSettings::LeafOutlivesCa { .. })));
        assert!(matches!(check(60, 20, 11), Err(BadSettings::HoldTooLong { .. })));
        assert!(matches!(check(60, 20, u64::MAX), Err(BadSettings::HoldTooLong { .. })));
    }

    #[test]
    fn api_servers_call_the_first_name() {
        let settings = Settings::berth("berth-system");
        assert_eq!(settings.call(), "berth-webhook.berth-system.svc");
        assert_eq!(settings.names().first(), Some(&settings.call()));
    }
}
