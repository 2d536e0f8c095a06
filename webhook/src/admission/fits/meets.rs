//! Whether a Pod can ever use a node of which only labels are known.

use super::{Expression, Needs, Operator, Term, affinity::HOSTNAME};
use crate::{
    config::{LabelOperator, LabelRequirement, Selector},
    nodes::Index,
};

impl Needs<'_> {
    /// Whether a node that `selector` selects can have what the Pod asks for. `index` knows the nodes that the Pod may name.
    pub fn can_meet(&self, selector: &Selector, index: &Index) -> bool {
        let given = || selector.requirements.iter().map(Demand::Selector);
        let selected = || self.selector.iter().map(|(key, value)| Demand::Is(key, value));
        let Some(terms) = self.affinity.required() else {
            return is_possible(&given().chain(selected()).collect::<Vec<_>>());
        };
        terms.iter().filter(|term| !term.is_empty()).any(|term| {
            let demands = given().chain(selected()).chain(term.expressions().iter().map(Demand::Term));
            is_possible(&demands.collect::<Vec<_>>()) && leaves_a_name(term, selector, index)
        })
    }
}

/// Whether a term that names its nodes names one that `selector` may select.
fn leaves_a_name(term: &Term<'_>, selector: &Selector, index: &Index) -> bool {
    term.allowed(HOSTNAME).all(|names| {
        names.iter().any(|name| {
            let node = index.get(name).filter(|node| node.hostname() == Some(name));
            node.is_none_or(|node| selector.matches(|key| node.label(key)))
        })
    })
}

/// Something that is asked of one label.
#[derive(Clone, Copy)]
enum Demand<'a> {
    Selector(&'a LabelRequirement),
    Is(&'a str, &'a str),
    Term(&'a Expression<'a>),
}

impl<'a> Demand<'a> {
    fn key(self) -> &'a str {
        match self {
            Self::Selector(requirement) => &requirement.key,
            Self::Is(key, _) => key,
            Self::Term(expression) => &expression.key,
        }
    }

    fn accepts(self, label: Option<&str>) -> bool {
        match self {
            Self::Selector(requirement) => requirement.matches(label),
            Self::Is(_, value) => label == Some(value),
            Self::Term(expression) => expression.matches(label),
        }
    }

    /// The only values that can be accepted; none where others can.
    fn only(self) -> Option<Vec<&'a str>> {
        match self {
            Self::Selector(LabelRequirement { operator: LabelOperator::In, values, .. }) => {
                Some(values.iter().map(String::as_str).collect())
            }
            Self::Is(_, value) => Some(vec![value]),
            Self::Term(expression) if expression.operator == Operator::In => {
                Some(expression.values().iter().map(AsRef::as_ref).collect())
            }
            Self::Selector(_) | Self::Term(_) => None,
        }
    }

    /// The label must not be there.
    fn forbids(self) -> bool {
        match self {
            Self::Selector(requirement) => requirement.operator == LabelOperator::DoesNotExist,
            Self::Is(..) => false,
            Self::Term(expression) => matches!(expression.operator, Operator::DoesNotExist | Operator::Other),
        }
    }
}

/// Whether some labels satisfy all `demands`, each label by itself.
fn is_possible(demands: &[Demand<'_>]) -> bool {
    demands.iter().all(|demand| {
        let others = || demands.iter().copied().filter(|other| other.key() == demand.key());
        let accepted = |label: Option<&str>| others().all(|other| other.accepts(label));
        match others().find_map(Demand::only) {
            Some(values) => values.into_iter().any(|value| accepted(Some(value))),
            None => accepted(None) || !others().any(Demand::forbids),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        admission::decode::Pod,
        nodes::{Node, Now},
    };

    /// Whether a Pod with `spec` can use a node with the label `pool` in `baked` and none called `spot`; node `x` is one,
    /// node `y` is none.
    #[track_caller]
    fn check(spec: &serde_json::Value, want: bool) {
        let requirement = |key: &str, operator, values: &[&str]| LabelRequirement {
            key: key.to_owned(),
            operator,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let requirements = vec![
            requirement("pool", LabelOperator::In, &["baked"]),
            requirement("spot", LabelOperator::DoesNotExist, &[]),
        ];
        let node = |name: &str, pool: &str| -> Node {
            let labels = json!({ "kubernetes.io/hostname": name, "pool": pool });
            serde_json::from_value(json!({ "metadata": { "name": name, "labels": labels } })).unwrap()
        };
        let index = Index::from_nodes([node("x", "baked"), node("y", "plain")], 50, Now::read());
        let text = json!({ "spec": spec }).to_string();
        let pod: Pod<'_> = serde_json::from_str(&text).unwrap();
        assert_eq!(Needs::of(&pod).unwrap().can_meet(&Selector { requirements }, &index), want, "{spec}");
    }

    fn term(key: &str, operator: &str, values: &[&str]) -> serde_json::Value {
        json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] })
    }

    fn terms(terms: &[serde_json::Value]) -> serde_json::Value {
        json!({ "affinity": { "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms },
        } } })
    }

    #[test]
    fn what_the_pod_asks_for_can_exclude_the_labels() {
        check(&json!({}), true);
        check(&json!({ "nodeSelector": { "disk": "ssd" } }), true);
        check(&json!({ "nodeSelector": { "pool": "baked" } }), true);
        check(&json!({ "nodeSelector": { "pool": "plain" } }), false);
        check(&json!({ "nodeSelector": { "spot": "" } }), false);
        check(&terms(&[term("pool", "NotIn", &["baked"])]), false);
        check(&terms(&[term("pool", "NotIn", &["plain"])]), true);
        check(&terms(&[term("pool", "DoesNotExist", &[])]), false);
        check(&terms(&[term("spot", "Exists", &[])]), false);
        check(&terms(&[term("disk", "Exists", &[])]), true);
        check(&terms(&[term("disk", "In", &[])]), false);
        check(&terms(&[term("spot", "Exists", &[]), term("disk", "Exists", &[])]), true); // one is enough
        check(&terms(&[json!({})]), false);
        check(&terms(&[]), false);
    }

    #[test]
    fn a_term_that_names_its_nodes_must_name_one_of_them() {
        check(&terms(&[term(HOSTNAME, "In", &["y"])]), false);
        check(&terms(&[term(HOSTNAME, "In", &["x", "y"])]), true);
        check(&terms(&[term(HOSTNAME, "In", &["unheard-of"])]), true);
    }
}
