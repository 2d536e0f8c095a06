//! What the index keeps of a node besides its images.

use super::{
    names::Interner,
    node::{Node, Taint},
    quantity::Quantity,
};

/// What is known of a node besides its images. Texts that nodes repeat are numbers.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "four facts that have nothing to do with each other")]
pub(super) struct Facts {
    pub(super) labels: Box<[(u32, u32)]>,
    pub(super) allocatable: Box<[(u32, Quantity)]>,
    pub(super) taints: Box<[Taint]>,
    pub(super) provider_id: Option<Box<str>>,
    pub(super) architecture: Option<u32>,
    pub(super) runtime: Runtime,
    pub(super) unschedulable: bool,
    pub(super) ready: bool,
    pub(super) deleting: bool,
    pub(super) remembers_pulls: bool,
}

impl Facts {
    /// Reads `node`, holding its texts.
    pub(super) fn of(node: &Node, texts: &mut Interner<str, ()>) -> Self {
        let Node { metadata, spec, status } = node;
        let mut hold = |text: &str| texts.hold(text, || ());
        let labels = metadata.labels.iter().flatten().take(LABELS);
        let architecture =
            Some(status.node_info.architecture.as_str()).filter(|name| !name.is_empty() && is_plain(name));
        let amounts = status
            .allocatable
            .iter()
            .filter(|(name, _)| is_plain(name))
            .take(RESOURCES)
            .filter_map(|(name, amount)| Some((name, amount.parse().ok()?)));
        Self {
            labels: labels.map(|(key, value)| (hold(key), hold(value))).collect(),
            architecture: architecture.map(&mut hold),
            allocatable: amounts
                .filter(|(_, amount)| *amount > Quantity::default())
                .map(|(name, amount)| (hold(name), amount))
                .collect(),
            taints: spec.taints.clone().into(),
            provider_id: spec.provider_id.as_deref().filter(|id| is_plain(id)).map(Into::into),
            runtime: Runtime::named(&status.node_info.container_runtime_version),
            unschedulable: spec.unschedulable,
            ready: status.conditions.iter().any(|condition| condition.kind == "Ready" && condition.status == "True"),
            deleting: metadata.deletion_timestamp.is_some(),
            remembers_pulls: remembers_pulls(&status.node_info.kubelet_version),
        }
    }

    /// Lets go of the texts.
    pub(super) fn release(self, texts: &mut Interner<str, ()>) {
        let labels = self.labels.into_iter().flat_map(|(key, value)| [key, value]);
        let resources = self.allocatable.into_iter().map(|(name, _)| name);
        for text in labels.chain(resources).chain(self.architecture) {
            texts.release(text);
        }
    }
}

/// What runs the containers of a node.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Runtime {
    /// containerd.
    Containerd,
    /// Docker, through cri-dockerd.
    Docker,
    /// CRI-O.
    CriO,
    /// Another, or none that is known yet.
    #[default]
    Other,
}

impl Runtime {
    /// From `nodeInfo.containerRuntimeVersion`: `containerd://2.1.4`.
    fn named(version: &str) -> Self {
        match version.split_once("://").map(|(name, _)| name) {
            Some("containerd") => Self::Containerd,
            Some("docker") => Self::Docker,
            Some("cri-o") => Self::CriO,
            _ => Self::Other,
        }
    }

    /// Whether a tag without a digest of its own repository means that the image did not come by a pull, and a name that
    /// is not listed is absent. CRI-O always shows some digest (cri-o#4673) and looks for short names at several hosts.
    pub(super) fn tells(self) -> bool {
        matches!(self, Self::Containerd | Self::Docker)
    }
}

/// Whether a kubelet of this version (`v1.36.3`, `v1.33.7+k3s1`) remembers by which name it pulled an image.
fn remembers_pulls(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (1, 35),
        _ => false,
    }
}

/// Whether a text that the API does not check is as short and as simple as an honest one: it is kept, and ends up in
/// commands that people copy.
fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/' | b':');
    text.len() <= PLAIN_BYTES && text.bytes().all(plain)
}

/// Bytes of the longest provider ID, and room to spare.
const PLAIN_BYTES: usize = 512;
/// Labels of a node that are kept. It has some dozens.
const LABELS: usize = 1_024;
/// Resources of a node that are kept. It has a handful.
const RESOURCES: usize = 256;
