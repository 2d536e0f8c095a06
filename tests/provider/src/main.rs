//! A credential provider as the tests need it: a kubelet's plugin, a docker credential helper, or a broken one.

use std::{
    env,
    error::Error,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use berth_tests_provider::{Answer, Run, Settings, runs_of, settings_of};
use serde_json::{Value, json};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            // A caller that does not listen changes nothing.
            let _ = writeln!(io::stderr(), "credential-provider: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn Error>> {
    let program = program()?;
    let path = settings_of(&program);
    let settings: Settings = serde_json::from_slice(&read(&path)?)?;
    let mut input = String::new();
    io::stdin().read_to_string(&mut input)?;
    // Before anything else: who is killed was started, too.
    record(&runs_of(&program), &settings, &input)?;
    thread::sleep(Duration::from_millis(settings.sleep_ms));
    io::stderr().write_all(settings.complaint.as_bytes())?;
    let (output, success) = answer(&settings.answer, &input)?;
    io::stdout().write_all(&output)?;
    Ok(if success { settings.exit_code.into() } else { ExitCode::FAILURE })
}

/// The path by which it was started, since that decides which settings are meant.
fn program() -> io::Result<PathBuf> {
    let started = env::args_os().next().map(PathBuf::from).filter(|path| path.is_absolute());
    started.map_or_else(env::current_exe, Ok)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// One write, so that the lines of many at once stay whole.
fn record(path: &Path, settings: &Settings, input: &str) -> Result<(), Box<dyn Error>> {
    let watched = |name: &String| Some((name.clone(), env::var(name).ok()?));
    let run = Run {
        arguments: env::args().skip(1).collect(),
        input: input.to_owned(),
        environment: settings.watched.iter().filter_map(watched).collect(),
    };
    let file = File::options().append(true).create(true).open(path);
    let mut file = file.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(file.write_all(format!("{}\n", serde_json::to_string(&run)?).as_bytes())?)
}

/// What is written to standard output, and whether that is a success.
fn answer(answer: &Answer, input: &str) -> Result<(Vec<u8>, bool), Box<dyn Error>> {
    let text = match answer {
        Answer::Text(text) => text.clone(),
        Answer::Huge(bytes) => "x".repeat(*bytes),
        Answer::Kubelet { auth, cache_key_type, cache_duration } => {
            kubelet(&request(input)?, &json!(auth), cache_key_type, cache_duration.as_deref()).to_string()
        }
        Answer::Ecr { password } => {
            let request = request(input)?;
            let image = request.get("image").and_then(Value::as_str).unwrap_or_default();
            let registry = ecr_registry(image).ok_or_else(|| format!("{image} is not a valid ECR repository URL"))?;
            let auth = json!({ registry: { "username": "AWS", "password": password } });
            kubelet(&request, &auth, "Registry", Some("6h0m0s")).to_string()
        }
        Answer::Helper(secrets) => {
            let server = input.trim();
            let Some(known) = secrets.get(server).filter(|_| env::args().nth(1).as_deref() == Some("get")) else {
                return Ok((b"credentials not found in native keychain\n".to_vec(), false));
            };
            json!({ "ServerURL": server, "Username": known.username, "Secret": known.password }).to_string()
        }
    };
    Ok((text.into_bytes(), true))
}

/// The kubelet's question.
fn request(input: &str) -> Result<Value, Box<dyn Error>> {
    let request: Value = serde_json::from_str(input).map_err(|error| format!("the question is no JSON: {error}"))?;
    let field = |name: &str| request.get(name).and_then(Value::as_str).unwrap_or_default();
    if (field("kind"), field("image").is_empty()) != ("CredentialProviderRequest", false) {
        return Err("the question is no CredentialProviderRequest with an image".into());
    }
    Ok(request)
}

/// The answer, in the version of the question.
fn kubelet(request: &Value, auth: &Value, cache_key_type: &str, cache_duration: Option<&str>) -> Value {
    json!({
        "apiVersion": request.get("apiVersion"),
        "kind": "CredentialProviderResponse",
        "cacheKeyType": cache_key_type,
        "cacheDuration": cache_duration,
        "auth": auth,
    })
}

/// The host of an image in a registry of Amazon's, `ACCOUNT.dkr.ecr.REGION.amazonaws.com`.
fn ecr_registry(image: &str) -> Option<&str> {
    let host = image.split('/').next()?;
    let labels: Vec<_> = host.split('.').collect();
    let (account, rest) = labels.split_first()?;
    let digits = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let ours = matches!(
        rest,
        ["dkr", "ecr" | "ecr-fips", _, "amazonaws", "com"] | ["dkr", "ecr" | "ecr-fips", _, "amazonaws", "com", "cn"]
    );
    (digits && ours).then_some(host)
}
