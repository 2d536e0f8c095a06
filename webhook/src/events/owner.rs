//! Whom people look at: the Deployment behind a Pod's `ReplicaSet`, the `CronJob` behind its Job.

use std::time::Duration;

use k8s_openapi::{
    api::core::v1::ObjectReference,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind},
};
use moka::sync::Cache;
use tracing::debug;

use crate::call::within;

/// Finds top owners, and remembers them for a while.
pub(super) struct Owners {
    client: Client,
    /// What controls the owner of this uid.
    above: Cache<String, Option<OwnerReference>>,
}

impl Owners {
    pub(super) fn new(client: Client) -> Self {
        Self { client, above: Cache::builder().max_capacity(ABOVE_MOST).time_to_live(ABOVE_LIFE).build() }
    }

    /// The top owner of what `direct` controls in `namespace`; none where nothing there controls it.
    ///
    /// Where what stands above its direct owner cannot be read, that is the one.
    pub(super) async fn top(&self, namespace: &str, direct: Option<&OwnerReference>) -> Option<ObjectReference> {
        let direct = direct.filter(|owner| !(owner.api_version == "v1" && owner.kind == "Node"))?;
        let above = match self.above.get(&direct.uid) {
            Some(above) => above,
            None => self.read(namespace, direct).await,
        };
        let top = above.as_ref().unwrap_or(direct);
        Some(ObjectReference {
            api_version: Some(top.api_version.clone()),
            kind: Some(top.kind.clone()),
            namespace: Some(namespace.to_owned()),
            name: Some(top.name.clone()),
            uid: Some(top.uid.clone()),
            ..ObjectReference::default()
        })
    }

    /// Only the metadata is asked for, and only of the two kinds that others control as a rule.
    async fn read(&self, namespace: &str, owner: &OwnerReference) -> Option<OwnerReference> {
        let kind = (owner.api_version.as_str(), owner.kind.as_str());
        let resource = INTERMEDIATE
            .into_iter()
            .find(|(group, version, kinds)| kind == (format!("{group}/{version}").as_str(), kinds));
        let mut above = None;
        if let Some((group, version, kind)) = resource {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), namespace, &resource);
            match within(api.get_metadata(&owner.name)).await {
                Ok(object) if object.metadata.uid.as_ref() == Some(&owner.uid) => {
                    above = controller(&object.metadata).cloned();
                }
                Ok(_) => (),
                Err(failure) => {
                    debug!(namespace, kind, name = owner.name, %failure, "an owner could not be read");
                    return None;
                }
            }
        }
        self.above.insert(owner.uid.clone(), above.clone());
        above
    }
}

/// What controls an object.
pub(super) fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// Kinds that are made by others on people's behalf.
const INTERMEDIATE: [(&str, &str, &str); 2] = [("apps", "v1", "ReplicaSet"), ("batch", "v1", "Job")];
/// Owners of which it is remembered what stands above them.
const ABOVE_MOST: u64 = 10_000;
const ABOVE_LIFE: Duration = Duration::from_secs(10 * 60);
