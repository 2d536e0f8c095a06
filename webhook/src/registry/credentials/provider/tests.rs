use std::{fs, path::PathBuf, time::Instant as Clock};

use futures::future;
use serde_json::json;
use tempfile::TempDir;
use tokio::time;

use super::*;

/// A provider that notes each run, in a folder for that.
struct Counted {
    provider: Arc<Provider>,
    folder: TempDir,
}

/// A provider that runs `script` and then writes `answer`.
fn counted(script: &str, answer: &str, language: Language) -> Counted {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs").display().to_string();
    let script = format!("echo run >> \"$RUNS\"; cat > \"$RUNS.input\"; {script}; printf %s \"$ANSWER\"");
    let program = Program {
        path: PathBuf::from("/bin/sh"),
        args: vec!["-c".to_owned(), script, "sh".to_owned(), GET.to_owned()],
        env: vec![("RUNS".to_owned(), runs), ("ANSWER".to_owned(), answer.to_owned())],
    };
    Counted { provider: Arc::new(Provider::new(program, language, Vec::new(), TaskTracker::new())), folder }
}

impl Counted {
    fn runs(&self) -> usize {
        fs::read_to_string(self.folder.path().join("runs")).map_or(0, |runs| runs.lines().count())
    }

    async fn ask(&self, image: &str) -> Result<Arc<Answer>, Failure> {
        self.provider.ask(&name(image)).await
    }
}

fn name(image: &str) -> Name {
    let (host, path) = image.split_once('/').unwrap();
    Name::new(host, path)
}

fn kubelet() -> Language {
    Language::Kubelet { version: ProviderVersion::V1, default_duration: Duration::from_secs(3600) }
}

fn answer(reach: &str) -> String {
    let login = json!({ "username": "AWS", "password": "hunter2" });
    json!({
        "kind": "CredentialProviderResponse",
        "apiVersion": ProviderVersion::V1.as_str(),
        "cacheKeyType": reach,
        "auth": { "*.example": login },
    })
    .to_string()
}

#[tokio::test]
async fn a_hundred_at_once_share_a_run_and_later_ones_its_answer() {
    let counted = counted("sleep 0.2", &answer("Registry"), kubelet());
    let answers = future::join_all((0..100).map(|_| counted.ask("reg.example/app"))).await;
    assert!(answers.iter().all(|answer| {
        answer.as_ref().is_ok_and(|answer| answer.keyring.matching("reg.example", "app").count() == 1)
    }));
    counted.ask("reg.example/other").await.unwrap();
    assert_eq!(counted.runs(), 1);
    let input = fs::read_to_string(counted.folder.path().join("runs.input")).unwrap();
    assert!(input.contains(r#""image":"reg.example/app""#), "{input}");
}

#[track_caller]
fn check_runs(runs: usize, want: usize, reach: &str) {
    assert_eq!(runs, want, "{reach}");
}

#[tokio::test]
async fn an_answer_reaches_as_far_as_it_says() {
    let images = ["a.example/one", "a.example/two", "b.example/one", "a.example/one", "b.example/one"];
    for (reach, want) in [("Image", 3), ("Registry", 2), ("Global", 1)] {
        let one_by_one = counted("true", &answer(reach), kubelet());
        for image in images {
            one_by_one.ask(image).await.unwrap();
        }
        check_runs(one_by_one.runs(), want, reach);
        let at_once = counted("sleep 0.1", &answer(reach), kubelet());
        let answers = future::join_all(images.iter().map(|image| at_once.ask(image))).await;
        assert!(answers.iter().all(Result::is_ok));
        // How far it reaches is not known before the first answer: one run for each registry until then.
        check_runs(at_once.runs(), want.max(2), reach);
    }
}

#[tokio::test]
async fn an_answer_that_may_not_be_kept_is_shared_but_not_used_again() {
    let text = answer("Registry").replacen('{', r#"{"cacheDuration": "0s","#, 1);
    let counted = counted("sleep 0.1", &text, kubelet());
    let answers = future::join_all((0..10).map(|_| counted.ask("reg.example/app"))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(counted.runs(), 1);
    counted.ask("reg.example/app").await.unwrap();
    assert_eq!(counted.runs(), 2);
}

#[tokio::test]
async fn who_goes_away_does_not_end_the_run() {
    let counted = counted("sleep 0.3", &answer("Registry"), kubelet());
    let gone = time::timeout(Duration::from_millis(50), counted.ask("reg.example/app")).await;
    assert!(gone.is_err());
    assert!(counted.ask("reg.example/app").await.is_ok());
    assert_eq!(counted.runs(), 1);
}

#[tokio::test]
async fn a_broken_program_is_not_run_for_each_pod() {
    let broken = counted("exit 7", "", kubelet());
    for _ in 0..10 {
        assert_eq!(broken.ask("reg.example/app").await.unwrap_err().to_string(), "failed with exit status: 7");
    }
    assert_eq!(broken.runs(), 1);
    let missing = Program { path: PathBuf::from("/nowhere/program"), args: Vec::new(), env: Vec::new() };
    let missing = Arc::new(Provider::new(missing, kubelet(), Vec::new(), TaskTracker::new()));
    let told = missing.ask(&name("reg.example/app")).await.unwrap_err();
    assert_eq!(told.to_string(), "cannot be run: it, its interpreter or /dev/null is not there");
    let liar = counted("true", "hunter2", kubelet());
    let told = liar.ask("reg.example/app").await.unwrap_err().to_string();
    assert_eq!(told, "gave an answer that cannot be used: broken JSON at line 1 column 1");
}

#[tokio::test]
async fn too_much_is_not_read() {
    let counted = counted("head -c 70000 /dev/zero; sleep 60", "", kubelet());
    let start = Clock::now();
    assert_eq!(counted.ask("reg.example/app").await.unwrap_err(), Failure::TooLong);
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn a_program_that_never_ends_is_ended() {
    let counted = counted("sleep 600", &answer("Registry"), kubelet());
    let told = counted.ask("reg.example/app").await.unwrap_err();
    assert_eq!(told.to_string(), "gave no answer within 60 s");
}

#[tokio::test]
async fn all_that_a_program_started_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let script = r#"sleep 600 & echo $! >> "$PIDS"; echo $$ >> "$PIDS"; wait"#;
    let program = Program {
        path: PathBuf::from("/bin/sh"),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: vec![("PIDS".to_owned(), pids.display().to_string())],
    };
    let read = || fs::read_to_string(&pids).unwrap_or_default();
    let started = async {
        while read().lines().count() < 2 {
            time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        _ = program.run(b"") => panic!("it never ends by itself"),
        () = started => {}
    }
    let alive = |pid: &str| {
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !status.is_empty() && !status.contains(") Z ")
    };
    let gone = async {
        while read().lines().any(alive) {
            time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(time::timeout(Duration::from_secs(20), gone).await.is_ok(), "one of them lives on");
}

#[tokio::test]
async fn dockers_program_knows_a_login_or_does_not() {
    let login = r#"{"ServerURL": "x", "Username": "<token>", "Secret": "hunter2"}"#;
    let knows = counted(r#"[ "$1" = get ] || exit 9"#, login, Language::Docker);
    let answer = knows.ask("docker.io/library/nginx").await.unwrap();
    let found = answer.keyring.matching("docker.io", "any").next().unwrap();
    assert!(found.identity_token().is_some());
    let input = fs::read_to_string(knows.folder.path().join("runs.input")).unwrap();
    assert_eq!(input, "https://index.docker.io/v1/");
    let unknown = counted("echo credentials not found in native keychain; exit 1", "", Language::Docker);
    assert_eq!(unknown.ask("reg.example/app").await.unwrap().keyring.matching("reg.example", "app").count(), 0);
    let broken = counted("echo hunter2; exit 1", "", Language::Docker);
    assert_eq!(broken.ask("reg.example/app").await.unwrap_err().to_string(), "failed with exit status: 1");
}

#[tokio::test]
async fn a_program_sees_berths_variables_and_its_own() {
    let script = r#"[ -n "$PATH" ] && [ "$PATH" != own ] && [ -n "$RUNS" ]"#;
    let mut told = counted(&format!("{script} || exit 9"), &answer("Image"), kubelet());
    told.ask("reg.example/app").await.unwrap();
    let provider = Arc::get_mut(&mut told.provider);
    assert!(provider.is_some_and(|provider| !format!("{provider:?}").contains("hunter2")));
}
