//! What a person at a terminal sees: pictures that replace each other.

use std::{
    fs::{File, OpenOptions},
    io::Read as _,
    sync::{Arc, Mutex},
    thread,
};

use anyhow::ensure;
use berth_tests::wait::until;
use rustix::{
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::{
    Ran, archive, berth, cluster,
    importer::{Importer, LIMIT},
    nodes,
};

/// A terminal, and all that was written to it so far.
struct Terminal {
    end: File,
    seen: Arc<Mutex<String>>,
}

impl Terminal {
    fn new(columns: u16, rows: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let end = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        tcsetwinsize(&end, Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let (seen, mut reader) = (Arc::new(Mutex::new(String::new())), File::from(master));
        let sink = Arc::clone(&seen);
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(read @ 1..) = reader.read(&mut chunk) {
                sink.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..read]));
            }
        });
        Self { end, seen }
    }

    fn end(&self) -> File {
        self.end.try_clone().unwrap()
    }

    /// Waits until `text` was written, and forgets all that came before.
    async fn shows(&self, text: &str) {
        until(&format!("the terminal shows {text:?}"), LIMIT, async || {
            let mut seen = self.seen.lock().unwrap();
            let at = seen.find(text);
            ensure!(at.is_some(), "it shows {seen:?}");
            seen.drain(..at.unwrap_or_default());
            Ok(())
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn the_table_is_drawn_anew_when_it_changes() {
    let (cluster, names) = (cluster().await, nodes("screen", &["a"]).await);
    let terminal = Terminal::new(120, 200);
    let mut command = berth(&["where", "app:screen", "--watch"]).await;
    command.env_remove("NO_COLOR").stdout(terminal.end());
    let mut child = command.spawn().unwrap();
    terminal.shows("screen-a ").await;
    terminal.shows("\x1b[2mabsent\x1b[0m").await;
    cluster.set_images(&names[0], &[&["docker.io/library/app:screen"], &["registry.k8s.io/pause:3.10"]]).await.unwrap();
    terminal.shows("A\x1b[JNODE ").await;
    terminal.shows("screen-a ").await;
    terminal.shows("\x1b[32mholder\x1b[0m").await;
    let id = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    kill_process(id, Signal::INT).unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn progress_is_drawn_and_gone_at_the_end() {
    let (importer, _) = (Importer::new(), nodes("bar", &["a", "b-waits"]).await);
    let (file, via, terminal) = (importer.path("app.tar"), importer.via(), Terminal::new(60, 20));
    archive(&file, "one", &["app:bar"]).await;
    let words = ["load", "app:bar", "--from", file.to_str().unwrap(), "--via", &via, "-l", "test=bar"];
    let mut command = berth(&words).await;
    command.stderr(terminal.end());
    let running = command.spawn().unwrap();
    terminal.shows("bar-b-waits  [").await;
    terminal.shows(" of ").await;
    terminal.shows("1 of 2 nodes done\r\n").await;
    importer.go_on();
    let ran = Ran::from(running.wait_with_output().await.unwrap());
    assert!(ran.code == Some(0) && ran.out.lines().count() == 2, "{ran:?}");
    assert!(!ran.out.contains('\x1b'), "a pipe gets results and nothing else: {ran:?}");
    terminal.shows("A\x1b[J").await;
}
