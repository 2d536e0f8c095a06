//! What is known of each node, ready to be shown.

use jiff::{SignedDuration, Timestamp, Unit};
use serde::{Serialize, Serializer};
use serde_json::json;

use super::{doubt::Doubt, notes, seen::Said};
use crate::{
    admission::place::Standing,
    image::Reference,
    nodes::{NodeView, Now, Runtime, Sighting},
};

/// What is known of an image.
#[derive(Debug)]
pub(super) struct Report {
    /// With all defaults filled in, as nodes list it.
    pub(super) image: String,
    pub(super) rows: Vec<Row>,
    /// The nodes of each build, where there are different ones.
    pub(super) builds: Vec<Vec<String>>,
    pub(super) now: Timestamp,
}

/// What is known of an image on a node.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    pub(super) node: String,
    pub(super) status: Standing,
    pub(super) ready: bool,
    pub(super) cordoned: bool,
    pub(super) origin: Option<Origin>,
    /// Bytes.
    pub(super) size: Option<i64>,
    /// When it came or changed, by our own watch or by `berth load`; none where it was always there, as far as is known.
    #[serde(serialize_with = "time")]
    pub(super) since: Option<Timestamp>,
    /// Of the image's own repository.
    pub(super) digest: Option<String>,
    /// As `berth load` has noted it.
    #[serde(rename = "imageID")]
    pub(super) id: Option<String>,
    /// The image's name, as listed.
    pub(super) name: Option<String>,
    /// All names of that entry.
    pub(super) names: Vec<String>,
    #[serde(rename = "why")]
    pub(super) doubt: Option<Doubt>,
}

/// How an image came to a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Origin {
    /// By the kubelet, from a registry.
    Pulled,
    /// By an import.
    Imported,
    /// By the word of `berth load`: the list does not show it yet.
    Loaded,
}

impl Row {
    pub(super) fn new(
        node: NodeView<'_>,
        status: Standing,
        sighting: Option<&Sighting<'_>>,
        said: Option<&Said>,
        image: &Reference,
        now: Now,
    ) -> Self {
        let here = !matches!(status, Standing::Absent | Standing::Unknown);
        let sighting = sighting.filter(|_| here);
        let names: Vec<String> = said.filter(|_| here).map(|said| said.names.clone()).unwrap_or_default();
        let parsed = || names.iter().filter_map(|name| Some((name, name.parse::<Reference>().ok()?)));
        let own = |(_, name): &(&String, Reference)| name.repository() == image.repository() && name.digest().is_some();
        let digest = parsed().find(own).and_then(|(_, name)| Some(name.digest()?.to_string()));
        let name = parsed().find(|(_, name)| name.target() == image.target()).map(|(name, _)| name.clone());
        Self {
            node: node.name().escape_default().to_string(), // a file can say anything
            status,
            ready: node.ready(),
            cordoned: node.unschedulable(),
            origin: sighting.and_then(origin),
            size: sighting.and_then(Sighting::size).filter(|size| *size >= 0),
            since: sighting.and_then(Sighting::since).and_then(|since| wall(since, now)),
            digest,
            id: sighting.and_then(Sighting::id).map(ToString::to_string),
            name,
            names,
            doubt: said.filter(|_| status == Standing::Unknown).and_then(|said| said.doubt),
        }
    }
}

/// None where the runtime does not show it by the names.
fn origin(sighting: &Sighting<'_>) -> Option<Origin> {
    match sighting.listing {
        None => Some(Origin::Loaded),
        Some(listing) if listing.imported => Some(Origin::Imported),
        Some(_) => matches!(sighting.node.runtime(), Runtime::Containerd | Runtime::Docker).then_some(Origin::Pulled),
    }
}

/// A moment by the clock that others write down, to the second.
fn wall(since: std::time::Instant, now: Now) -> Option<Timestamp> {
    let ago = SignedDuration::try_from(now.instant.saturating_duration_since(since)).ok()?;
    now.wall.checked_sub(ago).ok()?.round(Unit::Second).ok()
}

impl Report {
    /// Whether some node has the image for certain.
    pub(super) fn is_held(&self) -> bool {
        self.rows.iter().any(|row| matches!(row.status, Standing::Holder | Standing::Told))
    }

    pub(super) fn json(&self) -> String {
        let report = json!({ "image": self.image, "nodes": self.rows, "notes": notes::below(self, &[]) });
        format!("{report:#}\n")
    }
}

/// What a standing is called.
pub(super) fn called(standing: Standing) -> &'static str {
    match standing {
        Standing::Holder => "holder",
        Standing::Told => "told",
        Standing::Contested => "contested",
        Standing::Unknown => "unknown",
        Standing::Absent => "absent",
    }
}

#[expect(clippy::ref_option, reason = "as serde calls it")]
fn time<S: Serializer>(since: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    since.map(|since| since.to_string()).serialize(to)
}
