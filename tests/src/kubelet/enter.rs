//! The way into a node for whoever is not a test of ours: a command, as people have `docker exec` or `ssh`.

use std::{fs, os::unix::fs::PermissionsExt as _};

use anyhow::Context as _;

use super::Kubelets;

impl Kubelets {
    /// A program that takes the name of a node, and a command that it becomes there: `ENTER node-a ctr images ls`.
    pub fn enter(&self) -> anyhow::Result<String> {
        let path = self.cluster.folder().path().join("enter");
        if !path.exists() {
            let cases = self.nodes.iter().map(|node| format!("{}) id={} ;;", node.name, node.machine.id()));
            let node = self.nodes.first().context("a cluster without nodes")?;
            let command = node.programs.command("sh");
            let environment = command.get_envs().filter_map(|(key, value)| Some((key.to_str()?, value?.to_str()?)));
            let exports = environment.map(|(key, value)| format!("export {key}='{value}'"));
            let nobody = r#"*) echo "no node $1" >&2; exit 1 ;;"#;
            let lines = ["#!/bin/sh", "case \"$1\" in"].map(str::to_owned).into_iter().chain(cases);
            let lines = lines.chain([nobody, "esac", "shift"].map(str::to_owned)).chain(exports);
            let script = lines.chain([ENTER.to_owned()]).collect::<Vec<_>>().join("\n");
            // Complete before it has its name: several may ask at the same time.
            let unfinished = self.cluster.folder().write("enter.new", script)?;
            fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o755))?;
            fs::rename(unfinished, &path)?;
        }
        path.into_os_string().into_string().ok().context("the folder's path is not UTF-8")
    }
}

const ENTER: &str = r#"exec nsenter --target "$id" --mount --uts --net --pid -- "$@""#;
