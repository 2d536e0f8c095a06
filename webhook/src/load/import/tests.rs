use std::{
    fs,
    io::Write as _,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use super::*;

fn archive(length: usize, needed: u64) -> Spooled {
    let mut file = tempfile::tempfile().unwrap();
    let bytes: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
    file.write_all(&bytes).unwrap();
    Spooled { file: Arc::new(file), length: length as u64, needed }
}

fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).into()
}

async fn run(script: &str, archive: &Spooled) -> Result<(), String> {
    import(&shell(script), archive, Duration::from_secs(20), |_| ()).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn every_byte_arrives_in_order() {
    let (archive, folder) = (archive(3_000_001, 3_000_001), tempfile::tempdir().unwrap());
    let copies = [folder.path().join("a"), folder.path().join("b")];
    let taken = AtomicU64::new(0);
    let slow = shell(&format!("sleep 0.2; cat > {}", copies[0].display()));
    let fast = shell(&format!("cat > {}", copies[1].display()));
    let took = |bytes| _ = taken.fetch_max(bytes, Ordering::Relaxed);
    let patience = Duration::from_secs(20);
    let (one, other) = tokio::join!(import(&slow, &archive, patience, took), import(&fast, &archive, patience, |_| ()));
    one.unwrap();
    other.unwrap();
    let read = copies.map(|copy| fs::read(copy).unwrap());
    assert!(read[0] == read[1] && read[0].len() == 3_000_001 && read[0][250 * 251 + 7] == 7);
    assert_eq!(taken.into_inner(), 3_000_001);
}

#[tokio::test]
async fn a_command_that_fails_is_quoted() {
    let archive = archive(1_000_000, 1_000_000);
    let failed = run("cat >/dev/null; echo ignored; echo no space left >&2; exit 3", &archive).await;
    assert_eq!(failed.unwrap_err(), "exit status: 3: no space left");
    let early = run("echo no such container >&2; exit 1", &archive).await;
    assert_eq!(early.unwrap_err(), "exit status: 1: no such container");
    let only_output = run("cat >/dev/null; echo one; printf '\\033[1mtwo\\n'; exit 1", &archive).await;
    assert_eq!(only_output.unwrap_err(), "exit status: 1:\n    one\n    [1mtwo", "no control characters");
    let loud = run("cat >/dev/null; yes complaint | head -n 300000 >&2; exit 1", &archive).await.unwrap_err();
    assert_eq!(loud.lines().count(), 1 + LINES, "{loud}");
    let error = import(&["/no/such/program".to_owned()], &archive, Duration::from_secs(1), |_| ()).await.unwrap_err();
    assert!(error.to_string().starts_with("`/no/such/program` cannot be run: No such file"), "{error}");
}

#[tokio::test]
async fn who_has_not_read_the_archive_has_not_imported_it() {
    let large = archive(1_000_000, 999_000);
    let error = run("exit 0", &large).await.unwrap_err();
    assert!(error.contains("of 999000 bytes: it did not read the archive"), "{error}");
    run("head -c 999000 >/dev/null", &large).await.unwrap(); // the padding is nobody's
}

#[tokio::test]
async fn a_pipe_that_is_left_open_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("id");
    // As ssh does with ControlPersist.
    let script = format!("cat >/dev/null; sleep 600 & echo $! > {}; exit 0", file.display());
    timeout(Duration::from_secs(10), run(&script, &archive(10, 10))).await.unwrap().unwrap();
    let id = fs::read_to_string(file).unwrap().trim().parse().ok().and_then(Pid::from_raw).unwrap();
    rustix::process::kill_process(id, Signal::KILL).unwrap();
}

#[tokio::test]
async fn who_stands_still_is_ended_with_all_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("id");
    let child = format!("sleep 600 & echo $! > {}; ", file.display());
    let cases = [
        (format!("{child} wait"), 1_000_000),                   // takes nothing
        (format!("{child} cat >/dev/null; wait"), 1_000),       // takes all and never ends
        (format!("trap '' TERM; {child} wait; sleep 600"), 10), // does not want to
    ];
    for (script, length) in cases {
        let (archive, began) = (archive(length, length as u64), Instant::now());
        let error = import(&shell(&script), &archive, Duration::from_millis(600), |_| ()).await.unwrap_err();
        assert!(matches!(error, ImportError::Stalled { .. }), "{error}");
        assert!(began.elapsed() < Duration::from_secs(20));
        gone(&file).await;
    }
}

#[tokio::test]
async fn nothing_stays_behind_where_nobody_waits_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("id");
    let script = shell(&format!("sleep 600 & echo $! > {}; wait", file.display()));
    let archive = archive(1_000_000, 1);
    let started = async {
        while fs::read_to_string(&file).unwrap_or_default().trim().is_empty() {
            time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        ended = import(&script, &archive, Duration::from_secs(60), |_| ()) => panic!("{ended:?}"),
        () = started => (),
    }
    gone(&file).await;
}

/// Waits until the process is gone whose id stands in `file`; a dead one that nobody has waited for counts as gone.
async fn gone(file: &Path) {
    let id = fs::read_to_string(file).unwrap();
    let stat = format!("/proc/{}/stat", id.trim());
    for _ in 0..500 {
        match fs::read_to_string(&stat) {
            Ok(state) if !state.contains(") Z ") => time::sleep(Duration::from_millis(10)).await,
            _ => return,
        }
    }
    panic!("it still runs: {}", fs::read_to_string(stat).unwrap());
}
