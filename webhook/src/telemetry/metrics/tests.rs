//! The names, which dashboards rely on.

use std::time::SystemTime;

use berth_cert_manager::{Validity, plan::Status};

use super::*;
use crate::telemetry::outcome::{Answer, Refused};

#[track_caller]
fn check(metrics: &Metrics, line: &str) {
    let text = metrics.encode().unwrap();
    assert!(text.lines().any(|found| found == line), "no line `{line}` in:\n{text}");
}

#[test]
fn names_are_what_dashboards_rely_on() {
    let metrics = Metrics::default();
    metrics.review(Review::Patched, Duration::from_millis(1));
    metrics.shed(Shed::Bodies);
    let not_after = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    metrics.certificate.served(Some(Validity { not_before: SystemTime::UNIX_EPOCH, not_after }));
    metrics.certificate.refused(Refused::Mismatch);
    metrics.nodes_heard(3, Instant::now());
    assert!(!metrics.encode().unwrap().contains("stored_certificate_expiry_timestamp_seconds{"), "nothing is known");
    let leaf_expires = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000));
    metrics.rotation.looked(&Status { leaf_expires, unpublished: 1, ..Status::default() });
    metrics.rotation.happened("BundleRestored");
    metrics.configuration_broken();
    metrics.registries.answer(Answer::Remembered);
    check(&metrics, r#"berth_registry_answers_total{kind="remembered"} 1"#);
    check(&metrics, r#"berth_reviews_total{outcome="patched"} 1"#);
    check(&metrics, "berth_review_seconds_count 1");
    check(&metrics, r#"berth_shed_total{reason="bodies"} 1"#);
    check(&metrics, "berth_certificate_expiry_timestamp_seconds 1800000000");
    check(&metrics, r#"berth_stored_certificate_expiry_timestamp_seconds{kind="ca"} 0"#);
    check(&metrics, r#"berth_stored_certificate_expiry_timestamp_seconds{kind="leaf"} 1900000000"#);
    check(&metrics, "berth_ca_unpublished 1");
    check(&metrics, r#"berth_certificate_news_total{reason="BundleRestored"} 1"#);
    check(&metrics, r#"berth_certificate_refused_total{reason="mismatch"} 1"#);
    check(&metrics, "berth_nodes 3");
    check(&metrics, "berth_configuration_valid 0");
    check(&metrics, "# EOF");
}

#[test]
fn every_metric_is_explained() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md")).unwrap();
    let explained = text.lines().filter_map(|line| line.strip_prefix("| `berth_")?.split('`').next());
    let explained: Vec<_> = explained.collect();
    let registry = format!("{:?}", Metrics::default().registry);
    let registered: Vec<_> = registry.split("name: \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(registered.len() > 15, "{registry}");
    for name in &registered {
        assert!(explained.iter().any(|explained| explained.starts_with(name)), "docs/metrics.md lacks {name}");
    }
    for name in &explained {
        assert!(registered.iter().any(|registered| name.starts_with(registered)), "there is no metric {name}");
    }
}
