//! The bytes of a workload, borrowed and slim: its name, who made it, and the template of its Pods.

use std::{borrow::Cow, collections::HashSet};

use serde::Deserialize;

use crate::admission::decode::{Container, Pod, nullable};

/// An object that makes Pods by a template.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Workload<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    metadata: Metadata<'a>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    spec: Spec<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    generate_name: Cow<'a, str>,
    #[serde(default, deserialize_with = "nullable")]
    owner_references: Vec<Owner>,
}

#[derive(Debug, Deserialize)]
struct Owner {
    #[serde(default, deserialize_with = "nullable")]
    controller: bool,
}

/// Both places where templates stand: a `CronJob` has one inside that of its Jobs.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    template: Option<Pod<'a>>,
    #[serde(borrow, default, deserialize_with = "nullable")]
    job_template: JobTemplate<'a>,
}

#[derive(Debug, Default, Deserialize)]
struct JobTemplate<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    spec: JobSpec<'a>,
}

#[derive(Debug, Default, Deserialize)]
struct JobSpec<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    template: Pod<'a>,
}

impl<'a> Workload<'a> {
    /// As people know it; what `generateName` says and an ellipsis where it has no name yet.
    pub(super) fn name(&self) -> String {
        match &*self.metadata.name {
            "" => [&*self.metadata.generate_name, "…"].concat(),
            name => name.to_owned(),
        }
    }

    /// A controller made it, and looks after it.
    pub(super) fn is_owned(&self) -> bool {
        self.metadata.owner_references.iter().any(|owner| owner.controller)
    }

    /// The Pods that it makes.
    pub(super) fn into_template(self) -> Pod<'a> {
        self.spec.template.unwrap_or(self.spec.job_template.spec.template)
    }
}

/// Whether every image of `pod` stood in `old` with the same pull policy.
pub(super) fn names_nothing_new(pod: &Pod<'_>, old: &Pod<'_>) -> bool {
    let known: HashSet<_> = images(old).collect();
    images(pod).all(|image| known.contains(&image))
}

/// All images with their pull policies, as written.
fn images<'p>(pod: &'p Pod<'_>) -> impl Iterator<Item = (&'p str, &'p str)> {
    let spec = &pod.spec;
    let containers = spec.init_containers.iter().chain(&spec.containers).chain(&spec.ephemeral_containers);
    let of_container = |container: &'p Container<'_>| (&*container.image, &*container.image_pull_policy);
    let volumes = spec.volumes.iter().filter_map(|volume| volume.image.as_ref());
    containers.map(of_container).chain(volumes.map(|image| (&*image.reference, &*image.pull_policy)))
}
