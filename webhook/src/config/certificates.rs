//! `certificates:` — who brings the certificate that API servers know Berth by, and how long one counts.

use std::{path::PathBuf, time::Duration};

use super::{
    section::{Content, Section},
    value,
};

/// The section `certificates`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certificates {
    /// Who makes them.
    pub source: CertificateSource,
    /// The CAs to publish; with [`CertificateSource::Files`] only.
    pub ca_file: Option<PathBuf>,
    /// How long a CA counts; it is replaced when a third of that is left.
    pub ca_lifetime: Duration,
    /// How long a serving certificate counts; it is renewed when a third of that is left.
    pub leaf_lifetime: Duration,
    /// How long a new CA is published before anything that it signed is served.
    pub hold: Duration,
}

impl Certificates {
    pub(super) fn read(mut section: Section<'_, '_>) -> Self {
        let sources = [
            ("berth", CertificateSource::Berth),
            ("secret", CertificateSource::Secret),
            ("files", CertificateSource::Files),
            ("none", CertificateSource::None),
        ];
        let lifetime = || value::duration_within(LIFETIME_LEAST, LIFETIME_MOST);
        let hold = value::duration_within(HOLD_LEAST, HOLD_MOST);
        let source = section.value("source", value::choice(&sources)).unwrap_or(CertificateSource::Berth);
        let ca_file = match source {
            CertificateSource::Files => section.required_file("caFile", Content::Authorities),
            _ => section.file("caFile", Content::Authorities),
        };
        let certificates = Self {
            source,
            ca_file,
            ca_lifetime: section.value("caLifetime", lifetime()).unwrap_or(CA_LIFETIME),
            leaf_lifetime: section.value("leafLifetime", lifetime()).unwrap_or(LEAF_LIFETIME),
            hold: section.value("hold", hold).unwrap_or(HOLD),
        };
        certificates.check(&mut section);
        section.finish();
        certificates
    }

    /// Times that do not fit each other, and times that only a test can want.
    fn check(&self, section: &mut Section<'_, '_>) {
        if self.ca_file.is_some() && self.source != CertificateSource::Files {
            section.warning("caFile", "it has no effect: only with `source: files` is it published");
        }
        if self.source != CertificateSource::Berth {
            for key in ["caLifetime", "leafLifetime"] {
                if section.has(key) {
                    section.warning(key, "it has no effect: only with `source: berth` are certificates made by Berth");
                }
            }
            if self.source != CertificateSource::None {
                self.doubt_hold(section);
            } else if section.has("hold") {
                section.warning("hold", "it has no effect: with `source: none` Berth publishes nothing");
            }
            return;
        }
        if self.leaf_lifetime > self.ca_lifetime {
            let (key, text) = if section.has("leafLifetime") {
                ("leafLifetime", "it is longer than `caLifetime` (`8760h` where nothing is said)")
            } else {
                ("caLifetime", "it is shorter than `leafLifetime`, which is `2160h` where nothing is said: set both")
            };
            section.error(key, text);
        } else if self.hold > self.leaf_lifetime / RENEWED_AT {
            let (key, text) = if section.has("hold") {
                ("hold", "it is longer than a third of `leafLifetime`: a certificate could expire meanwhile")
            } else {
                ("leafLifetime", "a third of it is less than `hold`, which is `10m` where nothing is said: set both")
            };
            section.error(key, text);
        } else if self.hold > self.ca_lifetime / HOLDS_IN_A_CA {
            let key = if section.has("caLifetime") { "caLifetime" } else { "hold" };
            section.error(
                key,
                "`hold` is longer than a sixth of `caLifetime`: the CA could expire before the next one counts",
            );
        } else {
            self.doubt(section);
        }
    }

    fn doubt(&self, section: &mut Section<'_, '_>) {
        if self.leaf_lifetime < LEAF_LIFETIME_SOUND {
            section.warning("leafLifetime", "less than `24h` is for tests: a controller that is away ends the service");
        }
        self.doubt_hold(section);
    }

    fn doubt_hold(&self, section: &mut Section<'_, '_>) {
        if self.hold < HOLD_SOUND {
            section.warning("hold", "less than `1m` is for tests: an API server may learn of a new CA later than that");
        }
    }
}

/// Who makes the certificate that Berth serves with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CertificateSource {
    /// `berth controller`.
    Berth,
    /// Somebody else, who keeps the Secret `berth-tls`; the controller publishes the `ca.crt` in it.
    Secret,
    /// Somebody else, by files (`--tls-cert`, `--tls-key`); the controller publishes `caFile`.
    Files,
    /// Somebody else, who publishes it as well.
    None,
}

/// A certificate is renewed when this part of its lifetime is left.
const RENEWED_AT: u32 = 3;
/// A third of a CA's life is left when its successor is made, and the hold begins anew where the bundle was lost.
const HOLDS_IN_A_CA: u32 = 6;
const CA_LIFETIME: Duration = Duration::from_secs(365 * DAY);
const LEAF_LIFETIME: Duration = Duration::from_secs(90 * DAY);
/// Every API server follows the webhook configurations by a watch of its own.
const HOLD: Duration = Duration::from_secs(10 * 60);
/// Certificates count by the second.
const LIFETIME_LEAST: (Duration, &str) = (Duration::from_secs(3), "3s");
const LIFETIME_MOST: (Duration, &str) = (Duration::from_secs(3650 * DAY), "87600h");
const HOLD_LEAST: (Duration, &str) = (Duration::from_secs(1), "1s");
const HOLD_MOST: (Duration, &str) = (Duration::from_secs(DAY), "24h");
const LEAF_LIFETIME_SOUND: Duration = Duration::from_secs(DAY);
const HOLD_SOUND: Duration = Duration::from_secs(60);
/// Seconds.
const DAY: u64 = 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, parse};

    fn read(body: &str) -> Result<(Config, Vec<String>), String> {
        let text = format!("apiVersion: berth.dev/v1alpha1\nkind: Configuration\ncertificates: {body}\n");
        let (config, warnings) = parse(&text, "c").map_err(|error| error.to_string())?;
        Ok((config, warnings.iter().map(ToString::to_string).collect()))
    }

    #[track_caller]
    fn good(body: &str, want: Certificates) {
        let (config, warnings) = read(body).unwrap();
        assert_eq!((config.certificates, warnings), (want, Vec::new()), "{body}");
    }

    #[track_caller]
    fn bad(body: &str, message: &str) {
        assert_eq!(read(body).unwrap_err(), ["c:3: certificates.", message].concat(), "{body}");
    }

    #[track_caller]
    fn warned(body: &str, keys: &[&str]) {
        let (_, warnings) = read(body).unwrap();
        let about: Vec<_> = warnings.iter().filter_map(|warning| warning.split(": ").nth(1)).collect();
        assert_eq!(about, keys, "{body}");
    }

    #[test]
    fn what_is_not_said_is_a_year_ninety_days_and_ten_minutes() {
        let usual = Certificates {
            source: CertificateSource::Berth,
            ca_file: None,
            ca_lifetime: CA_LIFETIME,
            leaf_lifetime: LEAF_LIFETIME,
            hold: HOLD,
        };
        good("{}", usual.clone());
        assert_eq!(Config::default().certificates, usual);
        good("{source: berth, caLifetime: 8760h, leafLifetime: 2160h, hold: 10m}", usual.clone());
        good("{source: secret}", Certificates { source: CertificateSource::Secret, ..usual.clone() });
        let ca_file = Some(PathBuf::from("/ca.crt"));
        good(
            "{source: files, caFile: /ca.crt}",
            Certificates { source: CertificateSource::Files, ca_file, ..usual.clone() },
        );
        good("{source: none}", Certificates { source: CertificateSource::None, ..usual.clone() });
        let day = Duration::from_secs(DAY);
        good("{leafLifetime: 24h}", Certificates { leaf_lifetime: day, ..usual.clone() });
        good(
            "{caLifetime: 24h, leafLifetime: 24h, hold: 4h}",
            Certificates { ca_lifetime: day, leaf_lifetime: day, hold: day / 6, ..usual },
        );
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        bad("{source: cert-manager}", "source: `cert-manager` is not one of `berth`, `secret`, `files`, `none`");
        bad("{source: files}", "caFile: it is missing; write `caFile: FILE`");
        bad("{leafLifetime: 9000h}", "leafLifetime: it is longer than `caLifetime` (`8760h` where nothing is said)");
        let text = "caLifetime: it is shorter than `leafLifetime`, which is `2160h` where nothing is said: set both";
        bad("{caLifetime: 24h}", text);
        let text = "hold: it is longer than a third of `leafLifetime`: a certificate could expire meanwhile";
        bad("{leafLifetime: 30h, hold: 11h}", text);
        let text = "leafLifetime: a third of it is less than `hold`, which is `10m` where nothing is said: set both";
        bad("{leafLifetime: 29m}", text);
        let text =
            "caLifetime: `hold` is longer than a sixth of `caLifetime`: the CA could expire before the next one counts";
        bad("{caLifetime: 24h, leafLifetime: 24h, hold: 5h}", text);
        bad("{hold: 0s}", "hold: `0s` is not between `1s` and `24h`");
        bad("{leafLifetime: 1s}", "leafLifetime: `1s` is not between `3s` and `87600h`");
        bad("{caLifetime: 100000h}", "caLifetime: `100000h` is not between `3s` and `87600h`");
        bad(
            "{caLifetime: 365d}",
            "caLifetime: `365d` is not a duration: numbers with units, as in `0s`, `250ms`, `5m`, `24h`",
        );
        bad(
            "{lifetime: 1h}",
            "lifetime: there is no such key; here can stand `source`, `caFile`, `caLifetime`, `leafLifetime`, `hold`",
        );
    }

    #[test]
    fn what_only_a_test_can_want_is_doubted() {
        warned("{caLifetime: 30s, leafLifetime: 15s, hold: 2s}", &["certificates.leafLifetime", "certificates.hold"]);
        warned("{hold: 59s}", &["certificates.hold"]);
        warned("{source: secret, hold: 1h}", &[]);
        warned("{source: secret, hold: 59s}", &["certificates.hold"]);
        warned("{source: none, hold: 1h}", &["certificates.hold"]);
        warned("{source: files, caFile: /ca.crt, hold: 59s}", &["certificates.hold"]);
        warned("{source: secret, caFile: /ca.crt}", &["certificates.caFile"]);
        warned(
            "{source: none, caLifetime: 24h, leafLifetime: 48h}",
            &["certificates.caLifetime", "certificates.leafLifetime"],
        );
    }
}
