//! How the process is told to stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals of a kubelet and of a person at a terminal.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on they no longer end the process by themselves.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The first of them: finish what is under way. Returns its name.
    pub(super) async fn first(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Ctrl-C during the drain: somebody does not want to wait.
    pub(super) async fn impatient(&mut self) {
        self.interrupt.recv().await;
    }
}
