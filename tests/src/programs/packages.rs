//! What no Go module has: a library in C, and programs that Kubernetes calls. Debian's packages, installed where they
//! are missing and root runs the tests.

use std::{
    fs::{self, File},
    io::ErrorKind,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};

use crate::progress::Progress;

/// One thing that is needed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Package {
    /// Debian's packages.
    debian: &'static [&'static str],
    /// Succeeds where it is there.
    probe: &'static [&'static str],
    what_for: &'static str,
}

/// What runc is built with.
pub(crate) const LIBSECCOMP: Package = Package {
    debian: &["libseccomp-dev", "pkg-config"],
    probe: &["pkg-config", "--exists", "libseccomp"],
    what_for: "to build runc",
};
/// What kube-proxy calls: of its modes, only this one serves node ports at `localhost`, where nodes look for registries.
pub(crate) const IPTABLES: Package =
    Package { debian: &["iptables"], probe: &["iptables-restore", "--version"], what_for: "for kube-proxy" };
/// What builds container images.
pub(crate) const BUILDAH: Package =
    Package { debian: &["buildah"], probe: &["buildah", "--version"], what_for: "to build Berth's image" };
/// The C compiler of static binaries.
pub(crate) const MUSL: Package =
    Package { debian: &["musl-tools"], probe: &["musl-gcc", "--version"], what_for: "for a static binary" };
/// The world's certificate authorities, which go into the image.
pub(crate) const CERTIFICATES: Package = Package {
    debian: &["ca-certificates"],
    probe: &["test", "-s", "/etc/ssl/certs/ca-certificates.crt"],
    what_for: "for the image",
};

impl Package {
    fn is_there(self) -> bool {
        let Some((program, arguments)) = self.probe.split_first() else { return true };
        let asked = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    }
}

/// Installs what is missing of `packages` by `apt-get`, and says so on standard error.
///
/// # Errors
/// Where there is no `apt-get`, or it fails: what to install by hand.
pub(crate) fn install(packages: &[Package]) -> anyhow::Result<()> {
    let missing: Vec<_> = packages.iter().filter(|package| !package.is_there()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().flat_map(|package| package.debian).copied().collect();
    let reasons: Vec<_> =
        missing.iter().map(|package| format!("{} {}", package.debian.join(" and "), package.what_for)).collect();
    let install = ["install", "--yes", "--no-install-recommends"].into_iter().chain(names).collect::<Vec<_>>();
    apt(&["update"]).and_then(|()| apt(&install)).with_context(|| format!("please install {}", reasons.join(", ")))
}

fn apt(arguments: &[&str]) -> anyhow::Result<()> {
    let log = tempfile::NamedTempFile::new()?;
    let mut apt = Command::new("apt-get");
    apt.arg("--quiet").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    apt.stdout(log.reopen()?).stderr(File::options().append(true).open(log.path())?);
    let mut apt = match apt.spawn() {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!("there is no apt-get to do it"),
        started => started?,
    };
    let status = Progress::start(format!("apt-get {}", arguments.join(" "))).watch(&mut apt)?;
    let said = fs::read_to_string(log.path())?;
    ensure!(status.success(), "apt-get {}: {status}\n{}", arguments.join(" "), said.trim_end());
    Ok(())
}
