//! Images that run: one static program that says which build it is, in archives as `docker save` writes them.

use std::{fs, sync::Arc};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::programs::Program;

/// An image in memory.
#[derive(Clone, Debug)]
pub struct Image {
    /// Tar archives: the program, which all images share, and what is this one's own.
    layers: Vec<Arc<Vec<u8>>>,
    configuration: Vec<u8>,
}

impl Image {
    /// An image whose program prints `build`, and answers it by HTTP on port 8080. Images of builds of the same length
    /// have the same size.
    pub async fn of(build: &str) -> anyhow::Result<Self> {
        let own = Arc::new(tar(&[("build", build.as_bytes(), 0o644)]));
        Ok(Self::new(vec![program().await?, own], &["/app"]))
    }

    /// The same, and larger by so many bytes.
    pub async fn larger(build: &str, bytes: usize) -> anyhow::Result<Self> {
        let own = tar(&[("build", build.as_bytes(), 0o644), ("ballast", &vec![0; bytes], 0o644)]);
        Ok(Self::new(vec![program().await?, Arc::new(own)], &["/app"]))
    }

    /// The distribution project's registry, at port 5000; it keeps what it holds in `/tmp`.
    pub async fn registry() -> anyhow::Result<Self> {
        let program = fs::read(Program::Registry.path().await?)?;
        let configuration = json!({
            "version": 0.1,
            "storage": { "filesystem": { "rootdirectory": "/tmp" } },
            "http": { "addr": ":5000" },
        });
        let configuration = configuration.to_string();
        let files = [("registry", program.as_slice(), 0o755), ("config", configuration.as_bytes(), 0o644)];
        Ok(Self::new(vec![Arc::new(tar(&files))], &["/registry", "serve", "/config"]))
    }

    /// The image of the first process of every Pod.
    pub(crate) async fn pause() -> anyhow::Result<Self> {
        Ok(Self::new(vec![program().await?], &["/app", "pause"]))
    }

    fn new(layers: Vec<Arc<Vec<u8>>>, entrypoint: &[&str]) -> Self {
        let layer_digests: Vec<_> = layers.iter().map(|layer| digest(layer)).collect();
        let configuration = json!({
            "architecture": ARCHITECTURE,
            "os": "linux",
            "created": CREATED,
            "config": { "Entrypoint": entrypoint, "Env": ["PATH=/"], "WorkingDir": "/" },
            "rootfs": { "type": "layers", "diff_ids": layer_digests },
            "history": layers.iter().map(|_| json!({ "created": CREATED, "created_by": "COPY" })).collect::<Vec<_>>(),
        });
        Self { layers, configuration: configuration.to_string().into_bytes() }
    }

    /// The image ID: the digest of its configuration, however it came to a node.
    pub fn id(&self) -> String {
        digest(&self.configuration)
    }

    /// What `docker save NAME…` writes.
    pub fn archive(&self, names: &[&str]) -> Vec<u8> {
        let configuration = format!("{:x}.json", Sha256::digest(&self.configuration));
        let layer_names: Vec<_> = (0..self.layers.len()).map(|number| format!("{number}/layer.tar")).collect();
        let manifest = json!([{ "Config": configuration, "RepoTags": names, "Layers": layer_names }]).to_string();
        let layers = layer_names.iter().zip(&self.layers).map(|(name, layer)| (name.as_str(), layer.as_slice(), 0o644));
        let own = [(configuration.as_str(), self.configuration.as_slice(), 0o644)];
        let files: Vec<_> =
            own.into_iter().chain(layers).chain([("manifest.json", manifest.as_bytes(), 0o644)]).collect();
        tar(&files)
    }

    /// Its configuration, and its layers without compression.
    pub(crate) fn blobs(&self) -> (&[u8], impl Iterator<Item = &[u8]>) {
        (&self.configuration, self.layers.iter().map(|layer| layer.as_slice()))
    }
}

/// The layer with the program; one for all images.
async fn program() -> anyhow::Result<Arc<Vec<u8>>> {
    static LAYER: tokio::sync::OnceCell<Arc<Vec<u8>>> = tokio::sync::OnceCell::const_new();
    let read = async || {
        let program = fs::read(Program::App.path().await?)?;
        anyhow::Ok(Arc::new(tar(&[("app", &program, 0o755)])))
    };
    LAYER.get_or_try_init(read).await.cloned()
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(content))
}

/// An archive of files: name, content, mode.
fn tar(files: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content, mode) in files {
        archive.extend(header(name, content.len(), *mode));
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

/// The header of one file of root's.
///
/// # Source
/// `tar(5)`, "POSIX ustar Archives".
fn header(name: &str, length: usize, mode: u32) -> Vec<u8> {
    let text = |value: &str, width: usize| {
        let mut field = value.as_bytes().to_vec();
        field.resize(width, 0);
        field
    };
    let before = [
        text(name, 100),
        text(&format!("{mode:07o}"), 8),
        text("0000000", 8),
        text("0000000", 8),
        text(&format!("{length:011o}"), 12),
        text("00000000000", 12),
    ]
    .concat();
    let after = text("0", 1 + 100).into_iter().chain(text("ustar\u{0}00", 255)).collect::<Vec<_>>();
    // The checksum counts itself as spaces.
    let sum: u32 = before.iter().chain(&after).map(|byte| u32::from(*byte)).sum::<u32>() + 8 * u32::from(b' ');
    [before, text(&format!("{sum:06o}\u{0} "), 8), after].concat()
}

/// Of a tar archive, bytes.
const BLOCK: usize = 512;
/// As Go names the one that the program is built for.
pub(crate) const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
/// A fixed day, so that the same build is the same image.
const CREATED: &str = "2026-01-01T00:00:00Z";

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn others_read_our_archives() {
        let archive = tar(&[("a", b"one", 0o644), ("folder/b", &[7; 1025], 0o755)]);
        let mut list =
            Command::new("tar").args(["-tvf", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        list.stdin.take().unwrap().write_all(&archive).unwrap();
        let listed = String::from_utf8(list.wait_with_output().unwrap().stdout).unwrap();
        let lines: Vec<Vec<_>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            lines.iter().map(|line| (line[0], line[2], *line.last().unwrap())).collect::<Vec<_>>(),
            [("-rw-r--r--", "3", "a"), ("-rwxr-xr-x", "1025", "folder/b"),]
        );
    }
}
