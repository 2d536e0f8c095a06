//! The command that takes an archive to a node, at its standard input.
//!
//! No shell ever sees it: the text is split into words once, and the node's name becomes a part of a word.

use super::node_name;

/// A command, with a place for the node's name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Via {
    words: Vec<String>,
}

/// What is known of a node that tells how it is reached.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The node's name.
    pub name: &'a str,
    /// `kind://docker/kind/kind-worker`; may be empty.
    pub provider_id: &'a str,
    /// It is this machine.
    pub here: bool,
}

/// A kind of cluster whose nodes are reached in a known way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Preset {
    /// Nodes are containers with the node's name.
    Kind,
    /// Nodes are containers with the node's name.
    K3d,
    /// Nodes are machines, reached by ssh; or this one.
    K3s,
    /// One node with Docker's own images; or several that are containers, made by kind.
    DockerDesktop,
}

impl Preset {
    /// By the word that people write after `--via`.
    pub fn named(word: &str) -> Option<Self> {
        match word {
            "kind" => Some(Self::Kind),
            "k3d" => Some(Self::K3d),
            "k3s" => Some(Self::K3s),
            "docker-desktop" => Some(Self::DockerDesktop),
            _ => None,
        }
    }

    /// What the node says of itself.
    pub fn detect(node: Facts<'_>) -> Option<Self> {
        let id = node.provider_id;
        if node.name == DOCKER_DESKTOP || (id.starts_with("kind://") && node.name.starts_with("desktop-")) {
            Some(Self::DockerDesktop)
        } else if id.starts_with("kind://") {
            Some(Self::Kind)
        } else if id.starts_with("k3s://") {
            Some(if node.name.starts_with(K3D) { Self::K3d } else { Self::K3s })
        } else {
            None
        }
    }

    /// The command for such a node.
    pub fn via(self, node: Facts<'_>) -> Via {
        let text = match self {
            Self::DockerDesktop if node.name == DOCKER_DESKTOP => "docker load",
            // kind names its engine: docker, podman or nerdctl.
            Self::Kind => match node.provider_id.strip_prefix("kind://").and_then(|id| id.split('/').next()) {
                Some("podman") => "podman exec -i {node} ctr -n k8s.io images import -",
                Some("nerdctl") => "nerdctl exec -i {node} ctr -n k8s.io images import -",
                _ => "docker exec -i {node} ctr -n k8s.io images import -",
            },
            Self::K3d | Self::DockerDesktop => "docker exec -i {node} ctr -n k8s.io images import -",
            Self::K3s if node.here => "k3s ctr -n k8s.io images import -",
            // Nobody can type passwords for several nodes at once.
            Self::K3s => "ssh -o BatchMode=yes {node} sudo -n k3s ctr -n k8s.io images import -",
        };
        Via { words: text.split(' ').map(str::to_owned).collect() }
    }
}

impl Via {
    /// Splits a command into words, as a shell does.
    pub fn parse(text: &str) -> Result<Self, ViaError> {
        let words = shlex::split(text).ok_or(ViaError::Quote)?;
        match words.first() {
            None => Err(ViaError::Empty),
            Some(program) if program.contains(NODE) => Err(ViaError::Program),
            Some(_) => Ok(Self { words }),
        }
    }

    /// Whether each node has a command of its own.
    pub fn names_the_node(&self) -> bool {
        self.words.iter().any(|word| word.contains(NODE))
    }

    /// Asks containerd's importer to mark the image, so that the kubelet's garbage collection leaves it alone. A command
    /// without that importer stays as it is.
    #[must_use]
    pub fn protected(mut self) -> Self {
        let is_ctr = |word: &String| word == "ctr" || word.ends_with("/ctr");
        let Some(ctr) = self.words.iter().position(is_ctr) else { return self };
        let pairs = self.words.iter().zip(self.words.iter().skip(1)).enumerate().skip(ctr);
        let mut imports = pairs.filter(|(_, (noun, verb))| IMAGES.contains(&noun.as_str()) && *verb == "import");
        if let Some((at, _)) = imports.next() {
            self.words.splice(at + 2..at + 2, PROTECTION.map(str::to_owned));
        }
        self
    }

    /// The words for this node: a program and its arguments.
    ///
    /// # Errors
    /// Names that the API server would not take: they could be taken for a flag or a path.
    pub fn command(&self, node: &str) -> Result<Vec<String>, ViaError> {
        if !node_name::is_valid(node) {
            return Err(ViaError::Name(node.to_owned()));
        }
        Ok(self.words.iter().map(|word| word.replace(NODE, node)).collect())
    }
}

/// `mine` of a node called `k3d-mine-agent-0`. One that was added by `k3d node create` has no cluster in its name.
pub fn k3d_cluster(node: &str) -> Option<&str> {
    let (rest, number) = node.strip_prefix(K3D)?.rsplit_once('-')?;
    let (cluster, role) = rest.rsplit_once('-')?;
    let is_node = number.bytes().all(|digit| digit.is_ascii_digit()) && matches!(role, "server" | "agent");
    is_node.then_some(cluster)
}

/// Why a text is no command for nodes.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ViaError {
    /// A quotation mark is not closed.
    #[error("a quotation mark is not closed")]
    Quote,
    /// There are no words.
    #[error("there is no command")]
    Empty,
    /// The first word has the node's name in it.
    #[error("the program itself cannot depend on {NODE}")]
    Program,
    /// No node can have this name.
    #[error("`{}` is not the name of a node", .0.escape_debug())]
    Name(String),
}

/// Stands for the node's name.
const NODE: &str = "{node}";
/// The one node of Docker Desktop, unless it is asked for several.
pub const DOCKER_DESKTOP: &str = "docker-desktop";
/// How k3d names its containers, and so its nodes.
const K3D: &str = "k3d-";
/// What `ctr` calls images.
const IMAGES: [&str; 3] = ["images", "image", "i"];
/// Source: containerd, `internal/cri/labels`: the kubelet's image garbage collection passes pinned images over.
const PROTECTION: [&str; 2] = ["--label", "io.cri-containerd.pinned=pinned"];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, node: &str, want: Result<&[&str], ViaError>) {
        let got = Via::parse(text).and_then(|via| via.command(node));
        assert_eq!(got, want.map(|words| words.iter().map(ToString::to_string).collect()), "{text}");
    }

    #[test]
    fn words_are_split_once_and_the_name_stays_within_its_word() {
        check("docker exec -i {node} ctr", "a", Ok(&["docker", "exec", "-i", "a", "ctr"]));
        check("ssh root@{node}.lan 'cat > /x; y'", "a", Ok(&["ssh", "root@a.lan", "cat > /x; y"]));
        check(r#"run "{node} $(id)" ; `x`"#, "a", Ok(&["run", "a $(id)", ";", "`x`"]));
        check("run {node}{node} {Node} {}", "a", Ok(&["run", "aa", "{Node}", "{}"]));
        check("run 'open", "a", Err(ViaError::Quote));
        check("  ", "a", Err(ViaError::Empty));
        check("./{node} x", "a", Err(ViaError::Program));
    }

    #[test]
    fn only_names_that_a_node_can_have_are_put_into_a_command() {
        for name in ["a", "node-1.example.com", "0", &"a".repeat(63)] {
            assert!(Via::parse("x {node}").unwrap().command(name).is_ok(), "{name}");
        }
        let long = "a".repeat(254);
        for name in
            ["", "-rm", "--privileged", "../x", "/etc", "a b", "$(id)", "a;b", "A", "a\n", ".a", "a.", "a'", &long]
        {
            check("x {node}", name, Err(ViaError::Name(name.to_owned())));
        }
    }

    #[test]
    fn containerds_importer_is_asked_to_protect_the_image() {
        let protected = |text: &str| Via::parse(text).unwrap().protected().words.join(" ");
        let label = "--label io.cri-containerd.pinned=pinned";
        assert_eq!(protected("ctr -n k8s.io images import -"), format!("ctr -n k8s.io images import {label} -"));
        assert_eq!(
            protected("x /usr/bin/ctr i import --digests -"),
            format!("x /usr/bin/ctr i import {label} --digests -")
        );
        for other in
            ["docker load", "podman load -i -", "images import -", "ssh a 'ctr images import -'", "ctr images pull"]
        {
            assert_eq!(Via::parse(other).unwrap().protected().words, Via::parse(other).unwrap().words);
        }
    }

    #[test]
    fn clusters_are_recognised_and_reached_in_their_ways() {
        let command = |name: &str, provider_id: &str, here: bool| {
            let node = Facts { name, provider_id, here };
            Preset::detect(node).map(|preset| preset.via(node).command(name).unwrap().join(" "))
        };
        let exec = |engine: &str, node: &str| Some(format!("{engine} exec -i {node} ctr -n k8s.io images import -"));
        assert_eq!(command("kind-worker", "kind://docker/kind/kind-worker", false), exec("docker", "kind-worker"));
        assert_eq!(command("kind-worker", "kind://podman/kind/kind-worker", false), exec("podman", "kind-worker"));
        assert_eq!(
            command("desktop-worker", "kind://docker/desktop/desktop-worker", false),
            exec("docker", "desktop-worker")
        );
        assert_eq!(command("k3d-a-agent-0", "k3s://k3d-a-agent-0", false), exec("docker", "k3d-a-agent-0"));
        assert_eq!(command("k3d-more-0", "k3s://k3d-more-0", false), exec("docker", "k3d-more-0"), "k3d node create");
        assert_eq!(command("docker-desktop", "", false).as_deref(), Some("docker load"));
        let remote = "ssh -o BatchMode=yes pi sudo -n k3s ctr -n k8s.io images import -";
        assert_eq!(command("pi", "k3s://pi", false).as_deref(), Some(remote));
        assert_eq!(command("pi", "k3s://pi", true).as_deref(), Some("k3s ctr -n k8s.io images import -"));
        assert_eq!(command("i-1", "aws:///a/i-1", true), None);
        assert_eq!(command("minikube", "", false), None);
    }
}
