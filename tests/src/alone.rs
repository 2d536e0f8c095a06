//! A test alone on a network of its own, with any address that it wants and with the name server of its choice.

use std::{
    env, fs,
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

/// Runs the test `name` of this program once more inside a new network, unless this is that run.
///
/// In there all `addresses` are this machine's, and names are asked at `127.0.0.1:53`, within `search`.
/// Returns whether the caller is inside; outside, the test has passed there. Where the system gives nobody a network,
/// it is said and the test is left out, but not in CI.
///
/// # Source
/// `unshare` of util-linux, `ip` of iproute2.
#[expect(clippy::print_stderr, reason = "what a test leaves out must be seen")]
pub fn alone(name: &str, addresses: &[&str], search: &str) -> anyhow::Result<bool> {
    if env::var_os(INSIDE).is_some() {
        return Ok(true);
    }
    let possible = unshare().arg("ip").args(["link", "set", "lo", "up"]).stderr(Stdio::null()).status();
    if !possible.is_ok_and(|status| status.success()) {
        ensure!(
            env::var_os("CI").is_none(),
            "a network of its own needs `unshare` and `ip`, and the right to use them"
        );
        eprintln!("{name} is left out: it needs `unshare` and `ip`, and the right to use them");
        return Ok(false);
    }
    let folder = tempfile::tempdir()?;
    let (resolv, hosts) = (folder.path().join("resolv.conf"), folder.path().join("hosts"));
    fs::write(&resolv, format!("nameserver 127.0.0.1\nsearch {search}\noptions ndots:5\n"))?;
    fs::write(&hosts, "127.0.0.1 localhost\n")?;
    let script = format!(
        "set -e; ip link set lo up; for address in {}; do ip address add $address dev lo; done
         mount --bind {} /etc/resolv.conf; mount --bind {} /etc/hosts; exec \"$@\"",
        addresses.join(" "),
        resolv.display(),
        hosts.display(),
    );
    let mut inside = unshare();
    inside.args(["sh", "-c", &script, "sh"]).arg(env::current_exe()?).args(["--exact", name, "--nocapture"]);
    let status = inside.env(INSIDE, "1").status().context("cannot start unshare")?;
    ensure!(status.success(), "the test fails on its own network");
    Ok(false)
}

/// A program on a network and with mounts of its own; only root needs no other identity for that.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount"]);
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command
}

/// Says that this is the run inside.
const INSIDE: &str = "BERTH_TEST_ALONE";
