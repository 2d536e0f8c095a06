//! What an archive of images holds: those of `docker save`, `podman save`, `buildah push` and OCI layouts, also gzipped.
//!
//! Read as containerd's importer reads it, because that is who takes it in on a node. Of the stream only descriptions stay
//! in memory, each at most 4 MiB and few of them; layers pass by.

mod blob;
mod tar;

use std::{
    collections::BTreeMap,
    io::{self, BufReader, Read},
};

use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;

use self::{
    blob::{Blobs, Descriptor},
    tar::Entries,
};
use crate::image::{Digest, Reference};

/// The images of an archive.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Archive {
    /// What a kubelet will find: by [`Reference::target`].
    images: BTreeMap<String, Vec<Build>>,
    /// Names that an import would list and no kubelet finds.
    unusable: Vec<String>,
    /// Bytes of the stream that an importer has to take before it can have read everything.
    pub needed: u64,
}

/// An image, for one platform.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Build {
    /// The image ID: the digest of its configuration.
    pub id: Digest,
    /// `amd64`; empty where the image does not say.
    pub architecture: String,
}

impl Archive {
    /// Reads the stream to its end.
    pub fn read(stream: impl Read) -> Result<Self, ArchiveError> {
        let mut stream = Counting { stream, bytes: 0 };
        let mut start = Vec::new();
        stream.by_ref().take(MAGIC).read_to_end(&mut start)?;
        let mut whole = BufReader::with_capacity(CHUNK, start.chain(&mut stream));
        if start.starts_with(&GZIP) {
            let described = Described::read(MultiGzDecoder::new(&mut whole))?;
            return described.archive(stream.bytes);
        }
        if let Some((_, program)) = FOREIGN.iter().find(|(magic, _)| start.starts_with(magic)) {
            return Err(ArchiveError::Compressed(program));
        }
        let described = Described::read(&mut whole)?;
        let needed = described.end;
        described.archive(needed)
    }

    /// The builds of `image`, one for each platform.
    pub fn builds(&self, image: &Reference) -> Result<&[Build], ArchiveError> {
        let target = image.target();
        if let Some(builds) = self.images.get(&*target) {
            return Ok(builds);
        }
        let same = |name: &&String| name.parse::<Reference>().is_ok_and(|name| name.target() == target);
        if let Some(name) = self.unusable.iter().find(same) {
            return Err(ArchiveError::Unusable { name: name.clone(), target: target.into_owned() });
        }
        let names = self.images.keys().chain(&self.unusable).cloned().collect();
        Err(ArchiveError::Missing { names, target: target.into_owned() })
    }

    /// Notes what a descriptor of an OCI index names, by the rules of `ctr images import`.
    ///
    /// # Source
    /// containerd 2.4.2, `core/transfer/image/imagestore.go`, `imageName` with `AddRefPrefix`.
    fn name(&mut self, descriptor: &Descriptor, blobs: &Blobs) {
        let full = |name: &&String| name.contains(['/', ':', '@']);
        let of_containerd = descriptor.annotation(IMAGE_NAME);
        let name = match of_containerd {
            Some(name) => Some(name).filter(full),
            None => descriptor.annotation(REF_NAME),
        };
        let Some(name) = name else { return };
        // The kubelet looks for the name with all its defaults; what is not spelled like that is never found.
        let usable = full(&name) && name.parse::<Reference>().is_ok_and(|image| image.target() == **name);
        if usable {
            self.images.insert(name.clone(), blobs.builds(descriptor));
        } else if self.unusable.len() < NAMES_KEPT {
            self.unusable.push(name.clone());
        }
    }
}

/// The descriptions in an archive.
#[derive(Default)]
struct Described {
    manifest: Option<Vec<Item>>,
    index: Option<Vec<Descriptor>>,
    is_layout: bool,
    blobs: Blobs,
    end: u64,
}

impl Described {
    fn read(stream: impl Read) -> Result<Self, ArchiveError> {
        let mut described = Self::default();
        let mut entries = Entries::new(stream);
        while let Some(entry) = entries.next()? {
            let is_description = matches!(entry.name.as_str(), MANIFEST | INDEX | LAYOUT);
            if entry.size > DESCRIPTION_LIMIT {
                if is_description {
                    return Err(ArchiveError::Description { name: entry.name, why: "it is too large".to_owned() });
                }
                continue;
            }
            let mut bytes = Vec::new();
            entries.content().read_to_end(&mut bytes)?;
            match entry.name.as_str() {
                MANIFEST => described.manifest = json(&entry.name, &bytes)?,
                INDEX => described.index = json::<Index>(&entry.name, &bytes)?.manifests,
                LAYOUT => described.is_layout = true,
                _ => described.blobs.note(entry.name, &bytes),
            }
        }
        described.end = entries.end();
        entries.drain()?;
        Ok(described)
    }

    fn archive(self, needed: u64) -> Result<Archive, ArchiveError> {
        let mut archive = Archive { needed, ..Archive::default() };
        let Self { manifest, index, is_layout, blobs, .. } = self;
        match (is_layout, index, manifest) {
            (true, Some(index), _) => index.iter().for_each(|descriptor| archive.name(descriptor, &blobs)),
            (false, _, Some(items)) => {
                for item in items {
                    let build = blobs.by_name(&item.config);
                    for tag in item.repo_tags.into_iter().flatten() {
                        let Ok(image) = tag.parse::<Reference>() else { continue };
                        let build = build.clone().ok_or_else(|| ArchiveError::Config(tag.clone()))?;
                        archive.images.insert(image.target().into_owned(), vec![build]);
                    }
                }
            }
            _ => return Err(ArchiveError::NoImages),
        }
        Ok(archive)
    }
}

/// An item of `manifest.json`, as `docker save` writes it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    #[serde(default)]
    config: String,
    repo_tags: Option<Vec<String>>,
}

/// `index.json` of an OCI layout.
#[derive(Deserialize)]
struct Index {
    manifests: Option<Vec<Descriptor>>,
}

fn json<'a, T: Deserialize<'a>>(name: &str, bytes: &'a [u8]) -> Result<T, ArchiveError> {
    // A mistake is quoted at length, and written by a stranger.
    let wrong =
        |error: serde_json::Error| ArchiveError::Description { name: name.to_owned(), why: shown(&error.to_string()) };
    serde_json::from_slice(bytes).map_err(wrong)
}

/// Counts what goes by.
struct Counting<R> {
    stream: R,
    bytes: u64,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        self.bytes = self.bytes.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}

/// Why an archive is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// It could not be read to its end.
    #[error("the archive cannot be read: {0}")]
    Read(io::Error),
    /// It ends in the middle of an entry.
    #[error("the archive is cut off: whoever wrote it did not finish")]
    Truncated,
    /// It is something else.
    #[error("that is no archive of images: neither a tar archive nor one that is gzipped")]
    NoTar,
    /// It is compressed in a way that importers may not know, by this program.
    #[error("the archive is compressed by {0}: write `{0} -dc FILE | berth load IMAGE --from -`")]
    Compressed(&'static str),
    /// One of the files that describe it cannot be understood.
    #[error("the archive's {name} cannot be understood: {why}")]
    Description {
        /// `manifest.json` or `index.json`.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// It has no description, or not all of it.
    #[error("the archive describes no images: it has neither manifest.json nor oci-layout with index.json")]
    NoImages,
    /// The configuration of an image is not in it.
    #[error("the archive lacks the configuration of {}", .0.escape_debug())]
    Config(String),
    /// It has other images.
    #[error("the archive does not have {target}{}", others(.names, .target))]
    Missing {
        /// What it has.
        names: Vec<String>,
        /// What was asked for.
        target: String,
    },
    /// It has the image under a name by which no kubelet looks for it.
    #[error(
        "the archive calls it {}: nodes would list it, and kubelets would still not find it. Save it as {target}, with \
         `docker save` or `podman save --format docker-archive`",
        .name.escape_debug()
    )]
    Unusable {
        /// As it stands in the archive.
        name: String,
        /// As the kubelet looks for it.
        target: String,
    },
}

impl From<io::Error> for ArchiveError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Read(error),
        }
    }
}

/// A name that anybody can have chosen.
fn shown(name: &str) -> String {
    name.chars().take(NAME_SHOWN).flat_map(char::escape_debug).collect()
}

/// What an archive has instead, and what to do about it.
fn others(names: &[String], target: &str) -> String {
    if names.is_empty() {
        return ", nor any other image with a name: save it by name, not by ID".to_owned();
    }
    let shown: Vec<String> = names.iter().take(NAMES_SHOWN).map(|name| shown(name)).collect();
    let more = if names.len() > NAMES_SHOWN { ", …" } else { "" };
    let podman = target.strip_prefix("docker.io/library/").map(|short| format!("localhost/{short}"));
    let hint = match podman.filter(|name| names.contains(name)) {
        Some(name) => format!(
            ": to podman it is another image. Load {name} and name that in Pods, or `podman tag {name} {target}`"
        ),
        None => String::new(),
    };
    format!(", but {}{more}{hint}", shown.join(", "))
}

const MANIFEST: &str = "manifest.json";
const INDEX: &str = "index.json";
const LAYOUT: &str = "oci-layout";
/// The full name of an image, in an OCI index. Source: containerd `core/images/annotations.go`.
const IMAGE_NAME: &str = "io.containerd.image.name";
/// Often only the tag. Source: OCI Image Format, "Pre-Defined Annotation Keys".
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Bytes by which a compression is known.
const MAGIC: u64 = 6;
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// How other compressions begin, and which program undoes them.
const FOREIGN: [(&[u8], &str); 3] = [(&[0x28, 0xb5, 0x2f, 0xfd], "zstd"), (b"\xfd7zXZ\0", "xz"), (b"BZh", "bzip2")];
/// Bytes of a description: registries take no larger manifest or configuration either.
const DESCRIPTION_LIMIT: u64 = 4 << 20;
/// Bytes read at a time.
const CHUNK: usize = 64 << 10;
/// Characters of a name in a message.
const NAME_SHOWN: usize = 120;
/// Names that a message shows.
const NAMES_SHOWN: usize = 5;
/// Names that are kept for messages.
const NAMES_KEPT: usize = 64;

#[cfg(test)]
mod tests;
