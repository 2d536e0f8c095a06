//! **select** — every field of a Pod that names an image. None is forgotten.

use std::{
    collections::HashSet,
    fmt::{self, Write as _},
};

use super::{
    Moment, Subject,
    decode::{Container, Volume},
};
use crate::image::{ParseError, Reference};

/// One field that names an image.
#[derive(Debug)]
pub struct Slot<'a> {
    /// Where it stands.
    pub field: Field,
    /// The container's or the volume's name.
    pub name: &'a str,
    /// The image as written.
    pub image: &'a str,
    /// The image, parsed.
    pub reference: Result<Reference, ParseError>,
    /// When the kubelet pulls it: as written, else as the API server would fill it in.
    pub policy: PullPolicy,
}

/// Where an image stands in a Pod; the number is the place in its list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Field {
    /// `spec.initContainers`, sidecars included.
    InitContainer(usize),
    /// `spec.containers`.
    Container(usize),
    /// `spec.ephemeralContainers`.
    EphemeralContainer(usize),
    /// `spec.volumes[].image`.
    Volume(usize),
}

/// When the kubelet pulls.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PullPolicy {
    /// At every start.
    Always,
    /// Where the node does not have it.
    IfNotPresent,
    /// Never: the node has it, or the container fails.
    Never,
}

/// The fields of `subject` that may be changed now.
///
/// In a running Pod that are the ephemeral containers that it did not have before; all others must stay byte for byte.
pub fn select<'a>(subject: &Subject<'a>) -> Vec<Slot<'a>> {
    let spec = &subject.pod.spec;
    let old = subject.old.map_or(&[][..], |old| &old.spec.ephemeral_containers);
    let stored: HashSet<&str> = old.iter().map(|container| &*container.name).collect();
    let ephemeral = indexed(&spec.ephemeral_containers, Field::EphemeralContainer)
        .filter(|(_, container)| !stored.contains(&*container.name))
        .map(of_container);
    if subject.moment == Moment::Debug {
        return ephemeral.flatten().collect();
    }
    let init = indexed(&spec.init_containers, Field::InitContainer).map(of_container);
    let main = indexed(&spec.containers, Field::Container).map(of_container);
    let volumes = indexed(&spec.volumes, Field::Volume).map(of_volume);
    init.chain(main).chain(ephemeral).chain(volumes).flatten().collect()
}

fn indexed<T>(list: &[T], field: fn(usize) -> Field) -> impl Iterator<Item = (Field, &T)> {
    list.iter().enumerate().map(move |(index, item)| (field(index), item))
}

fn of_container<'a>((field, container): (Field, &'a Container<'_>)) -> Option<Slot<'a>> {
    Slot::new(field, &container.name, &container.image, &container.image_pull_policy)
}

fn of_volume<'a>((field, volume): (Field, &'a Volume<'_>)) -> Option<Slot<'a>> {
    let image = volume.image.as_ref()?;
    Slot::new(field, &volume.name, &image.reference, &image.pull_policy)
}

impl<'a> Slot<'a> {
    /// None for an empty image: the API server has its own say on that.
    fn new(field: Field, name: &'a str, image: &'a str, policy: &str) -> Option<Self> {
        if image.is_empty() {
            return None;
        }
        let reference = image.parse::<Reference>();
        let policy =
            PullPolicy::written(policy).unwrap_or_else(|| match reference.as_ref().map(Reference::effective_tag) {
                Ok(Some("latest")) => PullPolicy::Always,
                _ => PullPolicy::IfNotPresent,
            });
        Some(Self { field, name, image, reference, policy })
    }
}

impl Field {
    /// The JSON pointer of the image inside a Pod.
    pub fn image_pointer(self) -> String {
        match self {
            Self::Volume(_) => self.pointer("/image/reference"),
            _ => self.pointer("/image"),
        }
    }

    /// The JSON pointer of the pull policy inside a Pod.
    pub fn policy_pointer(self) -> String {
        match self {
            Self::Volume(_) => self.pointer("/image/pullPolicy"),
            _ => self.pointer("/imagePullPolicy"),
        }
    }

    fn pointer(self, member: &str) -> String {
        let (list, index) = match self {
            Self::InitContainer(index) => ("initContainers", index),
            Self::Container(index) => ("containers", index),
            Self::EphemeralContainer(index) => ("ephemeralContainers", index),
            Self::Volume(index) => ("volumes", index),
        };
        let mut pointer = String::with_capacity("/spec/ephemeralContainers/12345/imagePullPolicy".len());
        // Writing to a String does not fail.
        let _written = write!(pointer, "/spec/{list}/{index}{member}");
        pointer
    }
}

impl PullPolicy {
    /// The policy as the API spells it; none for what is no policy.
    fn written(text: &str) -> Option<Self> {
        match text {
            "Always" => Some(Self::Always),
            "IfNotPresent" => Some(Self::IfNotPresent),
            "Never" => Some(Self::Never),
            _ => None,
        }
    }
}

impl fmt::Display for PullPolicy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::decode::Pod;

    #[track_caller]
    fn check(image: &str, written: &str, policy: PullPolicy) {
        assert_eq!(Slot::new(Field::Container(0), "c", image, written).unwrap().policy, policy, "{image} {written}");
    }

    #[test]
    fn a_forged_crowd_of_ephemeral_containers_costs_by_its_size() {
        let crowd = |prefix: &str| {
            let one = |number| format!(r#"{{"name": "{prefix}{number}", "image": "a"}}"#);
            (0..100_000).map(one).collect::<Vec<_>>().join(",")
        };
        let (old, new) = (crowd("old"), crowd("new"));
        let (before, after) = (
            format!(r#"{{"spec": {{"ephemeralContainers": [{old}]}}}}"#),
            format!(r#"{{"spec": {{"ephemeralContainers": [{old},{new}]}}}}"#),
        );
        let (old, pod) = (serde_json::from_str(&before).unwrap(), serde_json::from_str::<Pod<'_>>(&after).unwrap());
        let subject = Subject { pod: &pod, old: Some(&old), namespace: "", moment: Moment::Debug, proven: false };
        let began = std::time::Instant::now();
        assert_eq!(select(&subject).len(), 100_000);
        assert!(began.elapsed().as_secs() < 10, "each was compared with each");
    }

    #[test]
    fn a_missing_policy_is_what_the_api_server_fills_in() {
        check("nginx", "", PullPolicy::Always);
        check("nginx:latest", "", PullPolicy::Always);
        check("nginx:1.27", "", PullPolicy::IfNotPresent);
        check(&format!("nginx@sha256:{}", "0".repeat(64)), "", PullPolicy::IfNotPresent);
        check(&format!("nginx:latest@sha256:{}", "0".repeat(64)), "", PullPolicy::Always);
        check("nginx", "Never", PullPolicy::Never);
        check("nginx", "IfNotPresent", PullPolicy::IfNotPresent);
    }

    /// Every place in a Pod where the API has an image, by name: a new one must be added here and in [`select`].
    #[test]
    fn no_field_is_forgotten() {
        let pod = r#"{"spec": {
            "initContainers": [{"name": "init", "image": "a"}, {"name": "sidecar", "image": "b", "restartPolicy": "Always"}],
            "containers": [{"name": "main", "image": "c"}, {"name": "empty"}],
            "ephemeralContainers": [{"name": "debug", "image": "d", "targetContainerName": "main"}],
            "volumes": [{"name": "other", "emptyDir": {}}, {"name": "files", "image": {"reference": "e"}}]
        }}"#;
        let pod: Pod<'_> = serde_json::from_str(pod).unwrap();
        let subject = Subject { pod: &pod, old: None, namespace: "", moment: Moment::Create, proven: false };
        let found: Vec<_> = select(&subject).iter().map(|slot| (slot.name, slot.field.image_pointer())).collect();
        let expected = [
            ("init", "/spec/initContainers/0/image"),
            ("sidecar", "/spec/initContainers/1/image"),
            ("main", "/spec/containers/0/image"),
            ("debug", "/spec/ephemeralContainers/0/image"),
            ("files", "/spec/volumes/1/image/reference"),
        ];
        assert_eq!(found, expected.map(|(name, pointer)| (name, pointer.to_owned())));
    }
}
