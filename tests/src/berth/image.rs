//! Berth's own container image: the static binary as it is released, in the project's Dockerfile, by buildah.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

use crate::{
    binary,
    processes::Folder,
    programs::packages::{BUILDAH, CERTIFICATES, MUSL, install},
    progress::Progress,
};

/// Installs what is missing to build it.
///
/// # Errors
/// Why it cannot be built on this machine.
pub fn prepare() -> anyhow::Result<()> {
    install(&[BUILDAH, MUSL, CERTIFICATES])?;
    let asked = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    let library = String::from_utf8(asked.context("cannot start rustc")?.stdout)?;
    if Path::new(library.trim()).is_dir() {
        return Ok(());
    }
    let added = Command::new("rustup").args(["target", "add", TARGET]).output();
    let added = added.with_context(|| format!("Rust has no {TARGET} here, and there is no rustup to get it"))?;
    let said = String::from_utf8_lossy(&added.stderr);
    ensure!(added.status.success(), "rustup cannot add {TARGET}: {}", said.trim_end());
    Ok(())
}

/// Builds the image, and writes it as `docker save` does: to `FOLDER/TAG.tar` for each of `tags`, as `berth:TAG`.
pub async fn build(folder: &Path, tags: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let (folder, tags) = (folder.to_owned(), tags.iter().copied().map(str::to_owned).collect::<Vec<_>>());
    tokio::task::spawn_blocking(move || build_now(&folder, &tags)).await?
}

fn build_now(folder: &Path, tags: &[String]) -> anyhow::Result<Vec<PathBuf>> {
    let program =
        binary::build(&["--package", "berth", "--bin", "berth", "--release", "--locked", "--target", TARGET])?;
    let work = Folder::for_data("image")?;
    // What the first stage of the Dockerfile would leave.
    let out = work.path().join("build/out");
    fs::create_dir_all(&out)?;
    fs::copy(program, out.join("berth"))?;
    fs::copy(AUTHORITIES, out.join("ca-certificates.crt"))?;
    let stage = format!("build={}", work.path().join("build").display());
    let clone = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let made = ["bud", "--isolation", "chroot", "--quiet", "--build-context", &stage, "--tag", "berth"].map(OsStr::new);
    buildah(&work, &[&made[..], &[clone.as_os_str()]].concat())?;
    let save = |tag: &String| {
        let path = folder.join(format!("{tag}.tar"));
        let archive = format!("docker-archive:{}:berth:{tag}", path.display());
        buildah(&work, &["push", "berth", &archive].map(OsStr::new))?;
        Ok(path)
    };
    tags.iter().map(save).collect()
}

/// Runs buildah with a store of images that ends with `work`.
fn buildah(work: &Folder, arguments: &[&OsStr]) -> anyhow::Result<()> {
    let errors = tempfile::NamedTempFile::new()?;
    let mut buildah = Command::new("buildah");
    buildah.args(["--storage-driver", "vfs", "--root"]).arg(work.path().join("store"));
    buildah.arg("--runroot").arg(work.path().join("run")).args(arguments);
    let what = arguments.first().context("buildah has commands")?.display();
    buildah.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors.reopen()?);
    let mut running = buildah.spawn().context("cannot start buildah")?;
    let status = Progress::start(format!("buildah {what}")).watch(&mut running)?;
    ensure!(status.success(), "buildah {what}: {status}\n{}", fs::read_to_string(&errors)?.trim_end());
    Ok(())
}

/// As the releases are built: no library of the system is needed, so the image holds no other file.
const TARGET: &str =
    if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-musl" } else { "x86_64-unknown-linux-musl" };
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
