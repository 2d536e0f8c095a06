//! The kubelet's `CredentialProviderConfig`: which program is asked about which images, and how.
//!
//! # Source
//! Kubernetes 1.36, `k8s.io/kubelet/config/v1` and `pkg/credentialprovider/plugin/config.go`.

use std::{collections::HashSet, fs, io, path::Path, time::Duration};

use super::{
    load::{ConfigError, Finding, wrong},
    section::{Findings, Section},
    value,
    yaml::{self, Value},
};

/// One program that speaks the kubelet's credential provider API.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Provider {
    /// The program: a file in the folder of programs.
    pub name: String,
    /// The images that it is asked about, as the kubelet matches them.
    pub match_images: Vec<String>,
    /// How long its answers are good that do not say.
    pub default_cache_duration: Duration,
    /// The version of the API that it speaks.
    pub api_version: ProviderVersion,
    /// What it is called with.
    pub args: Vec<String>,
    /// Variables besides Berth's own.
    pub env: Vec<(String, String)>,
}

/// The versions of `credentialprovider.kubelet.k8s.io`. They differ in nothing but their names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProviderVersion {
    /// v1.
    V1,
    /// v1beta1.
    V1Beta1,
    /// v1alpha1.
    V1Alpha1,
}

impl ProviderVersion {
    /// The `apiVersion` of requests and responses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "credentialprovider.kubelet.k8s.io/v1",
            Self::V1Beta1 => "credentialprovider.kubelet.k8s.io/v1beta1",
            Self::V1Alpha1 => "credentialprovider.kubelet.k8s.io/v1alpha1",
        }
    }

    const ALL: [Self; 3] = [Self::V1, Self::V1Beta1, Self::V1Alpha1];
}

/// Reads and checks the `CredentialProviderConfig` in the file `path`, YAML or JSON.
///
/// # Errors
/// [`ConfigError`], with the line and key of each mistake.
pub fn load_providers(path: &Path) -> Result<Vec<Provider>, ConfigError> {
    let unreadable = |error: io::Error| ConfigError::Unreadable { path: path.to_owned(), reason: error.to_string() };
    let text = fs::read_to_string(path).map_err(unreadable)?;
    parse(&text).map_err(|findings| wrong(path.display().to_string(), findings))
}

/// What is wrong with the content of such a file, in one line.
pub(super) fn problems(content: &[u8]) -> Option<String> {
    let Ok(text) = str::from_utf8(content) else { return Some("it is no text".to_owned()) };
    let findings = parse(text).err()?;
    Some(findings.iter().map(|finding| format!("line {finding}")).collect::<Vec<_>>().join("; "))
}

fn parse(text: &str) -> Result<Vec<Provider>, Vec<Finding>> {
    let node = yaml::read(text).map_err(|error| vec![error.finding()])?;
    let mut findings = Findings::default();
    let providers = document(Section::root(Some(&node), &mut findings));
    if findings.errors.is_empty() { Ok(providers) } else { Err(findings.errors) }
}

fn document(mut root: Section<'_, '_>) -> Vec<Provider> {
    let versions = ["kubelet.config.k8s.io/v1", "kubelet.config.k8s.io/v1beta1", "kubelet.config.k8s.io/v1alpha1"];
    let _: Option<()> =
        root.required("apiVersion", "kubelet.config.k8s.io/v1", value::choice(&versions.map(|version| (version, ()))));
    let kind = "CredentialProviderConfig";
    let _: Option<()> = root.required("kind", kind, value::choice(&[(kind, ())]));
    let providers: Vec<Provider> = root.sections("providers", Provider::read);
    let mut names = HashSet::new();
    if let Some(twice) = providers.iter().find(|provider| !names.insert(&provider.name)) {
        root.error("providers", format!("`{}` stands here twice; the kubelet refuses that as well", twice.name));
    }
    if providers.is_empty() && root.findings().errors.is_empty() {
        root.error("providers", "there is none; give at least one");
    }
    root.finish();
    providers
}

impl Provider {
    fn read(mut section: Section<'_, '_>) -> Option<Self> {
        let versions = ProviderVersion::ALL.map(|version| (version.as_str(), version));
        let name = section.required("name", "ecr-credential-provider", file_name);
        let api_version = section.required("apiVersion", ProviderVersion::V1.as_str(), value::choice(&versions));
        let duration = section.required("defaultCacheDuration", "12h", kubernetes_duration);
        let match_images = section.list("matchImages", |value| value::text(value).map(str::to_owned));
        if match_images.as_ref().is_none_or(Vec::is_empty) {
            section.error("matchImages", "it is missing; write the images, as in `[\"*.dkr.ecr.*.amazonaws.com\"]`");
        }
        let args = section.list("args", any_text).unwrap_or_default();
        let env = section.sections("env", variable);
        if section.has("tokenAttributes") {
            let _: Option<()> = section.value("tokenAttributes", |_| {
                Err("tokens of the Pod's ServiceAccount are not supported: Berth creates none; leave this provider out, or give it an identity of Berth's own".to_owned())
            });
        }
        section.finish();
        Some(Self {
            name: name?,
            match_images: match_images?,
            default_cache_duration: duration?,
            api_version: api_version?,
            args,
            env,
        })
    }
}

/// The name of a file, and nothing that leads to another folder.
fn file_name(value: &Value) -> Result<String, String> {
    let name = value::text(value)?;
    let plain = !name.contains(['/', ' ', '\0']) && !matches!(name, "." | "..");
    if plain { Ok(name.to_owned()) } else { Err(format!("{} is not the name of a file in `binDir`", value.describe())) }
}

fn variable(mut section: Section<'_, '_>) -> Option<(String, String)> {
    let name = section.required("name", "AWS_REGION", |value| match value::text(value)? {
        name if name.contains(['=', '\0']) => Err(format!("{} is not the name of a variable", value.describe())),
        name => Ok(name.to_owned()),
    });
    let text = section.required("value", "\"\"", any_text);
    section.finish();
    name.zip(text)
}

/// A text, which may be empty.
fn any_text(value: &Value) -> Result<String, String> {
    match value {
        Value::Plain(text) | Value::Text(text) if !text.contains('\0') => Ok(text.clone()),
        other => Err(format!("{} is not a text", other.describe())),
    }
}

fn kubernetes_duration(value: &Value) -> Result<Duration, String> {
    let duration = value::text(value).ok().and_then(go_duration);
    duration.ok_or_else(|| format!("{} is not a duration, as in `12h` or `1h30m`", value.describe()))
}

/// A duration as Go writes and reads it, from zero up: `12h0m0s`, `1.5h`, `300ms`, `0`.
pub fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, after) = rest.split_at_checked(end)?;
        let end = after.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let (_, seconds) = GO_UNITS.iter().find(|(name, _)| *name == unit)?;
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = after;
    }
    Some(total)
}

/// Names and seconds.
const GO_UNITS: &[(&str, f64)] =
    &[("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("μs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\n";

    #[test]
    fn a_kubelets_file_is_read_as_it_is() {
        let text = r#"
providers:
  - name: ecr-credential-provider
    matchImages: ["*.dkr.ecr.*.amazonaws.com", "*.dkr.ecr.*.amazonaws.com.cn"]
    defaultCacheDuration: "12h"
    apiVersion: credentialprovider.kubelet.k8s.io/v1
    args: [get-credentials, "--v=3"]
    env:
      - { name: AWS_PROFILE, value: example }
      - { name: EMPTY, value: "" }
  - { name: gcp, matchImages: [gcr.io], defaultCacheDuration: 1m30s, apiVersion: credentialprovider.kubelet.k8s.io/v1beta1 }
"#;
        let providers = parse(&[HEAD, text].concat()).unwrap();
        let [ecr, gcp] = &*providers else { panic!("{providers:?}") };
        assert_eq!((&*ecr.name, ecr.api_version), ("ecr-credential-provider", ProviderVersion::V1));
        assert_eq!(ecr.match_images, ["*.dkr.ecr.*.amazonaws.com", "*.dkr.ecr.*.amazonaws.com.cn"]);
        assert_eq!(ecr.default_cache_duration, Duration::from_secs(12 * 3600));
        assert_eq!(ecr.args, ["get-credentials", "--v=3"]);
        let env = [("AWS_PROFILE", "example"), ("EMPTY", "")];
        assert_eq!(ecr.env, env.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!((gcp.api_version, gcp.default_cache_duration.as_secs()), (ProviderVersion::V1Beta1, 90));
        let json = format!(
            r#"{{"apiVersion": "kubelet.config.k8s.io/v1", "kind": "CredentialProviderConfig", "providers": [{}]}}"#,
            r#"{"name": "x", "matchImages": ["a.example"], "defaultCacheDuration": "0s", "apiVersion": "credentialprovider.kubelet.k8s.io/v1"}"#
        );
        assert_eq!(parse(&json).unwrap()[0].match_images, ["a.example"]);
    }

    #[track_caller]
    fn check(provider: &str, want: &[&str]) {
        let text = format!("{HEAD}providers:\n  - {{ {provider} }}\n");
        let findings: Vec<_> = parse(&text).unwrap_err().iter().map(Finding::to_string).collect();
        assert_eq!(findings, want, "{provider}");
    }

    const GOOD: &str =
        "matchImages: [a.example], defaultCacheDuration: 0, apiVersion: credentialprovider.kubelet.k8s.io/v1";

    #[test]
    fn a_program_is_a_file_in_its_folder() {
        for name in ["../evil", "/bin/sh", "..", ".", "'a b'", "a/b"] {
            let plain = name.trim_matches('\'');
            let want = format!("4: providers[0].name: `{plain}` is not the name of a file in `binDir`");
            check(&format!("name: {name}, {GOOD}"), &[&want]);
        }
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        check(
            "name: x",
            &[
                "4: providers[0].apiVersion: it is missing; write `apiVersion: credentialprovider.kubelet.k8s.io/v1`",
                "4: providers[0].defaultCacheDuration: it is missing; write `defaultCacheDuration: 12h`",
                "4: providers[0].matchImages: it is missing; write the images, as in `[\"*.dkr.ecr.*.amazonaws.com\"]`",
            ],
        );
        let tokens = format!("name: x, {GOOD}, tokenAttributes: {{ serviceAccountTokenAudience: a }}");
        check(
            &tokens,
            &[
                "4: providers[0].tokenAttributes: tokens of the Pod's ServiceAccount are not supported: Berth creates none; leave this provider out, or give it an identity of Berth's own",
            ],
        );
        let variable = format!("name: x, {GOOD}, env: [{{ name: \"A=B\", value: c }}]");
        check(&variable, &["4: providers[0].env[0].name: `A=B` is not the name of a variable"]);
        let twice = format!("{HEAD}providers: [{{ name: x, {GOOD} }}, {{ name: x, {GOOD} }}]");
        let findings = parse(&twice).unwrap_err();
        assert_eq!(findings[0].to_string(), "3: providers: `x` stands here twice; the kubelet refuses that as well");
        for none in ["", "providers: []"] {
            let findings = parse(&[HEAD, none].concat()).unwrap_err();
            assert!(findings[0].to_string().ends_with("providers: there is none; give at least one"), "{findings:?}");
        }
    }

    #[test]
    fn a_file_says_what_it_is() {
        let of = |version: &str| {
            let head = format!("apiVersion: {version}\nkind: CredentialProviderConfig\n");
            format!("{head}providers: [{{ name: x, {GOOD} }}]\n")
        };
        for version in ["v1", "v1beta1", "v1alpha1"] {
            assert!(parse(&of(&format!("kubelet.config.k8s.io/{version}"))).is_ok(), "{version}");
        }
        assert!(parse(&of("kubelet.config.k8s.io/v2")).is_err() && parse(&of("berth.dev/v1alpha1")).is_err());
        assert!(parse("a: b: c").is_err());
    }

    #[test]
    fn reads_durations_as_go_does() {
        let milliseconds = |text: &str| go_duration(text).map(|duration| duration.as_millis());
        for (text, want) in [
            ("0", 0),
            ("0s", 0),
            ("12h", 43_200_000),
            ("6h0m0s", 21_600_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("1m0.25s", 60_250),
            ("250ms", 250),
            ("+1s", 1000),
            ("1500us", 1),
        ] {
            assert_eq!(milliseconds(text), Some(want), "{text}");
        }
        for wrong in ["", "+", "5", "s", "-1s", "1d", "1 h", "1.2.3s", ".s", "99999999999999999999h", "1e3s"] {
            assert_eq!(milliseconds(wrong), None, "{wrong}");
        }
    }
}
