//! What the objects say, read leniently: what is broken is a finding, not a failure.

mod authorities;
mod serving;

pub use authorities::{Authorities, Slot};
pub use serving::Serving;

pub(crate) use authorities::entries;
pub(crate) use serving::KEEPER;

use std::{collections::BTreeMap, time::SystemTime};

use crate::{
    Subject, moment,
    settings::{ConfigurationName, Settings},
    store::{Configuration, Secret},
};

/// Everything that a rotation depends on, as it was read.
#[derive(Debug)]
pub struct State {
    /// The Secret with the CA; none where it is missing.
    pub authorities: Option<Stored<Authorities>>,
    /// The Secret with the leaf; none where it is missing.
    pub serving: Option<Stored<Serving>>,
    /// The configurations that are there.
    pub configurations: Vec<Published>,
    /// There may be more configurations: some could not be read.
    pub unread: bool,
}

/// The content of an object, and which object that was.
#[derive(Debug)]
pub struct Stored<T> {
    /// Its uid.
    pub uid: String,
    /// Its resource version, on which a write is conditional.
    pub version: String,
    /// Which generation of the CA's Secret it is of; none where it does not say.
    pub generation: Option<u64>,
    /// What it holds.
    pub content: T,
}

impl<T> Stored<T> {
    fn which(&self) -> (&str, &str) {
        (&self.uid, &self.version)
    }
}

/// A configuration that is there.
#[derive(Debug)]
pub struct Published {
    /// Which one.
    pub name: ConfigurationName,
    /// Which generation of the CA's Secret its bundles came from; none where it does not say.
    pub generation: Option<u64>,
    /// The annotation by which it leaves its bundle to the injector of the CNCF project cert-manager.
    pub injector: Option<&'static str>,
    /// When the bundles were last changed, where somebody has to wait for that to be known.
    pub changed: Option<SystemTime>,
    /// As it was read.
    pub object: Configuration,
}

impl State {
    /// Reads the objects' contents.
    pub fn of(
        settings: &Settings,
        authorities: Option<&Secret>,
        serving: Option<&Secret>,
        configurations: Vec<(ConfigurationName, Configuration)>,
    ) -> Self {
        let notes = Notes { domain: &settings.domain };
        Self {
            authorities: authorities.map(|secret| notes.stored(secret, Authorities::read(secret, notes))),
            serving: serving.map(|secret| notes.stored(secret, Serving::read(secret, notes))),
            configurations: configurations.into_iter().map(|(name, object)| notes.published(name, object)).collect(),
            unread: false,
        }
    }

    /// The version of an object; none where it is missing.
    pub(crate) fn version(&self, subject: &Subject, settings: &Settings) -> Option<String> {
        self.find(subject, settings).map(|(_, version)| version.to_owned())
    }

    /// The uid of an object; none where it is missing.
    pub(crate) fn uid(&self, subject: &Subject, settings: &Settings) -> Option<String> {
        self.find(subject, settings).map(|(uid, _)| uid.to_owned())
    }

    fn find(&self, subject: &Subject, settings: &Settings) -> Option<(&str, &str)> {
        match subject {
            Subject::Secret(name) if *name == settings.authority_secret => self.authorities.as_ref().map(Stored::which),
            Subject::Secret(_) => self.serving.as_ref().map(Stored::which),
            Subject::Configuration(name) => {
                let found = self.configurations.iter().find(|one| one.name == *name)?;
                Some((&found.object.uid, &found.object.version))
            }
        }
    }

    /// The highest generation that any object says it is of, as far as managers can have come; 0 where none says.
    pub(crate) fn highest_generation(&self) -> u64 {
        let secrets =
            [self.authorities.as_ref().map(|one| one.generation), self.serving.as_ref().map(|one| one.generation)];
        let configurations = self.configurations.iter().map(|one| one.generation);
        let all = secrets.into_iter().flatten().chain(configurations).flatten();
        all.filter(|generation| *generation <= LAST).max().unwrap_or_default()
    }
}

/// The annotations of one domain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notes<'a> {
    pub(crate) domain: &'a str,
}

impl Notes<'_> {
    /// The whole key.
    pub(crate) fn key(self, name: &str) -> String {
        [self.domain, "/", name].concat()
    }

    /// The moment in an annotation.
    pub(crate) fn moment(self, annotations: &BTreeMap<String, String>, name: &str) -> Option<SystemTime> {
        moment::read(annotations.get(&self.key(name))?)
    }

    fn generation(self, annotations: &BTreeMap<String, String>) -> Option<u64> {
        annotations.get(&self.key(GENERATION))?.parse().ok().filter(|generation| (1..u64::MAX).contains(generation))
    }

    fn stored<T>(self, secret: &Secret, content: T) -> Stored<T> {
        let generation = self.generation(&secret.annotations);
        Stored { uid: secret.uid.clone(), version: secret.version.clone(), generation, content }
    }

    fn published(self, name: ConfigurationName, object: Configuration) -> Published {
        let generation = self.generation(&object.annotations);
        let injector = INJECTORS.into_iter().find(|key| object.annotations.contains_key(*key));
        Published { name, generation, injector, changed: self.moment(&object.annotations, CHANGED), object }
    }
}

/// Annotation: which generation of the CA's Secret the content came from.
pub(crate) const GENERATION: &str = "generation";
/// Annotation of the CA's Secret: when the bundle of its generation was read back from every configuration.
pub(crate) const PUBLISHED: &str = "published";
/// Annotation of the CA's Secret: when the last leaf of a retired CA has expired.
pub(crate) const RETIRED_UNTIL: &str = "retired-until";
/// Annotation of the serving Secret: when the last leaf that was ever in it has expired.
pub(crate) const VALID_UNTIL: &str = "valid-until";
/// Annotation of a configuration: when its bundle was last changed, if it comes from somebody else's Secret, or got back
/// while a switch was pending.
pub(crate) const CHANGED: &str = "bundle-changed";
/// Nobody counts further: a number above it was set by hand, and nobody goes on from there.
const LAST: u64 = 1 << 40;
/// Source: <https://cert-manager.io/docs/concepts/ca-injector/>.
const INJECTORS: [&str; 3] =
    ["cert-manager.io/inject-ca-from", "cert-manager.io/inject-ca-from-secret", "cert-manager.io/inject-apiserver-ca"];
