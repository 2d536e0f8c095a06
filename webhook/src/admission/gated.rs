//! What becomes of a gated Pod: the steps of its review again, as far as they need no registry.

use std::time::Instant;

use super::{
    Moment, Plan, Subject,
    decode::Pod,
    place::{Circumstances, Placement, Wanted, place},
    scope::scope,
    select::{PullPolicy, select},
    verb::{Facts, Verb},
};
use crate::{
    config::{Config, OnMissing},
    nodes::{Evidence, Index},
};

/// Where `pod`, gated in `namespace`, can run now; none while it has to go on waiting.
///
/// A gate can always be opened: a Pod that has nothing to wait for any more, by another configuration, is placed nowhere.
pub fn release(
    pod: &Pod<'_>,
    namespace: &str,
    config: &Config,
    own_namespace: &str,
    index: &Index,
    now: Instant,
) -> Option<Placement> {
    let subject = Subject { pod, old: None, namespace, moment: Moment::Create, proven: false };
    let steps = scope(&subject, config, own_namespace, None).steps;
    if !steps.place {
        return Some(Placement::default());
    }
    let slots = select(&subject).into_iter();
    let plans: Vec<_> = slots.map(|slot| Plan::of(slot, config, Some(index), now, steps)).collect();
    let wanted = wanted(&plans);
    let circumstances = Circumstances { controller_alive: true, may_gate: false, now };
    let placement = place(pod, &wanted, Some(index), &config.place, circumstances);
    let waits = config.place.on_missing == OnMissing::Wait && wanted.iter().any(|wanted| wanted.required);
    (placement.held || !waits).then_some(placement)
}

/// The images that the Pod was gated for: those that no registry has by what people wrote. Where there is none, it was
/// one that the registry did not have; it was asked at the review, and those that it had got a digest then.
fn wanted(plans: &[Plan<'_>]) -> Vec<Wanted> {
    let is_local = |plan: &Plan<'_>| matches!(plan.verb, Verb::Place { .. });
    let any_local = plans.iter().any(is_local);
    let wanted = plans.iter().filter_map(|plan| {
        let (image, facts) = (plan.slot.reference.as_ref().ok()?, plan.facts.as_ref()?);
        let required = is_local(plan) || !any_local;
        let wanted = Wanted { about: plan.slot.name.to_owned(), image: image.clone(), policy: facts.policy, required };
        (is_local(plan) || is_pull_in_doubt(facts)).then_some(wanted)
    });
    wanted.collect()
}

/// Whether it may be an image that no registry has, as far as can be told without asking one.
fn is_pull_in_doubt(facts: &Facts) -> bool {
    let written = facts.ignored || facts.registered || facts.mirrored;
    let listed_as_pulled = facts.evidence == Evidence::Listed;
    facts.policy == PullPolicy::IfNotPresent && !facts.digest && !written && !listed_as_pulled
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{admission::place::Requirement, nodes::Now};

    const DIGEST: &str = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    /// What becomes of a Pod with `containers` (image and policy) where node `a` lists `images` and node `b` nothing.
    #[track_caller]
    fn check(containers: &[(&str, &str)], images: &[&str], change: impl FnOnce(&mut Config), want: Option<&[&str]>) {
        let node = |name: &str, images: &[&str]| {
            let images: Vec<Value> =
                images.iter().map(|names| json!({ "names": names.split(' ').collect::<Vec<_>>() })).collect();
            serde_json::from_value(json!({
                "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } },
                "status": {
                    "conditions": [{ "type": "Ready", "status": "True" }],
                    "nodeInfo": { "containerRuntimeVersion": "containerd://2.1.4" },
                    "images": images,
                },
            }))
            .unwrap()
        };
        let other = "registry.k8s.io/pause:3.10";
        let now = Now::read();
        let index = Index::from_nodes([node("a", &[&[other], images].concat()), node("b", &[other])], 50, now);
        let containers = containers.iter().enumerate().map(|(number, (image, policy))| {
            json!({ "name": number.to_string(), "image": image, "imagePullPolicy": policy })
        });
        let text = json!({ "spec": { "containers": containers.collect::<Vec<_>>() } }).to_string();
        let mut config = Config::default();
        change(&mut config);
        let pod = serde_json::from_str(&text).unwrap();
        let placement = release(&pod, "shop", &config, "berth-system", &index, now.instant);
        let names = placement.map(|placement| match placement.required {
            Some(Requirement::In(names)) => names,
            _ => Vec::new(),
        });
        assert_eq!(names, want.map(|want| want.iter().map(|name| (*name).to_owned()).collect()), "{text}");
    }

    fn as_is(_: &mut Config) {}

    #[test]
    fn what_is_never_pulled_is_waited_for() {
        let app = "docker.io/library/app:dev";
        check(&[("app:dev", "Never")], &[], as_is, None);
        check(&[("app:dev", "Never")], &[app], as_is, Some(&["a"]));
        let both = [("app:dev", "Never"), ("web:1", "IfNotPresent")];
        check(&both, &[app], as_is, Some(&["a"]));
        let local = |config: &mut Config| config.place.local = vec!["app".parse().unwrap()];
        check(&[("app:dev", "IfNotPresent")], &[], local, None);
        check(&[("app:dev", "IfNotPresent"), ("web:1", "IfNotPresent")], &[app], local, Some(&["a"]));
    }

    #[test]
    fn where_nothing_is_local_the_registry_had_not_what_has_no_digest() {
        let app = "docker.io/library/app:dev";
        let pinned = format!("web:1{DIGEST}");
        check(&[("app:dev", "IfNotPresent"), (&pinned, "IfNotPresent")], &[], as_is, None);
        check(&[("app:dev", "IfNotPresent"), (&pinned, "IfNotPresent")], &[app], as_is, Some(&["a"]));
    }

    #[test]
    fn a_pod_with_nothing_to_wait_for_goes_anywhere() {
        check(&[("app:1", "Always")], &[], as_is, Some(&[]));
        let pulled = format!("docker.io/library/app{DIGEST} docker.io/library/app:dev");
        check(&[("app:dev", "IfNotPresent")], &[&pulled], as_is, Some(&[]));
        let admit = |config: &mut Config| config.place.on_missing = OnMissing::Admit;
        check(&[("app:dev", "Never")], &[], admit, Some(&[]));
    }
}
