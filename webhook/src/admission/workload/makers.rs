//! The kinds that make Pods by a template, and whose those Pods are.

use std::borrow::Cow;

use crate::admission::decode::{Owner, Resource};

/// The owner of the Pods of each `resource`; none for what makes no Pods by a template.
pub(super) fn owner_by_resource(resource: &Resource<'_>) -> Option<Owner<'static>> {
    let is_of = |maker: &&Maker| maker.group == resource.group && maker.resource == resource.resource;
    MAKERS.iter().find(is_of).map(Maker::owner)
}

/// The owner of the Pods of each `kind`.
pub fn owner_by_kind(kind: &str) -> Option<Owner<'static>> {
    MAKERS.iter().find(|maker| maker.kind == kind).map(Maker::owner)
}

struct Maker {
    group: &'static str,
    resource: &'static str,
    kind: &'static str,
    /// Version and kind of its Pods' owner.
    owner: [&'static str; 2],
}

impl Maker {
    const fn new(group: &'static str, resource: &'static str, kind: &'static str, owner: [&'static str; 2]) -> Self {
        Self { group, resource, kind, owner }
    }

    fn owner(&self) -> Owner<'static> {
        let [api_version, kind] = self.owner.map(Cow::Borrowed);
        Owner { api_version, kind }
    }
}

const REPLICA_SET: [&str; 2] = ["apps/v1", "ReplicaSet"];
const JOB: [&str; 2] = ["batch/v1", "Job"];
const MAKERS: [Maker; 7] = [
    Maker::new("apps", "deployments", "Deployment", REPLICA_SET),
    Maker::new("apps", "replicasets", "ReplicaSet", REPLICA_SET),
    Maker::new("apps", "statefulsets", "StatefulSet", ["apps/v1", "StatefulSet"]),
    Maker::new("apps", "daemonsets", "DaemonSet", ["apps/v1", "DaemonSet"]),
    Maker::new("batch", "jobs", "Job", JOB),
    Maker::new("batch", "cronjobs", "CronJob", JOB),
    Maker::new("", "replicationcontrollers", "ReplicationController", ["v1", "ReplicationController"]),
];
