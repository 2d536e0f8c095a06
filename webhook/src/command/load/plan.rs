//! Which nodes get the image, and by which command.

use std::fs;

use anyhow::{bail, ensure};

use super::{How, Which};
use crate::{
    image::Digest,
    load::{
        archive::Build,
        via::{Facts, Preset, Via},
    },
    nodes::Node,
};

/// A node that will be loaded.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: String,
    /// `amd64`; empty where the kubelet has not said.
    pub(super) architecture: String,
    /// A program and its arguments.
    pub(super) command: Vec<String>,
}

impl Target {
    /// For `--dry-run`: as a shell would need it.
    pub(super) fn line(&self) -> String {
        let words = shlex::try_join(self.command.iter().map(String::as_str)).unwrap_or_default();
        format!("{}: {words}\n", self.name)
    }

    /// Whether none of `builds` is for its architecture, as far as they say.
    pub(super) fn is_strange_to(&self, builds: &[Build]) -> bool {
        !builds.is_empty() && id(builds, &self.architecture).is_none()
    }

    /// What is wrong with it then.
    pub(super) fn mismatch(&self, builds: &[Build]) -> String {
        let has: Vec<&str> = builds.iter().map(|build| build.architecture.as_str()).collect();
        format!("it is {}, and the image is built for {}", self.architecture, has.join(", "))
    }
}

/// The nodes that `which` names, each with its command.
pub(super) fn targets(nodes: &[Node], which: &Which, how: Option<&How>, protect: bool) -> anyhow::Result<Vec<Target>> {
    let chosen = chosen(nodes, which)?;
    if let Some(How::Command(via)) = how {
        ensure!(
            chosen.len() == 1 || via.names_the_node(),
            "--via would run the same command for all nodes: write {{node}} in it"
        );
    }
    let here = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let (mut targets, mut unknown) = (Vec::new(), Vec::new());
    for node in chosen {
        match via(node, how, here.trim()) {
            Some(via) => targets.push(target(node, &if protect { via.protected() } else { via })?),
            None => unknown.push(node.name()),
        }
    }
    if let Some(first) = unknown.first() {
        let others = match unknown.len() {
            1 => String::new(),
            all => format!(", and {} more", all - 1),
        };
        bail!(
            "how is {first} reached{others}? Say --via COMMAND, as in --via 'ssh {{node}} sudo ctr -n k8s.io images import -', \
             or load it in another way and run berth loaded"
        );
    }
    Ok(targets)
}

fn target(node: &Node, via: &Via) -> anyhow::Result<Target> {
    let (name, architecture) = (node.name().to_owned(), node.status.node_info.architecture.clone());
    Ok(Target { command: via.command(&name)?, name, architecture })
}

/// As was said, else as the node says; none where nobody does.
fn via(node: &Node, how: Option<&How>, here: &str) -> Option<Via> {
    let name = node.name();
    let provider_id = node.spec.provider_id.as_deref().unwrap_or_default();
    let facts = Facts { name, provider_id, here: here == name };
    match how {
        Some(How::Command(via)) => Some(via.clone()),
        Some(How::Preset(preset)) => Some(preset.via(facts)),
        None => Preset::detect(facts).map(|preset| preset.via(facts)),
    }
}

/// The nodes that `which` names; all that can run Linux containers where it names none.
pub(in crate::command) fn chosen<'a>(nodes: &'a [Node], which: &Which) -> anyhow::Result<Vec<&'a Node>> {
    ensure!(
        !nodes.is_empty(),
        "{}",
        if which.selector.is_empty() { "the cluster has no nodes" } else { "no node has these labels" }
    );
    if which.nodes.is_empty() {
        let chosen: Vec<&Node> = nodes.iter().filter(|node| is_linux(node)).collect();
        ensure!(!chosen.is_empty(), "no node runs Linux containers");
        return Ok(chosen);
    }
    let mut names: Vec<&String> = which.nodes.iter().collect();
    names.sort_unstable();
    names.dedup();
    let find = |name: &String| nodes.iter().find(|node| node.name() == name);
    let missing: Vec<String> =
        names.iter().filter(|name| find(name).is_none()).map(|name| name.escape_debug().to_string()).collect();
    ensure!(missing.is_empty(), "there is no node {}", missing.join(", "));
    Ok(names.into_iter().filter_map(find).collect())
}

/// An archive of `docker save` is for Linux; a node that says nothing may be.
fn is_linux(node: &Node) -> bool {
    let system = node.metadata.labels.as_ref().and_then(|labels| labels.get("kubernetes.io/os"));
    system.is_none_or(|system| system == "linux")
}

/// The image ID on a node of this architecture.
pub(super) fn id<'a>(builds: &'a [Build], architecture: &str) -> Option<&'a Digest> {
    let fits =
        |build: &&Build| [build.architecture.as_str(), ""].contains(&architecture) || build.architecture.is_empty();
    builds.iter().find(fits).map(|build| &build.id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, id: &str, os: &str) -> Node {
        let labels = json!({ "kubernetes.io/os": os });
        let node = json!({ "metadata": { "name": name, "labels": labels }, "spec": { "providerID": id } });
        serde_json::from_value(node).unwrap()
    }

    fn which(names: &[&str]) -> Which {
        Which { nodes: names.iter().map(ToString::to_string).collect(), selector: String::new() }
    }

    #[track_caller]
    fn check(nodes: &[Node], names: &[&str], how: Option<&str>, want: Result<&[&str], &str>) {
        let how = how.map(|text| match Preset::named(text) {
            Some(preset) => How::Preset(preset),
            None => How::Command(Via::parse(text).unwrap()),
        });
        let got = targets(nodes, &which(names), how.as_ref(), false);
        let got =
            got.map(|targets| targets.iter().map(|target| target.line().trim_end().to_owned()).collect::<Vec<_>>());
        let want = want.map(|lines| lines.iter().map(ToString::to_string).collect()).map_err(str::to_owned);
        assert_eq!(got.map_err(|error| error.to_string()), want);
    }

    #[test]
    fn every_node_gets_the_command_of_its_cluster() {
        let kind = [
            node("a", "kind://docker/kind/a", "linux"),
            node("b", "kind://docker/kind/b", "linux"),
            node("w", "", "windows"),
        ];
        let exec = |name: &str| format!("{name}: docker exec -i {name} ctr -n k8s.io images import -");
        check(&kind, &[], None, Ok(&[&exec("a"), &exec("b")]));
        check(&kind, &["b", "b"], None, Ok(&[&exec("b")]));
        check(&kind, &["b", "c", "-x\n"], None, Err("there is no node -x\\n, c"));
        check(&kind, &[], Some("x '{node} y'"), Ok(&["a: x 'a y'", "b: x 'b y'"]));
        check(&kind, &["a"], Some("docker load"), Ok(&["a: docker load"]));
        check(
            &kind,
            &[],
            Some("docker load"),
            Err("--via would run the same command for all nodes: write {node} in it"),
        );
        let cloud =
            [node("a", "kind://docker/kind/a", "linux"), node("c", "aws:///c", "linux"), node("d", "", "linux")];
        check(&cloud, &[], Some("kind"), Ok(&[&exec("a"), &exec("c"), &exec("d")]));
        let asked = "how is c reached, and 1 more? Say --via COMMAND, as in --via 'ssh {node} sudo ctr -n k8s.io images import \
                     -', or load it in another way and run berth loaded";
        check(&cloud, &[], None, Err(asked));
        check(&[], &[], None, Err("the cluster has no nodes"));
        check(&[node("w", "", "windows")], &[], None, Err("no node runs Linux containers"));
        check(&[node("--rm", "kind://docker/kind/b", "linux")], &[], None, Err("`--rm` is not the name of a node"));
    }

    #[test]
    fn a_node_of_another_architecture_is_a_stranger_and_gets_no_id() {
        let build = |architecture: &str| Build {
            id: Digest::of(architecture.as_bytes()),
            architecture: architecture.to_owned(),
        };
        let builds = [build("amd64"), build("arm64")];
        assert_eq!(id(&builds, "arm64"), Some(&builds[1].id));
        assert_eq!(id(&builds, ""), Some(&builds[0].id));
        assert_eq!(id(&builds, "s390x"), None);
        assert_eq!(id(&[build("")], "s390x"), Some(&build("").id), "it does not say");
        let target = |architecture: &str| Target {
            name: "n".to_owned(),
            architecture: architecture.to_owned(),
            command: Vec::new(),
        };
        let strange = |architecture: &str| target(architecture).is_strange_to(&builds);
        assert_eq!(["arm64", "s390x", ""].map(strange), [false, true, false]);
        assert_eq!(target("s390x").mismatch(&builds), "it is s390x, and the image is built for amd64, arm64");
        assert!(!target("s390x").is_strange_to(&[]), "nothing is known of it");
    }
}
