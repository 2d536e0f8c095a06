//! The configurations, manifests and indexes in an archive, as slim as naming a build allows.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, de::IgnoredAny};

use super::Build;
use crate::image::Digest;

/// What was found, by digest and by the name in the archive.
#[derive(Default)]
pub(super) struct Blobs {
    by_digest: HashMap<Digest, Blob>,
    names: HashMap<String, Digest>,
}

/// A configuration, a manifest or an index: the fields tell which.
#[derive(Deserialize)]
pub(super) struct Blob {
    #[serde(default)]
    architecture: Option<String>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    rootfs: Option<IgnoredAny>,
}

/// A reference to a blob.
#[derive(Deserialize)]
pub(super) struct Descriptor {
    #[serde(default)]
    digest: Option<String>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl Descriptor {
    fn digest(&self) -> Option<Digest> {
        self.digest.as_ref()?.parse().ok()
    }

    pub(super) fn annotation(&self, key: &str) -> Option<&String> {
        self.annotations.as_ref()?.get(key).filter(|value| !value.is_empty())
    }
}

impl Blobs {
    /// Keeps `bytes` if they are a description. What is too much is not kept: then its image has no ID.
    pub(super) fn note(&mut self, name: String, bytes: &[u8]) {
        if bytes.first() != Some(&b'{') || self.names.len() >= BLOBS || name.len() > NAME {
            return;
        }
        let Ok(mut blob) = serde_json::from_slice::<Blob>(bytes) else { return };
        blob.slim();
        let digest = Digest::of(bytes);
        self.by_digest.insert(digest.clone(), blob);
        self.names.insert(name, digest);
    }

    /// The build whose configuration has this name in the archive.
    pub(super) fn by_name(&self, config: &str) -> Option<Build> {
        self.build(self.names.get(config)?)
    }

    /// The builds behind a manifest, or behind an index of manifests.
    pub(super) fn builds(&self, descriptor: &Descriptor) -> Vec<Build> {
        let blob = self.get(descriptor);
        let mut builds: Vec<Build> = blob.and_then(|blob| self.of_manifest(blob)).into_iter().collect();
        // One level: that is how builders write it. Attestations have a configuration without a platform.
        for manifest in blob.and_then(|blob| blob.manifests.as_ref()).into_iter().flatten() {
            let manifest = self.get(manifest);
            builds.extend(manifest.and_then(|manifest| self.of_manifest(manifest)).filter(Build::has_platform));
        }
        builds
    }

    fn get(&self, descriptor: &Descriptor) -> Option<&Blob> {
        self.by_digest.get(&descriptor.digest()?)
    }

    fn of_manifest(&self, manifest: &Blob) -> Option<Build> {
        self.build(&manifest.config.as_ref()?.digest()?)
    }

    fn build(&self, config: &Digest) -> Option<Build> {
        let blob = self.by_digest.get(config).filter(|blob| blob.rootfs.is_some())?;
        Some(Build { id: config.clone(), architecture: blob.architecture.clone().unwrap_or_default() })
    }
}

impl Blob {
    /// Bounds what is kept of it.
    fn slim(&mut self) {
        self.architecture.take_if(|name| !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) || name.len() > NAME);
        if let Some(manifests) = &mut self.manifests {
            manifests.truncate(PLATFORMS);
        }
        for descriptor in self.manifests.iter_mut().flatten().chain(&mut self.config) {
            descriptor.annotations = None;
            descriptor.digest.take_if(|digest| digest.len() > NAME);
        }
    }
}

impl Build {
    fn has_platform(&self) -> bool {
        !matches!(self.architecture.as_str(), "" | "unknown")
    }
}

/// Descriptions that are kept. An archive of a hundred images for ten platforms has two thousand.
const BLOBS: usize = 4_096;
/// Platforms of one image that are kept.
const PLATFORMS: usize = 64;
/// Bytes of a name or digest: `blobs/sha256/` and 64 digits, usually.
const NAME: usize = 256;
