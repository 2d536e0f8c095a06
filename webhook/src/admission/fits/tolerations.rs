//! Tolerations against taints, with Kubernetes' own semantics.

use std::borrow::Cow;

use serde::Deserialize;

use crate::nodes::node::{Effect, Taint};

/// One of `spec.tolerations`.
///
/// # Source
/// `k8s.io/api/core/v1`, `Toleration.ToleratesTaint`.
#[derive(Debug, Deserialize)]
pub(super) struct Toleration<'a> {
    /// Empty for every taint.
    #[serde(borrow, default)]
    key: Option<Cow<'a, str>>,
    /// `Equal` where it is missing.
    #[serde(borrow, default)]
    operator: Option<Cow<'a, str>>,
    /// Empty for `Exists`.
    #[serde(borrow, default)]
    value: Option<Cow<'a, str>>,
    /// Missing for every effect.
    #[serde(default)]
    effect: Option<Cow<'a, str>>,
}

impl Toleration<'_> {
    /// Whether a Pod with this toleration may run in spite of `taint`.
    pub(super) fn tolerates(&self, taint: &Taint) -> bool {
        let key = self.key.as_deref().unwrap_or_default();
        let value = self.value.as_deref().unwrap_or_default();
        let covers_effect = match self.effect.as_deref().unwrap_or_default() {
            "" => true,
            "NoSchedule" => taint.effect == Effect::NoSchedule,
            "PreferNoSchedule" => taint.effect == Effect::PreferNoSchedule,
            "NoExecute" => taint.effect == Effect::NoExecute,
            _ => false,
        };
        let integers = || Some((taint.value.parse::<i64>().ok()?, value.parse::<i64>().ok()?));
        covers_effect
            && (key.is_empty() || key == taint.key)
            && match self.operator.as_deref().unwrap_or_default() {
                "" | "Equal" => value == taint.value,
                "Exists" => true,
                "Gt" => integers().is_some_and(|(taint, value)| taint > value),
                "Lt" => integers().is_some_and(|(taint, value)| taint < value),
                _ => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `toleration` tolerates the taint `team=red:NoSchedule`, or `sla=95:NoExecute`.
    #[track_caller]
    fn check(toleration: &str, red: bool, sla: bool) {
        let taint = |key: &str, value: &str, effect| Taint { key: key.into(), value: value.into(), effect };
        let parsed: Toleration = serde_json::from_str(toleration).unwrap();
        assert_eq!(parsed.tolerates(&taint("team", "red", Effect::NoSchedule)), red, "{toleration} against team");
        assert_eq!(parsed.tolerates(&taint("sla", "95", Effect::NoExecute)), sla, "{toleration} against sla");
    }

    #[test]
    fn tolerates_as_kubernetes_does() {
        check(r#"{"operator":"Exists"}"#, true, true);
        check(r#"{"operator":"Exists","effect":"NoSchedule"}"#, true, false);
        check(r#"{"operator":"Exists","effect":"Sometimes"}"#, false, false);
        check(r#"{"key":"team","operator":"Exists"}"#, true, false);
        check(r#"{"key":"team","value":"red"}"#, true, false);
        check(r#"{"key":"team","operator":"Equal","value":"red","effect":null}"#, true, false);
        check(r#"{"key":"team","value":"red","effect":"NoExecute"}"#, false, false);
        check(r#"{"key":"team","value":"blue"}"#, false, false);
        check(r#"{"key":"team"}"#, false, false);
        check(r#"{"key":"sla","operator":"Gt","value":"90"}"#, false, true);
        check(r#"{"key":"sla","operator":"Gt","value":"95"}"#, false, false);
        check(r#"{"key":"sla","operator":"Lt","value":"96"}"#, false, true);
        check(r#"{"key":"team","operator":"Gt","value":"1"}"#, false, false);
        check(r#"{"key":"team","operator":"Like","value":"red"}"#, false, false);
    }
}
