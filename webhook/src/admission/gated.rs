//! What becomes of a gated Pod: the steps of its review again, as far as they need no registry.

use std::time::Instant;

use super::{
    Moment, Plan, Subject,
    decode::Pod,
    note::Note,
    place::{Circumstances, Placement, Wanted, blindness, place},
    scope::scope,
    select::{PullPolicy, select},
    verb::{Facts, Verb},
};
use crate::{
    config::{Config, OnMissing},
    image::Reference,
    nodes::{Evidence, Index},
};

/// What becomes of a gated Pod now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It goes where it can run. By another configuration it may have nothing to wait for: then it is placed nowhere.
    Go(Placement),
    /// No node lists what it needs, but there are nodes that cannot tell. A new Pod would go there; this one goes when
    /// it is clear that their lists will not tell: a node that has just joined lists nothing for its first minute.
    Doubt(Placement),
    /// It waits; the notes say for what, where that is known.
    Wait(Vec<Note>),
}

/// What decides about a Pod that exists.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// What the administrator wants.
    pub config: &'a Config,
    /// Berth's own namespace.
    pub own_namespace: &'a str,
    /// What the nodes hold.
    pub index: &'a Index,
    /// When the decision is made, by the clock that stands still where tests stop it.
    pub now: Instant,
}

/// What becomes of `pod`, gated in `namespace`.
pub fn fate(pod: &Pod<'_>, namespace: &str, scene: Scene<'_>) -> Fate {
    let Scene { config, index, now, .. } = scene;
    let Some(wanted) = wanted(pod, namespace, scene) else { return Fate::Go(Placement::default()) };
    let circumstances = Circumstances { controller_alive: true, may_gate: false, now };
    let placement = place(pod, &wanted, Some(index), &config.place, circumstances);
    let waits = config.place.on_missing == OnMissing::Wait && wanted.iter().any(|wanted| wanted.required);
    match placement {
        _ if placement.held || !waits => Fate::Go(placement),
        Placement { gate: true, notes, .. } => Fate::Wait(notes),
        _ if blindness(index, &config.place, now).is_some() => Fate::Wait(Vec::new()),
        _ => Fate::Doubt(placement),
    }
}

/// The images that decide where `pod` can run.
pub fn wanted_by(pod: &Pod<'_>, namespace: &str, scene: Scene<'_>) -> Vec<Reference> {
    let wanted = wanted(pod, namespace, scene).into_iter().flatten();
    wanted.filter(|wanted| wanted.required).map(|wanted| wanted.image).collect()
}

/// What decides where `pod` can run; none where somebody has switched that off.
fn wanted(pod: &Pod<'_>, namespace: &str, scene: Scene<'_>) -> Option<Vec<Wanted>> {
    let Scene { config, own_namespace, index, now } = scene;
    let subject = Subject { pod, old: None, namespace, moment: Moment::Create, proven: false };
    let steps = scope(&subject, config, own_namespace, None).steps;
    let plan = |slot| Plan::of(slot, config, Some(index), now, steps);
    steps.place.then(|| local(&select(&subject).into_iter().map(plan).collect::<Vec<_>>()))
}

/// The images that the Pod was gated for: those that no registry has by what people wrote. Where there is none, it was
/// one that the registry did not have; it was asked at the review, and those that it had got a digest then.
fn local(plans: &[Plan<'_>]) -> Vec<Wanted> {
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
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        admission::place::Requirement,
        nodes::{Node, Now},
    };

    const DIGEST: &str = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    const OTHER: &str = "registry.k8s.io/pause:3.10";

    fn node(name: &str, images: &[&str]) -> Node {
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
    }

    fn scene<'a>(config: &'a Config, index: &'a Index, now: Instant) -> Scene<'a> {
        Scene { config, own_namespace: "berth-system", index, now }
    }

    /// What becomes of a Pod with `containers` (image and policy) where node `a` lists `images` and node `b` nothing.
    #[track_caller]
    fn check(containers: &[(&str, &str)], images: &[&str], change: impl FnOnce(&mut Config), want: Option<&[&str]>) {
        let now = Now::read();
        let index = Index::from_nodes([node("a", &[&[OTHER], images].concat()), node("b", &[OTHER])], 50, now);
        let containers = containers.iter().enumerate().map(|(number, (image, policy))| {
            json!({ "name": number.to_string(), "image": image, "imagePullPolicy": policy })
        });
        let gates = json!([{ "name": "berth.dev/image-on-node" }]);
        let spec = json!({ "containers": containers.collect::<Vec<_>>(), "schedulingGates": gates });
        let text = json!({ "spec": spec }).to_string();
        let mut config = Config::default();
        change(&mut config);
        let pod = serde_json::from_str(&text).unwrap();
        let names = match fate(&pod, "shop", scene(&config, &index, now.instant)) {
            Fate::Go(Placement { required: Some(Requirement::In(names)), .. }) => Some(names),
            Fate::Go(_) => Some(Vec::new()),
            Fate::Wait(notes) => {
                assert!(notes[0].text.starts_with("waits, since no node has "), "{notes:?}");
                None
            }
            Fate::Doubt(_) => panic!("all lists tell"),
        };
        assert_eq!(names, want.map(|want| want.iter().map(|name| (*name).to_owned()).collect()), "{text}");
    }

    /// Lists that cannot tell are no reason to wait for ever, and lists that are not there none to go.
    #[test]
    fn a_node_that_cannot_tell_leaves_a_doubt() {
        let gates = json!([{ "name": "berth.dev/image-on-node" }]);
        let containers = json!([{ "name": "main", "image": "app:dev", "imagePullPolicy": "Never" }]);
        let text = json!({ "spec": { "containers": containers, "schedulingGates": gates } }).to_string();
        let pod = serde_json::from_str(&text).unwrap();
        let read = Now::read();
        let start = read.instant;
        let fate = |nodes: Vec<Node>, now| {
            let index = Index::from_nodes(nodes, 50, read);
            super::fate(&pod, "shop", scene(&Config::default(), &index, now))
        };
        let doubtful = fate(vec![node("a", &[OTHER]), node("empty", &[])], start);
        let Fate::Doubt(Placement { required: Some(Requirement::In(names)), .. }) = doubtful else {
            panic!("{doubtful:?}")
        };
        assert_eq!(names, ["empty"]);
        assert_eq!(fate(vec![], start), Fate::Wait(vec![]), "before the first node");
        let stale = start + Duration::from_secs(301);
        assert_eq!(fate(vec![node("empty", &[])], stale), Fate::Wait(vec![]), "without news");
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
