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

    /// The first resource of which the Pod asks for more than `allocatable` says.
    pub(super) fn beyond(&self, allocatable: impl Fn(&str) -> Quantity) -> Option<&str> {
        let short = |name: &&String, amount: &Quantity| allocatable(name) < *amount;
        self.0.iter().find(|(name, amount)| short(name, amount)).map(|(name, _)| name.as_str())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The first resource that is short on a node with 2 CPU, 4 GiB and one GPU.
    #[track_caller]
    fn check(spec: &str, want: Option<&str>) {
        let parsed: Spec = serde_json::from_str(spec).unwrap();
        let allocatable = |name: &str| {
            let text = [("cpu", "2"), ("memory", "4Gi"), ("nvidia.com/gpu", "1")].into_iter().find(|has| has.0 == name);
            text.map_or(Quantity::default(), |has| has.1.parse().unwrap())
        };
        assert_eq!(Requests::of(&parsed).beyond(allocatable), want, "{spec}");
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
    fn a_resource_that_the_node_does_not_have_is_short_unless_none_is_asked_for() {
        check(r#"{"containers":[{"resources":{"requests":{"amd.com/gpu":"1"}}}]}"#, Some("amd.com/gpu"));
        check(r#"{"containers":[{"resources":{"requests":{"amd.com/gpu":"0"}}}]}"#, None);
        check(r#"{"containers":[{"resources":{"requests":{"cpu":"lots"}}},{"resources":null}]}"#, None);
    }
}
