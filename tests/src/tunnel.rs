//! A proxy for HTTPS: it opens tunnels (CONNECT), and knows better than names where some of them should go.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context as _, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// A running proxy at a free port of loopback. It ends when it is dropped.
pub struct Tunnel {
    url: String,
    _task: JoinSet<()>,
}

impl Tunnel {
    /// A proxy that takes whoever asks for a host and port in `elsewhere` to that address, and all others to where they
    /// want to go.
    pub async fn start(elsewhere: &[(&str, String)]) -> anyhow::Result<Self> {
        let elsewhere = elsewhere.iter().map(|(from, to)| ((*from).to_owned(), to.clone()));
        let elsewhere: Arc<BTreeMap<_, _>> = Arc::new(elsewhere.collect());
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
        let (url, mut task) = (format!("http://{}", listener.local_addr()?), JoinSet::new());
        task.spawn(async move {
            let mut tunnels = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let elsewhere = elsewhere.clone();
                tunnels.spawn(async move {
                    // Whoever does not get through is told by the end of the connection.
                    let _ = carry(client, &elsewhere).await;
                });
            }
        });
        Ok(Self { url, _task: task })
    }

    /// What `HTTPS_PROXY` says.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Reads the request, up to its empty line, and carries bytes until both ends are done.
async fn carry(client: TcpStream, elsewhere: &BTreeMap<String, String>) -> anyhow::Result<()> {
    let mut client = BufReader::new(client);
    let mut request = String::new();
    while client.read_line(&mut request).await? > 2 {}
    let mut words = request.split(' ');
    ensure!(words.next() == Some("CONNECT"), "only tunnels");
    let wanted = words.next().context("a tunnel to nowhere")?;
    let mut server = TcpStream::connect(elsewhere.get(wanted).map_or(wanted, String::as_str)).await?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
