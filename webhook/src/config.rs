//! The configuration: a file, checked once; nothing past this module sees the file's text.
//!
//! The shape of the file is the shape of these structs. A key enters with the capability behind it.

mod access;
mod certificates;
mod files;
mod hosting;
mod load;
mod mirror;
mod pin;
mod place;
mod providers;
mod registries;
mod rules;
mod section;
mod selector;
mod value;
mod yaml;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use access::{CredentialSource, Credentials, LocalRegistry, PullSecrets, UnlistedRegistries};
pub use certificates::{CertificateSource, Certificates};
pub use files::Files;
pub use hosting::Hosting;
use load::Profile;
pub use load::{ConfigError, Finding, Warning, load, parse};
pub use mirror::{Fallback, Mirror, Resolve, Rule};
pub use pin::{OnFailure, Pin, Repin};
pub use place::{Newest, OnMissing, Place, Provided, PullPolicyChange, Strategy, Stuck};
pub use providers::{Provider, ProviderVersion, go_duration, load_providers};
pub use registries::Registry;
use section::{Findings, Section};
pub use selector::{LabelOperator, LabelRequirement, Selector};
pub(crate) use value::parse_duration;
use yaml::Value;

use crate::image::Reference;

/// Everything an administrator can say, with the defaults of the profile filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which images are pinned, and what happens when that fails.
    pub pin: Pin,
    /// Which images come from where instead.
    pub mirror: Mirror,
    /// Which Pods go where their image already is.
    pub place: Place,
    /// Registries that need more to be said than their name; of those that cover a host the first counts.
    pub registries: Vec<Registry>,
    /// What the cluster says about its local registry.
    pub local_registry: LocalRegistry,
    /// Registries that are not named here.
    pub unlisted_registries: UnlistedRegistries,
    /// Credentials, tried in this order.
    pub credentials: Vec<Credentials>,
    /// Pull secrets of Pods.
    pub pull_secrets: PullSecrets,
    /// The certificate that API servers know Berth by.
    pub certificates: Certificates,
    /// Kinds of owner whose operators compare images: their Pods are placed only.
    pub skip_owners: Vec<OwnerKind>,
    /// What a tenant may switch off by the annotation `berth.dev/skip`.
    pub tenants: Tenants,
    /// Bounds on time and memory.
    pub limits: Limits,
    /// Where all this stands; none where it was not read from files.
    pub files: Files,
}

impl Config {
    /// Reads what stands in the file besides what kind of file it is.
    fn read(mut root: Section<'_, '_>, profile: Profile) -> Self {
        let trusts = [("ignore", LocalRegistry::Ignore), ("trust", LocalRegistry::Trust)];
        let trust = if profile == Profile::Dev { LocalRegistry::Trust } else { LocalRegistry::Ignore };
        let unlisted = [("allow", UnlistedRegistries::Allow), ("deny", UnlistedRegistries::Deny)];
        let mut hosts = Vec::new();
        let mut config = Self {
            pin: Pin::read(root.section("pin"), profile),
            mirror: Mirror::read(root.section("mirror")),
            place: Place::read(root.section("place"), profile),
            registries: root.sections("registries", |section| Registry::read(section, &mut hosts)),
            local_registry: root.value("localRegistry", value::choice(&trusts)).unwrap_or(trust),
            unlisted_registries: root
                .value("unlistedRegistries", value::choice(&unlisted))
                .unwrap_or(UnlistedRegistries::Allow),
            credentials: root.sections("credentials", Credentials::read),
            pull_secrets: PullSecrets::read(root.section("pullSecrets")),
            certificates: Certificates::read(root.section("certificates")),
            skip_owners: root.list("skipOwners", OwnerKind::read).unwrap_or_else(OwnerKind::known),
            tenants: Tenants::read(root.section("tenants")),
            limits: Limits::read(root.section("limits")),
            files: Files::default(),
        };
        if config.pin.repin == Repin::Replace
            && config.pin.repin_images.is_empty()
            && config.local_registry == LocalRegistry::Ignore
            && root.section("pin").has("repin")
        // the profile's own word was never about anything else
        {
            root.section("pin")
                .error("repinImages", "`repin: replace` needs patterns of names here, as in `localhost:5001/*`");
        }
        root.finish();
        config.registries.sort_by_key(Registry::specificity);
        config
    }
}

impl Config {
    /// The entry of `registries` that counts for `host`.
    pub fn registry(&self, host: &str) -> Option<&Registry> {
        self.registries.iter().find(|registry| registry.covers(host))
    }

    /// Whether `host` is the cluster's local registry, which people push to.
    pub fn is_local_registry(&self, host: &str) -> bool {
        self.registry(host).is_some_and(|registry| registry.local)
    }

    /// What happens to `image`, a name with a tag and a digest, where the tag means something else now.
    ///
    /// A tag that `pin.tags` does not call mutable always means the same: then there is nothing to ask.
    pub fn repin(&self, image: &Reference) -> Repin {
        if self.pin.repin == Repin::Off || image.digest().is_none() || !self.pin.covers(image) {
            return Repin::Off;
        }
        let replaced =
            self.pin.repin == Repin::Replace && (self.pin.repins(image) || self.is_local_registry(image.host()));
        if replaced { Repin::Replace } else { Repin::Warn }
    }
}

impl Default for Config {
    /// The production profile with nothing said.
    fn default() -> Self {
        Self::read(Section::root(None, &mut Findings::default()), Profile::Production)
    }
}

/// `group/Kind`, as in `postgresql.cnpg.io/Cluster`; without a slash a kind of the core group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OwnerKind {
    /// The API group, without version.
    pub group: String,
    /// The kind.
    pub kind: String,
}

impl OwnerKind {
    fn read(value: &Value) -> Result<Self, String> {
        let text = value::text(value)?;
        let (group, kind) = text.split_once('/').unwrap_or(("", text));
        let group_letters =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
        let starts_as_kind = kind.starts_with(|letter: char| letter.is_ascii_uppercase());
        if group.bytes().all(group_letters) && starts_as_kind && kind.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Ok(Self { group: group.to_owned(), kind: kind.to_owned() });
        }
        Err(format!("{} is not `group/Kind`, as in `postgresql.cnpg.io/Cluster`, without a version", value.describe()))
    }

    /// The kinds whose operators are known to compare images (cloudnative-pg#6344: it restarts for ever).
    fn known() -> Vec<Self> {
        vec![Self { group: "postgresql.cnpg.io".to_owned(), kind: "Cluster".to_owned() }]
    }
}

/// What tenants are allowed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tenants {
    /// Steps that the annotation `berth.dev/skip` may switch off.
    pub may_skip: Steps,
}

impl Tenants {
    fn read(mut section: Section<'_, '_>) -> Self {
        let verbs = value::choice(&[("pin", Verb::Pin), ("mirror", Verb::Mirror), ("place", Verb::Place)]);
        let listed = section.list("maySkip", verbs);
        section.finish();
        let allowed = |verb| listed.as_ref().is_none_or(|verbs| verbs.contains(&verb));
        let may_skip = Steps { pin: allowed(Verb::Pin), mirror: allowed(Verb::Mirror), place: allowed(Verb::Place) };
        Self { may_skip }
    }
}

/// A set of the three verbs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Steps {
    /// Replacing tags by digests.
    pub pin: bool,
    /// Rewriting to a mirror.
    pub mirror: bool,
    /// Adding node affinity.
    pub place: bool,
}

/// Bounds on time and memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Wall-clock time of one question to a registry, tokens included.
    pub registry_timeout: Duration,
    /// Reviews that are worked on at the same time; more are shed with a 503.
    pub reviews_in_flight: usize,
    /// Largest body of one request, bytes.
    pub body_bytes: usize,
    /// All bodies held at the same time, bytes.
    pub bodies_bytes: usize,
}

impl Limits {
    fn read(mut section: Section<'_, '_>) -> Self {
        let timeout = value::duration_within((Duration::from_millis(100), "100ms"), (Duration::from_secs(25), "25s"));
        let limits = Self {
            registry_timeout: section.value("registryTimeout", timeout).unwrap_or(Duration::from_secs(3)),
            reviews_in_flight: section.value("reviewsInFlight", value::count(1, 65_536)).unwrap_or(256),
            body_bytes: section.value("bodyBytes", value::bytes).unwrap_or(20 * MEBIBYTE),
            bodies_bytes: section.value("bodiesBytes", value::bytes).unwrap_or(128 * MEBIBYTE),
        };
        if limits.body_bytes < MEBIBYTE {
            section.error("bodyBytes", "less than `1Mi` would let large Pods pass unseen; the default is `20Mi`");
        }
        if limits.bodies_bytes < limits.body_bytes {
            section.error("bodiesBytes", "it is less than `bodyBytes`: no body of that size could be read");
        }
        section.finish();
        limits
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Verb {
    Pin,
    Mirror,
    Place,
}

const MEBIBYTE: usize = 1 << 20;
