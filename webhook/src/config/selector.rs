//! Label selectors, as Kubernetes writes them: `matchLabels` and `matchExpressions`.

use std::fmt;

use super::{section::Section, value, yaml::Value};

/// What the labels of a node must be: all of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Selector {
    /// At least one.
    pub requirements: Vec<LabelRequirement>,
}

/// A requirement on one label.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LabelRequirement {
    /// The label.
    pub key: String,
    /// How it is compared.
    pub operator: LabelOperator,
    /// With what; nothing for `Exists` and `DoesNotExist`, else at least one.
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LabelOperator {
    /// It has one of the values.
    In,
    /// It is missing or has none of the values.
    NotIn,
    /// It is there.
    Exists,
    /// It is missing.
    DoesNotExist,
}

impl Selector {
    /// Whether a node with these labels is selected.
    pub fn matches<'n>(&self, label: impl Fn(&str) -> Option<&'n str>) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(label(&requirement.key)))
    }

    /// What both select.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let more = other.requirements.iter().filter(|requirement| !self.requirements.contains(requirement));
        Self { requirements: self.requirements.iter().chain(more).cloned().collect() }
    }

    /// The mapping at `key`; none where it selects nothing or everything, which is an error.
    pub(super) fn read(section: &mut Section<'_, '_>, key: &'static str) -> Option<Self> {
        let place = section.place_of(key);
        let mut selector = section.section(key);
        let labels = selector
            .pairs("matchLabels", label_key, label_value)
            .into_iter()
            .map(|(key, value)| LabelRequirement { key, operator: LabelOperator::In, values: vec![value] });
        let mut requirements: Vec<_> = labels.collect();
        requirements.extend(selector.sections("matchExpressions", LabelRequirement::read));
        selector.finish();
        if requirements.is_empty() {
            let text = "it says nothing of the nodes; write `{matchLabels: {pool: baked}}`";
            section.findings().errors.push(place.finding(text));
            return None;
        }
        Some(Self { requirements })
    }
}

impl LabelRequirement {
    /// Whether a label with this value, or a missing one, is as required.
    pub fn matches(&self, label: Option<&str>) -> bool {
        let listed = label.is_some_and(|label| self.values.iter().any(|value| value == label));
        match self.operator {
            LabelOperator::In => listed,
            LabelOperator::NotIn => !listed,
            LabelOperator::Exists => label.is_some(),
            LabelOperator::DoesNotExist => label.is_none(),
        }
    }

    fn read(mut section: Section<'_, '_>) -> Option<Self> {
        let operators = [LabelOperator::In, LabelOperator::NotIn, LabelOperator::Exists, LabelOperator::DoesNotExist];
        let operators = operators.map(|operator| (operator.as_str(), operator));
        let key = section.required("key", "pool", |value| label_key(value::text(value)?));
        let operator = section.required("operator", "In", value::choice(&operators));
        let values = section.list("values", label_value).unwrap_or_default();
        match operator {
            Some(LabelOperator::In | LabelOperator::NotIn) if values.is_empty() => {
                section.error("values", "it must name at least one value; write `values: [baked]`");
            }
            Some(LabelOperator::Exists | LabelOperator::DoesNotExist) if !values.is_empty() => {
                section.error("values", "with `Exists` and `DoesNotExist` there are no values; leave it out");
            }
            _ => (),
        }
        section.finish();
        Some(Self { key: key?, operator: operator?, values })
    }
}

impl LabelOperator {
    /// As Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::In => "In",
            Self::NotIn => "NotIn",
            Self::Exists => "Exists",
            Self::DoesNotExist => "DoesNotExist",
        }
    }
}

/// As `kubectl -l` takes it: `pool=baked,gpu notin (a100,h100),!spot`.
impl fmt::Display for Selector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, LabelRequirement { key, operator, values }) in self.requirements.iter().enumerate() {
            formatter.write_str(if number > 0 { "," } else { "" })?;
            match (operator, values.as_slice()) {
                (LabelOperator::In, [value]) => write!(formatter, "{key}={value}")?,
                (LabelOperator::In, values) => write!(formatter, "{key} in ({})", values.join(","))?,
                (LabelOperator::NotIn, values) => write!(formatter, "{key} notin ({})", values.join(","))?,
                (LabelOperator::Exists, _) => formatter.write_str(key)?,
                (LabelOperator::DoesNotExist, _) => write!(formatter, "!{key}")?,
            }
        }
        Ok(())
    }
}

/// The name of a label: `pool` or `example.com/pool`. Source: `IsQualifiedName` of Kubernetes.
fn label_key(text: &str) -> Result<String, String> {
    let (prefix, name) = text.rsplit_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    let dns = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let domain = |prefix: &str| {
        let alphanumeric = |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
        prefix.len() <= 253 && prefix.bytes().all(dns) && prefix.split('.').all(alphanumeric)
    };
    let good = !name.is_empty() && is_label(name) && prefix.is_none_or(domain);
    if good { Ok(text.to_owned()) } else { Err(format!("`{}` is not the name of a label", text.escape_debug())) }
}

/// The value of a label, which may be empty. A number or `true` is meant as its text, as Kubernetes would have it quoted.
fn label_value(value: &Value) -> Result<String, String> {
    let (Value::Plain(text) | Value::Text(text)) = value else {
        return Err(format!("{} is not the value of a label", value.describe()));
    };
    if is_label(text) { Ok(text.clone()) } else { Err(format!("{} is not the value of a label", value.describe())) }
}

/// At most 63 letters, digits, `-`, `_` and `.`, letters or digits at both ends; or nothing.
fn is_label(text: &str) -> bool {
    let ends = [text.chars().next(), text.chars().next_back()];
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= 63 && text.bytes().all(inside) && ends.iter().flatten().all(char::is_ascii_alphanumeric)
}
