//! What a Pod asks of a node in CPU, memory and other resources, at the least.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;

use crate::{
    admission::decode::{Container, Spec},
    nodes::quantity::Quantity,
};

/// The requests of a Pod: the sum of its containers, or one init container where that asks for more.
///
/// What the scheduler adds on top (sidecars, overhead, requests of the whole Pod) is left out: this must never call a node
/// too small that is large enough.
#[derive(Debug, Default)]
pub(super) struct Requests(BTreeMap<String, Quantity>);

impl Requests {
    /// Adds up what `spec` asks for. Amounts that are none are left to the API server.
    pub(super) fn of(spec: &Spec<'_>) -> Self {
        let mut total = BTreeMap::new();
        for (name, amount) in spec.containers.iter().flat_map(of_container) {
            let sum: &mut Quantity = total.entry(name).or_default();
            *sum = sum.plus(amount);
        }
        for (name, amount) in spec.init_containers.iter().flat_map(of_container) {
            let most = total.entry(name).or_default();
            *most = amount.max(*most);
        }
        total.retain(|_, amount| *amount > Quantity::default());
        Self(total)
    }

    /// The first resource of which the Pod asks for more than `allocatable` says, but for [`Requests::unlisted`].
    pub(super) fn beyond(&self, allocatable: impl Fn(&str) -> Quantity) -> Option<&str> {
        let short = |name: &str, amount: &Quantity| {
            let has = allocatable(name);
            has < *amount && (has > Quantity::default() || !is_device(name))
        };
        self.0.iter().find(|(name, amount)| short(name, amount)).map(|(name, _)| name.as_str())
    }

    /// The first device that the Pod asks for and `allocatable` does not name, which proves little: a plugin may name it
    /// in a moment, and the scheduler asks somebody else for what a `DeviceClass` stands for, an extender manages or its
    /// own configuration ignores.
    ///
    /// # Source
    /// `k8s.io/kubernetes/pkg/scheduler/framework/plugins/noderesources`, `fitsRequest`.
    pub(super) fn unlisted(&self, allocatable: impl Fn(&str) -> Quantity) -> Option<&str> {
        let devices = self.0.keys().filter(|name| is_device(name) && !name.starts_with(DEVICE_CLASS));
        devices.map(String::as_str).find(|name| allocatable(name) == Quantity::default())
    }
}

/// Whether a resource is none of the kubelet's own, which have no slash and are all listed.
fn is_device(name: &str) -> bool {
    name.contains('/')
}

/// A container's requests; a limit stands for the request that is not written, as the API server fills it in.
fn of_container(container: &Container<'_>) -> Vec<(String, Quantity)> {
    let parsed = container.resources.map(|raw| serde_json::from_str::<Option<Resources<'_>>>(raw.get()));
    let Some(Ok(Some(Resources { requests, limits }))) = parsed else { return Vec::new() };
    let mut amounts = limits.unwrap_or_default();
    amounts.extend(requests.unwrap_or_default());
    amounts.into_iter().filter_map(|(name, amount)| Some((name.into_owned(), amount.quantity()?))).collect()
}

/// `resources` of a container.
#[derive(Deserialize)]
struct Resources<'a> {
    #[serde(borrow, default)]
    requests: Option<Amounts<'a>>,
    #[serde(borrow, default)]
    limits: Option<Amounts<'a>>,
}

type Amounts<'a> = BTreeMap<Cow<'a, str>, Amount<'a>>;

/// `500m`, or a bare number as people write it in manifests.
#[derive(Deserialize)]
#[serde(untagged)]
enum Amount<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Number(serde_json::Number),
}

impl Amount<'_> {
    fn quantity(&self) -> Option<Quantity> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Number(number) => number.to_string().parse().ok(),
        }
    }
}

/// Devices by the name of their `DeviceClass`: no node lists one, ever. Source: `k8s.io/api/resource/v1`,
/// `ResourceDeviceClassPrefix`.
const DEVICE_CLASS: &str = "deviceclass.resource.kubernetes.io/";

#[cfg(test)]
mod tests {
    use super::*;

    /// The first resource that is short on a node with 2 CPU, 4 GiB and one GPU.
    #[track_caller]
    fn check(spec: &str, want: Option<&str>) {
        assert_eq!(requests(spec).beyond(allocatable), want, "{spec}");
    }

    fn requests(spec: &str) -> Requests {
        Requests::of(&serde_json::from_str(spec).unwrap())
    }

    fn allocatable(name: &str) -> Quantity {
        let all = [("cpu", "2"), ("memory", "4Gi"), ("nvidia.com/gpu", "1")];
        all.into_iter().find(|has| has.0 == name).map_or(Quantity::default(), |has| has.1.parse().unwrap())
    }

    #[test]
    fn adds_up_containers_and_takes_the_largest_init_container() {
        check(r#"{"containers":[{"name":"a"}]}"#, None);
        check(r#"{"containers":[{"resources":{"requests":{"cpu":"1"}}},{"resources":{"requests":{"cpu":1}}}]}"#, None);
        check(
            r#"{"containers":[{"resources":{"requests":{"cpu":"1"}}},{"resources":{"requests":{"cpu":"1001m"}}}]}"#,
            Some("cpu"),
        );
        check(
            r#"{"containers":[{"resources":{"requests":{"cpu":"2"}}}],"initContainers":[{"resources":{"requests":{"cpu":"2"}}}]}"#,
            None,
        );
        check(r#"{"containers":[],"initContainers":[{"resources":{"requests":{"memory":"5Gi"}}}]}"#, Some("memory"));
    }

    #[test]
    fn a_limit_stands_for_a_missing_request() {
        check(r#"{"containers":[{"resources":{"limits":{"memory":"5Gi"}}}]}"#, Some("memory"));
        check(r#"{"containers":[{"resources":{"limits":{"memory":"5Gi"},"requests":{"memory":"1Gi"}}}]}"#, None);
    }

    #[test]
    fn what_every_kubelet_lists_is_short_where_it_is_not_listed() {
        check(r#"{"containers":[{"resources":{"requests":{"hugepages-2Mi":"2Mi"}}}]}"#, Some("hugepages-2Mi"));
        check(r#"{"containers":[{"resources":{"requests":{"hugepages-2Mi":"0"}}}]}"#, None);
        check(r#"{"containers":[{"resources":{"requests":{"cpu":"lots"}}},{"resources":null}]}"#, None);
    }

    #[test]
    fn a_device_is_short_only_where_some_are_listed() {
        let asks = |name: &str, amount: u8| {
            format!(r#"{{"containers":[{{"resources":{{"limits":{{"{name}":{amount}}}}}}}]}}"#)
        };
        let unlisted = |name: &str, amount| requests(&asks(name, amount)).unlisted(allocatable).map(str::to_owned);
        check(&asks("nvidia.com/gpu", 1), None);
        check(&asks("nvidia.com/gpu", 2), Some("nvidia.com/gpu"));
        assert_eq!(unlisted("nvidia.com/gpu", 2), None);
        check(&asks("amd.com/gpu", 1), None);
        assert_eq!(unlisted("amd.com/gpu", 1).as_deref(), Some("amd.com/gpu"));
        assert_eq!(unlisted("amd.com/gpu", 0), None);
        let class = "deviceclass.resource.kubernetes.io/gpu";
        check(&asks(class, 1), None);
        assert_eq!(unlisted(class, 1), None);
        assert_eq!(unlisted("hugepages-2Mi", 1), None);
    }
}
