//! `spec.affinity`, as far as it says which nodes a Pod may use, with Kubernetes' own semantics.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::config::{LabelOperator, LabelRequirement, Selector};

/// `spec.affinity`. Every level may be missing or `null`, which is the same.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Affinity<'a> {
    /// The part that is about nodes.
    #[serde(borrow, default)]
    pub node_affinity: Option<NodeAffinity<'a>>,
}

/// `spec.affinity.nodeAffinity`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeAffinity<'a> {
    /// What a node must match.
    #[serde(borrow, default, rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    pub required: Option<Terms<'a>>,
    /// What a node should match.
    #[serde(borrow, default, rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    pub preferred: Option<Vec<Preference<'a>>>,
}

/// A node selector: one of its terms must match. Without a term it matches nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Terms<'a> {
    /// The terms.
    #[serde(borrow, default)]
    pub node_selector_terms: Option<Vec<Term<'a>>>,
}

/// A preferred term; its weight does not matter here.
#[derive(Debug, Deserialize)]
pub struct Preference<'a> {
    /// The term.
    #[serde(borrow, default)]
    pub preference: Term<'a>,
}

/// A term: all of its requirements must match. Without a requirement it matches nothing.
///
/// # Source
/// `k8s.io/component-helpers/scheduling/corev1/nodeaffinity`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Term<'a> {
    /// Requirements on labels.
    #[serde(borrow, default)]
    pub match_expressions: Option<Vec<Expression<'a>>>,
    /// Requirements on `metadata.name`, the only field there is.
    #[serde(borrow, default)]
    pub match_fields: Option<Vec<Expression<'a>>>,
}

/// A requirement on one label or field.
#[derive(Debug, Deserialize)]
pub struct Expression<'a> {
    /// The label or field.
    #[serde(borrow, default)]
    pub key: Cow<'a, str>,
    /// How it is compared.
    #[serde(default)]
    pub operator: Operator,
    /// With what.
    #[serde(borrow, default)]
    pub values: Option<Vec<Cow<'a, str>>>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub enum Operator {
    /// It has one of the values.
    In,
    /// It is missing or has none of the values.
    NotIn,
    /// It is there.
    Exists,
    /// It is missing.
    DoesNotExist,
    /// It is an integer above the value.
    Gt,
    /// It is an integer below the value.
    Lt,
    /// Nothing that Kubernetes knows: the term matches nothing.
    #[default]
    #[serde(other)]
    Other,
}

impl From<LabelOperator> for Operator {
    fn from(operator: LabelOperator) -> Self {
        match operator {
            LabelOperator::In => Self::In,
            LabelOperator::NotIn => Self::NotIn,
            LabelOperator::Exists => Self::Exists,
            LabelOperator::DoesNotExist => Self::DoesNotExist,
        }
    }
}

impl<'a> Affinity<'a> {
    /// Reads `spec.affinity`; none where it is missing or `null`.
    pub fn parse(raw: Option<&'a RawValue>) -> serde_json::Result<Option<Self>> {
        raw.map_or(Ok(None), |raw| serde_json::from_str(raw.get()))
    }

    /// The terms of which a node must match one; none where any node will do.
    pub fn required(&self) -> Option<&[Term<'a>]> {
        self.node_affinity.as_ref()?.required.as_ref().map(Terms::terms)
    }

    /// Whether a preferred term names just these values of the label `key`.
    pub fn prefers(&self, key: &str, values: &[String]) -> bool {
        let preferred = self.node_affinity.as_ref().and_then(|affinity| affinity.preferred.as_deref());
        let named = preferred.unwrap_or_default().iter().flat_map(|term| term.preference.allowed(key));
        named.into_iter().any(|named| named.iter().map(AsRef::as_ref).eq(values.iter()))
    }

    /// Whether a preferred term asks for all that `selector` does.
    pub fn prefers_labels(&self, selector: &Selector) -> bool {
        let preferred = self.node_affinity.as_ref().and_then(|affinity| affinity.preferred.as_deref());
        preferred.unwrap_or_default().iter().any(|term| term.preference.demands(selector))
    }

    /// The one node that the Pod is bound to by a required `metadata.name`, as the `DaemonSet` controller writes it: the
    /// same in all terms, since one that names another node or none is a way out.
    pub fn bound_to(&self) -> Option<&str> {
        let mut names = self.required()?.iter().filter(|term| !term.is_empty()).map(Term::node);
        let first = names.next()??;
        names.all(|name| name == Some(first)).then_some(first)
    }

    /// Whether a node with this name and these labels has what is required.
    pub fn admits<'n>(&self, name: &str, label: impl Fn(&str) -> Option<&'n str>) -> bool {
        self.required().is_none_or(|terms| terms.iter().any(|term| term.matches(name, &label)))
    }
}

impl<'a> Terms<'a> {
    /// The terms.
    pub fn terms(&self) -> &[Term<'a>] {
        self.node_selector_terms.as_deref().unwrap_or_default()
    }
}

impl<'a> Term<'a> {
    /// The requirements on labels.
    pub fn expressions(&self) -> &[Expression<'a>] {
        self.match_expressions.as_deref().unwrap_or_default()
    }

    /// The requirements on fields.
    pub fn fields(&self) -> &[Expression<'a>] {
        self.match_fields.as_deref().unwrap_or_default()
    }

    /// The one node that its fields name.
    fn node(&self) -> Option<&str> {
        let mut names = self.fields().iter().filter(|field| field.key == NAME_FIELD && field.operator == Operator::In);
        names.find_map(|field| field.values().first()).map(AsRef::as_ref)
    }

    /// A term without requirements, which matches nothing and must stay so.
    pub fn is_empty(&self) -> bool {
        self.expressions().is_empty() && self.fields().is_empty()
    }

    /// The values of each `In` on the label `key`: no others can match.
    pub fn allowed(&self, key: &str) -> impl Iterator<Item = &[Cow<'a, str>]> {
        let lists = self.expressions().iter().filter(move |one| one.operator == Operator::In && one.key == key);
        lists.filter_map(|list| list.values.as_deref()).filter(|values| !values.is_empty())
    }

    /// Whether the term asks for all that `selector` does.
    pub fn demands(&self, selector: &Selector) -> bool {
        let same = |expression: &Expression<'_>, requirement: &LabelRequirement| {
            let values = expression.values().iter().map(AsRef::as_ref);
            expression.key == requirement.key
                && Operator::from(requirement.operator) == expression.operator
                && values.eq(requirement.values.iter())
        };
        let stands = |requirement| self.expressions().iter().any(|expression| same(expression, requirement));
        selector.requirements.iter().all(stands)
    }

    /// Whether a node with this name and these labels matches.
    pub fn matches<'n>(&self, name: &str, label: impl Fn(&str) -> Option<&'n str>) -> bool {
        // One malformed requirement voids the whole term, also where another already does not match.
        !self.is_empty()
            && self.expressions().iter().all(|expression| expression.matches(label(&expression.key)))
            && self.fields().iter().all(|field| field.matches_field(name))
    }
}

impl Expression<'_> {
    /// The values.
    pub fn values(&self) -> &[Cow<'_, str>] {
        self.values.as_deref().unwrap_or_default()
    }

    pub(super) fn matches(&self, label: Option<&str>) -> bool {
        let has = |label: &str| self.values().iter().any(|value| value == label);
        let integers = || Some((label?.parse::<i64>().ok()?, self.integer()?));
        match self.operator {
            Operator::In => label.is_some_and(has),
            Operator::NotIn => !self.values().is_empty() && !label.is_some_and(has),
            Operator::Exists => self.values().is_empty() && label.is_some(),
            Operator::DoesNotExist => self.values().is_empty() && label.is_none(),
            Operator::Gt => integers().is_some_and(|(label, value)| label > value),
            Operator::Lt => integers().is_some_and(|(label, value)| label < value),
            Operator::Other => false,
        }
    }

    fn matches_field(&self, name: &str) -> bool {
        let ([value], NAME_FIELD) = (self.values(), self.key.as_ref()) else { return false };
        match self.operator {
            Operator::In => value == name,
            Operator::NotIn => value != name,
            _ => false,
        }
    }

    /// The one value of `Gt` and `Lt`.
    fn integer(&self) -> Option<i64> {
        let [value] = self.values() else { return None };
        value.parse().ok()
    }
}

/// The label by which affinity names nodes. A node can lack it, and its value can differ from the node's name.
pub const HOSTNAME: &str = "kubernetes.io/hostname";
/// The only field that `matchFields` knows.
const NAME_FIELD: &str = "metadata.name";

#[cfg(test)]
mod tests;
