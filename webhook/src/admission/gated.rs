//! What becomes of a gated Pod: the steps of its review again, as far as they need no registry.

use std::{collections::HashSet, time::Instant};

use super::{
    Moment, Plan, Subject,
    decode::Pod,
    note::Note,
    patch::LOCAL_IMAGES,
    place::{Circumstances, Placement, Wanted, blindness, place},
    scope::{annotation, scope},
    select::{PullPolicy, select},
    verb::Verb,
};
use crate::{
    config::{Config, OnMissing},
    image::Reference,
    nodes::Index,
};

/// What becomes of a gated Pod now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It goes where it can run. By another configuration it may have nothing to wait for: then it is placed nowhere.
    Go(Placement),
    /// No node lists what it needs, images and devices, but there are nodes that cannot tell. A new Pod would go there;
    /// this one goes when it is clear that their lists will not tell: a node that has just joined lists nothing for its
    /// first minute.
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
    let found = annotation(&pod.metadata, LOCAL_IMAGES).unwrap_or_default();
    let found: HashSet<&str> = found.split(',').collect();
    let plans = select(&subject).into_iter().map(|slot| Plan::of(slot, config, Some(index), now, steps));
    steps.place.then(|| plans.filter_map(|plan| needed(&plan, &found)).collect())
}

/// The image of `plan` where the Pod needs nodes that hold it: those that no registry has by what people write, and those
/// of which the review has heard and written down so. Nobody is asked again, and what is only likely is a preference.
fn needed(plan: &Plan<'_>, found: &HashSet<&str>) -> Option<Wanted> {
    let (image, facts) = (plan.slot.reference.as_ref().ok()?, plan.facts.as_ref()?);
    let by_review = facts.policy == PullPolicy::IfNotPresent && found.contains(plan.slot.image);
    let required = matches!(plan.verb, Verb::Place { .. }) || by_review;
    let wanted = Wanted { about: plan.slot.name.to_owned(), image: image.clone(), policy: facts.policy, required };
    (required || facts.claimed()).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        admission::place::Requirement,
        config::Strategy,
        nodes::{Node, Now},
    };

    const DIGEST: &str = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    const APP: &str = "docker.io/library/app:dev";

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

    /// A gated Pod with `containers` (image and policy), where the review has `found` that no registry has some of them.
    fn pod(found: &str, containers: &[(&str, &str)]) -> String {
        let containers = containers.iter().enumerate().map(|(number, (image, policy))| {
            json!({ "name": number.to_string(), "image": image, "imagePullPolicy": policy })
        });
        let gates = json!([{ "name": "berth.dev/image-on-node" }]);
        let metadata = json!({ "annotations": { "berth.dev/local-images": found } });
        let spec = json!({ "containers": containers.collect::<Vec<_>>(), "schedulingGates": gates });
        json!({ "metadata": metadata, "spec": spec }).to_string()
    }

    /// The images without which such a Pod cannot run, where no node lists any.
    fn required(found: &str, containers: &[(&str, &str)]) -> Vec<String> {
        let (text, now, config) = (pod(found, containers), Now::read(), Config::default());
        let index = Index::from_nodes([node("a", &[OTHER])], 50, now);
        let images = wanted_by(&serde_json::from_str(&text).unwrap(), "shop", scene(&config, &index, now.instant));
        images.iter().map(ToString::to_string).collect()
    }

    /// What becomes of such a Pod where node `a` lists `images` and node `b` nothing.
    #[track_caller]
    fn check(
        found: &str,
        containers: &[(&str, &str)],
        images: &[&str],
        change: impl FnOnce(&mut Config),
        want: Option<&[&str]>,
    ) {
        let now = Now::read();
        let index = Index::from_nodes([node("a", &[&[OTHER], images].concat()), node("b", &[OTHER])], 50, now);
        let text = pod(found, containers);
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

    /// A gate stays until the scheduler can be told where the image is.
    #[test]
    fn a_node_that_cannot_be_named_opens_no_gate() {
        let (text, read) = (pod("", &[("app:dev", "Never")]), Now::read());
        let pod = serde_json::from_str(&text).unwrap();
        let mut config = Config::default();
        config.place.strategy = Strategy::Strict;
        let fate = |holder: &Node| {
            let mut index = Index::from_nodes([node("b", &[OTHER])], 50, read);
            index.apply(holder);
            super::fate(&pod, "shop", scene(&config, &index, read.instant))
        };
        let mut holder = node("a", &[OTHER, APP]);
        holder.metadata.labels = None;
        let Fate::Wait(notes) = fate(&holder) else { panic!("{:?}", fate(&holder)) };
        assert!(notes[0].text.starts_with("waits, since node a has no label kubernetes.io/hostname"), "{notes:?}");
        let Fate::Go(placement) = fate(&node("a", &[OTHER, APP])) else { panic!("its label is back") };
        assert_eq!(placement.required, Some(Requirement::In(vec!["a".to_owned()])));
    }

    fn as_is(_: &mut Config) {}

    fn local(config: &mut Config) {
        config.place.local = vec!["app".parse().unwrap()];
    }

    #[test]
    fn what_is_local_as_it_is_written_is_waited_for() {
        check("", &[("app:dev", "Never")], &[], as_is, None);
        check("", &[("app:dev", "Never")], &[APP], as_is, Some(&["a"]));
        let both = [("app:dev", "Never"), ("web:1", "IfNotPresent")];
        check("", &both, &[APP], as_is, Some(&["a"]));
        check("", &[("app:dev", "IfNotPresent")], &[], local, None);
        check("", &[("app:dev", "IfNotPresent"), ("web:1", "IfNotPresent")], &[APP], local, Some(&["a"]));
    }

    /// A sidecar that no node lists yet can be pulled, for all that is known.
    #[test]
    fn what_the_review_found_to_be_local_is_waited_for_and_nothing_else() {
        let containers = [("app:dev", "IfNotPresent"), ("web:1", "IfNotPresent")];
        check("app:dev", &containers, &[], as_is, None);
        check("app:dev", &containers, &[APP], as_is, Some(&["a"]));
        assert_eq!(required("app:dev", &containers), ["app:dev"], "for a Pod that is stuck, too");
        check("app:dev,web:1", &containers, &[APP], as_is, None);
        check("app:dev,web:1", &containers, &[APP, "docker.io/library/web:1"], as_is, Some(&["a"]));
        // Beside one that is local as it is written.
        let beside = [("db:dev", "Never"), ("app:dev", "IfNotPresent")];
        check("app:dev", &beside, &["docker.io/library/db:dev"], as_is, None);
        // A digest of another tag says nothing about this one.
        let pulled = format!("docker.io/library/app{DIGEST} docker.io/library/app:1");
        check("app:dev", &containers, &[&pulled], as_is, None);
        // A rule for mirrors changes nothing in a Pod that exists, and may have been switched off for it.
        let mirrored = |config: &mut Config| {
            let rule = "apiVersion: berth.dev/v1alpha1\nkind: Configuration\n\
                        mirror: {rules: [{source: docker.io, mirror: harbor.local/hub}]}\n";
            config.mirror = crate::config::parse(rule, "test").unwrap().0.mirror;
        };
        check("app:dev", &containers, &[], mirrored, None);
    }

    /// The images of a gated Pod may be edited, its pull policies not.
    #[test]
    fn a_pod_that_has_another_image_by_now_goes_anywhere() {
        check("app:dev", &[("nginx:1.27", "IfNotPresent")], &[APP], as_is, Some(&[]));
        check("", &[("nginx:1.27", "IfNotPresent")], &[APP], local, Some(&[]));
        check("app:dev,db:dev", &[("nginx:1.27", "IfNotPresent"), ("db:dev", "IfNotPresent")], &[APP], as_is, None);
    }

    #[test]
    fn a_pod_with_nothing_to_wait_for_goes_anywhere() {
        check("", &[("app:dev", "IfNotPresent")], &[], as_is, Some(&[])); // not under `place.local` any more
        check("", &[("app:1", "Always")], &[], as_is, Some(&[]));
        check("app:1", &[("app:1", "Always")], &[], as_is, Some(&[])); // its kubelet asks a registry, whoever holds it
        let pulled = format!("docker.io/library/app{DIGEST} docker.io/library/app:dev");
        check("", &[("app:dev", "IfNotPresent")], &[&pulled], as_is, Some(&[]));
        let admit = |config: &mut Config| config.place.on_missing = OnMissing::Admit;
        check("", &[("app:dev", "Never")], &[], admit, Some(&[]));
        check("app:dev", &[("app:dev", "IfNotPresent")], &[], admit, Some(&[]));
    }
}
