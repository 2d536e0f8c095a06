//! The annotation `berth.dev/loaded` of a Node: what `berth load` and `berth loaded` said was put on it.
//!
//! A node's list is up to 40 s late; this is known at once. It is a claim like the list itself: a kubelet can write
//! annotations of its own Node.

use std::{collections::BTreeMap, fmt, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::image::{Digest, Reference};

/// What was put on a node, by [`Reference::target`]: at most 32 images in 8 KiB of JSON, the oldest fall out.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Loaded {
    images: BTreeMap<Box<str>, Load>,
}

/// One image that was put on a node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Load {
    /// When it was there, by the clock of whoever said so.
    pub at: Timestamp,
    /// The image ID, which is the digest of its configuration, where it is known.
    pub id: Option<Digest>,
}

impl Loaded {
    /// Reads the annotation's value. What cannot be read counts as not said.
    pub fn parse(text: &str) -> Self {
        let mut loaded = Self::default();
        if text.len() > BYTES {
            return loaded;
        }
        let written: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap_or_default();
        for (name, load) in written {
            let Ok(image) = name.parse::<Reference>() else { continue };
            let load = serde_json::from_str(load.get()).ok().and_then(|load: Written| load.read());
            loaded.images.extend(load.map(|load| (image.target().into(), load)));
        }
        loaded.shrink();
        loaded
    }

    /// Notes that `image` was put on the node; the oldest falls out where there is no room.
    pub fn insert(&mut self, image: &Reference, load: Load) {
        self.images.insert(image.target().into(), load);
        self.shrink();
    }

    /// What was said of `image`.
    pub fn get(&self, image: &Reference) -> Option<&Load> {
        self.images.get(&*image.target())
    }

    /// All images, by [`Reference::target`].
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Load)> {
        self.images.iter().map(|(image, load)| (&**image, load))
    }

    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    fn shrink(&mut self) {
        while self.images.len() > IMAGES || self.to_string().len() > BYTES {
            let oldest = self.images.iter().min_by_key(|(_, load)| load.at).map(|(image, _)| image.clone());
            let Some(oldest) = oldest else { return };
            self.images.remove(&oldest);
        }
    }
}

/// The annotation's value.
impl fmt::Display for Loaded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written: BTreeMap<&str, Written> = self.iter().map(|(image, load)| (image, Written::of(load))).collect();
        formatter.write_str(&serde_json::to_string(&written).map_err(|_| fmt::Error)?)
    }
}

impl Load {
    /// Whether it makes the node *told* at `now`: for 120 s. A clock that is up to 60 s ahead is forgiven, and what is
    /// further ahead counts as not said.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        let age = now.duration_since(self.at);
        if age.is_negative() { self.is_credible(now) } else { age.unsigned_abs() < TOLD }
    }

    /// Whether it was not said for the future.
    pub fn is_credible(&self, now: Timestamp) -> bool {
        let age = now.duration_since(self.at);
        !age.is_negative() || age.unsigned_abs() <= AHEAD
    }
}

/// A load as it is written.
#[derive(Deserialize, Serialize)]
struct Written {
    at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

impl Written {
    fn of(load: &Load) -> Self {
        Self { at: load.at.to_string(), id: load.id.as_ref().map(ToString::to_string) }
    }

    /// None where the time cannot be read; an ID that is none is left out.
    fn read(self) -> Option<Load> {
        Some(Load { at: self.at.parse().ok()?, id: self.id.and_then(|id| id.parse().ok()) })
    }
}

/// The annotation's name.
pub const LOADED: &str = "berth.dev/loaded";
/// How long a load stands in for the node's list: a list is up to 40 s late, and an import takes its time.
pub const TOLD: Duration = Duration::from_secs(120);
/// By how much a clock may be ahead of ours.
const AHEAD: Duration = Duration::from_secs(60);
/// Images that one node's annotation can name.
const IMAGES: usize = 32;
/// Bytes of the annotation's value.
const BYTES: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn load(at: &str, id: Option<&str>) -> Load {
        Load { at: at.parse().unwrap(), id: id.map(|id| id.parse().unwrap()) }
    }

    fn image(text: &str) -> Reference {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_printed_is_read_again_under_every_spelling() {
        let mut loaded = Loaded::default();
        loaded.insert(&image("webapp:dev"), load("2026-11-21T08:00:00Z", Some(ID)));
        loaded.insert(&image("localhost/tool"), load("2026-11-21T08:00:01.5Z", None));
        let text = loaded.to_string();
        let (app, tool) = ("docker.io/library/webapp:dev", "localhost/tool:latest");
        let want = format!(
            r#"{{"{app}":{{"at":"2026-11-21T08:00:00Z","id":"{ID}"}},"{tool}":{{"at":"2026-11-21T08:00:01.5Z"}}}}"#
        );
        assert_eq!(text, want);
        assert_eq!(Loaded::parse(&text), loaded);
        assert_eq!(loaded.get(&image("index.docker.io/webapp:dev")), loaded.get(&image("webapp:dev")));
        assert!(loaded.get(&image("webapp")).is_none());
        assert_eq!(loaded.iter().map(|(name, _)| name).collect::<Vec<_>>(), [app, tool]);
    }

    #[test]
    fn what_cannot_be_read_counts_as_not_said() {
        for text in
            ["", "null", "[]", "7", "{", r#"{"app:dev":null}"#, r#"{"app:dev":{"at":"soon"}}"#, r#"{"app:dev":{}}"#]
        {
            assert!(Loaded::parse(text).is_empty(), "{text}");
        }
        let good = r#""app:dev":{"at":"2026-11-21T08:00:00Z","id":"none","new":[1]}"#;
        let mixed =
            format!(r#"{{"A:b:c":{{"at":"2026-11-21T08:00:00Z"}},"x\n":{{"at":"2026-11-21T08:00:00Z"}},{good}}}"#);
        let loaded = Loaded::parse(&mixed);
        assert_eq!(loaded.iter().count(), 1);
        assert_eq!(loaded.get(&image("app:dev")), Some(&load("2026-11-21T08:00:00Z", None)));
        let large = format!("{{{good},\"rest\":\"{}\"}}", "x".repeat(BYTES));
        assert!(Loaded::parse(&large).is_empty());
    }

    #[test]
    fn the_oldest_fall_out_by_number_and_by_size() {
        let at = |second: usize| load(&format!("2026-11-21T08:00:{second:02}Z"), Some(ID));
        let mut loaded = Loaded::default();
        for second in (0..40).rev() {
            loaded.insert(&image(&format!("app:{second}")), at(second));
        }
        assert_eq!(loaded.iter().count(), IMAGES);
        assert!(loaded.get(&image("app:7")).is_none() && loaded.get(&image("app:8")).is_some());

        let long = |number: usize| image(&format!("{}:{}{number}", ["x"; 40].join("/x"), "t".repeat(120)));
        for second in 40..60 {
            loaded.insert(&long(second), at(second));
        }
        let text = loaded.to_string();
        assert!(text.len() <= BYTES && loaded.iter().count() < IMAGES, "{} bytes", text.len());
        assert!(loaded.get(&long(59)).is_some() && loaded.get(&image("app:8")).is_none());
        assert_eq!(Loaded::parse(&text), loaded);

        let many: Vec<_> =
            (0..59).map(|second| format!(r#""a:{second}":{{"at":"2026-11-21T08:00:{second:02}Z"}}"#)).collect();
        let read = Loaded::parse(&format!("{{{}}}", many.join(",")));
        assert!(read.iter().count() == IMAGES && read.get(&image("a:58")).is_some(), "{read}");
    }

    #[test]
    fn a_load_is_fresh_for_two_minutes() {
        let load = load("2026-11-21T08:02:00Z", None);
        let fresh = |now: &str| load.is_fresh(now.parse().unwrap());
        assert!(fresh("2026-11-21T08:02:00Z") && fresh("2026-11-21T08:03:59Z"));
        assert!(!fresh("2026-11-21T08:04:00Z") && !fresh("2027-11-21T08:02:00Z"));
        assert!(fresh("2026-11-21T08:01:00Z"), "a clock a minute ahead");
        assert!(!fresh("2026-11-21T08:00:59Z"));
        assert!(!load.is_credible("2026-11-21T08:00:59Z".parse().unwrap()));
    }
}
