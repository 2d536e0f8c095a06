//! Somebody between a program and the API server, who sees every request: counts writes, ends the program before or after
//! one of them, and can be out of date, late or away.
//!
//! It takes plain HTTP on loopback and speaks to the API server as the program's user.

mod forward;
mod memory;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context as _;
use reqwest::{Certificate, Client, Identity, redirect::Policy};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::{net::TcpSocket, sync::watch, task::JoinSet};

use self::memory::Memory;
use crate::{cluster::Cluster, lock::locked, port::Port};

/// Between one program and the API server of a cluster. It ends, with all its connections, when it is dropped.
pub struct GoBetween {
    shared: Arc<Shared>,
    /// Its own also while it is closed.
    port: Port,
    tasks: Option<JoinSet<()>>,
}

/// A write that came by.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Write {
    /// `PATCH secrets/berth-ca`, `POST secrets`.
    pub what: String,
    /// What the API server answered; none where it was never asked.
    pub status: Option<u16>,
}

/// When the program is to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Moment {
    /// The write never reaches the API server.
    Before,
    /// It does, and the answer never reaches the program.
    After,
}

/// What ends the program.
#[derive(Clone, Copy, Debug)]
pub struct Trap {
    /// The write that does it, from 1, of those that come by from now on.
    pub write: usize,
    /// Before or after it.
    pub moment: Moment,
    /// The program's process.
    pub process: u32,
}

/// How the API server seems to the program.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Manner {
    /// As it is.
    #[default]
    Honest,
    /// Objects whose path has this in it are as they were when this began: reads repeat themselves, watches stand still,
    /// while writes pass.
    Frozen(&'static str),
    /// Answers to reads and the news of watches come so much later.
    Late(Duration),
}

impl GoBetween {
    /// Between a program that is `user` and the API server of `cluster`. Only writes whose path has one of `counted` in it
    /// count.
    pub fn start(cluster: &Cluster, user: &str, counted: &'static [&'static str]) -> anyhow::Result<Self> {
        let mut between = Self::closed(cluster, user, counted)?;
        between.open()?;
        Ok(between)
    }

    /// The same, with the port closed for now, as where the API server is away.
    fn closed(cluster: &Cluster, user: &str, counted: &'static [&'static str]) -> anyhow::Result<Self> {
        let identity = cluster.authority().client(user, None)?;
        let identity = Identity::from_pem([identity.certificate, identity.key].concat().as_bytes())?;
        let root = Certificate::from_pem(cluster.authority().certificate().as_bytes())?;
        let http = Client::builder().no_proxy().redirect(Policy::none()).tls_certs_only([root]).identity(identity);
        let shared = Shared {
            http: http.build()?,
            server: cluster.server().to_owned(),
            counted,
            manner: watch::Sender::new(Manner::Honest),
            held: watch::Sender::new(false),
            trap: Mutex::default(),
            writes: Mutex::default(),
            memory: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared), port: Port::free()?, tasks: None })
    }

    /// A kubeconfig that leads here.
    pub fn kubeconfig(&self) -> anyhow::Result<String> {
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "between", "cluster": { "server": format!("http://{}", self.port.address()) } }],
            "contexts": [{ "name": "between", "context": { "cluster": "between", "user": "" } }],
            "current-context": "between",
        });
        Ok(serde_json::to_string_pretty(&kubeconfig)?)
    }

    /// Is there again after [`close`](Self::close), at the same port.
    pub fn open(&mut self) -> anyhow::Result<()> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(self.port.address()).context("the port cannot be had again")?;
        let listener = socket.listen(1024)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(forward::serve(listener, self.shared.clone()));
        self.tasks = Some(tasks);
        Ok(())
    }

    /// Is away: connections break, and new ones are refused.
    pub fn close(&mut self) {
        self.tasks = None;
    }

    /// Behaves so from now on.
    pub fn behave(&self, manner: Manner) {
        self.shared.manner.send_replace(manner);
    }

    /// From now on writes wait, until a trap is set: a program that is about to start cannot be too fast for it.
    pub fn hold(&self) {
        self.shared.held.send_replace(true);
    }

    /// Ends a program at a write that is still to come.
    pub fn set(&self, trap: Trap) {
        *locked(&self.shared.trap) = Some(trap);
        self.shared.held.send_replace(false);
    }

    /// The writes that counted so far.
    pub fn writes(&self) -> Vec<Write> {
        locked(&self.shared.writes).clone()
    }
}

/// What all connections have in common.
struct Shared {
    http: Client,
    server: String,
    counted: &'static [&'static str],
    manner: watch::Sender<Manner>,
    held: watch::Sender<bool>,
    trap: Mutex<Option<Trap>>,
    writes: Mutex<Vec<Write>>,
    memory: Mutex<Memory>,
}

impl Shared {
    /// Whether the write that comes now ends the program, and when. The count goes on.
    fn sprung(&self) -> Option<Trap> {
        let mut trap = locked(&self.trap);
        let set = trap.as_mut()?;
        set.write = set.write.saturating_sub(1);
        if set.write == 0 { trap.take() } else { None }
    }
}

impl Trap {
    /// At once, and without a chance to tidy up.
    fn spring(self) {
        let process = i32::try_from(self.process).ok().and_then(Pid::from_raw);
        // It may have ended, which is what is wanted.
        let _ = process.map(|process| kill_process(process, Signal::KILL));
    }
}
