//! What is told about the objects.

use super::*;

/// What is told of `facts`, after `change`.
fn told(mut facts: Facts, change: impl FnOnce(&mut Facts)) -> Vec<String> {
    change(&mut facts);
    let state = State::of(&facts.settings, facts.ca.as_ref(), facts.tls.as_ref(), facts.configurations);
    let found = findings(facts.now, &state, &facts.settings).into_iter();
    found.map(|(about, found)| format!("{}: {found}", about.name())).collect()
}

#[track_caller]
fn check(facts: Facts, change: impl FnOnce(&mut Facts), wanted: &[&str]) {
    let told = told(facts, change);
    assert_eq!(told.len(), wanted.len(), "{told:?}");
    for (told, wanted) in told.iter().zip(wanted) {
        assert!(told.starts_with(wanted), "wanted {wanted:?} of {told:?}");
    }
}

fn kept(facts: &mut Facts) {
    facts.tls().annotations.insert("cert-manager.io/certificate-name".to_owned(), "berth-tls".to_owned());
}

#[test]
fn where_nothing_is_wrong_nothing_is_told() {
    for facts in [Facts::settled(), Facts::rotating(), Facts::rotated(), Facts::brought()] {
        check(facts, |_| (), &[]);
    }
}

/// The leaf has no fault of its own, so it is not named beside the CA.
#[test]
fn a_ca_that_is_not_valid_at_this_time_is_named() {
    let issue = |then: SystemTime| {
        move |facts: &mut Facts| {
            let other = Authority::issue("other", then, HOUR).unwrap();
            set(facts.ca(), "ca.crt", other.certificate_pem());
            set(facts.ca(), "ca.key", &other.key_pem());
        }
    };
    let expired = &["berth-ca: the CA cannot sign: the certificate expired at 2026-11-20"];
    check(Facts::settled(), issue(start() - DAY), expired);
    let early = &["berth-ca: the CA cannot sign: the certificate is not valid before 2026-11-21T23"];
    check(Facts::settled(), issue(start() + DAY), early);
    let both = |facts: &mut Facts| {
        issue(start() - DAY)(facts);
        set(facts.tls(), "tls.key", &B.leaf.key_pem);
    };
    let and_leaf = "berth-tls: the certificate cannot be used: the private key does not belong";
    check(Facts::settled(), both, &[expired[0], and_leaf]);
}

#[test]
fn a_ca_that_is_coming_and_cannot_sign_is_named() {
    let mismatch = |facts: &mut Facts| set(facts.ca(), "coming.key", &A.authority.key_pem());
    check(
        Facts::rotating(),
        mismatch,
        &["berth-ca: the CA that is coming cannot sign: the private key does not belong"],
    );
    let expired = |facts: &mut Facts| {
        let other = Authority::issue("other", start() - DAY, HOUR).unwrap();
        set(facts.ca(), "coming.crt", other.certificate_pem());
        set(facts.ca(), "coming.key", &other.key_pem());
    };
    check(Facts::rotating(), expired, &["berth-ca: the CA that is coming cannot sign: the certificate expired at"]);
}

#[test]
fn a_secret_that_another_project_keeps_too_is_a_finding() {
    let two = "berth-tls: the CNCF project cert-manager keeps";
    let injected = |facts: &mut Facts| {
        kept(facts);
        let injector = ("cert-manager.io/inject-ca-from".to_owned(), "x/y".to_owned());
        facts.configuration(0).annotations.extend([injector]);
    };
    check(Facts::settled(), injected, &["zz-berth.dev: it has the annotation", two]);
    assert!(told(Facts::settled(), kept)[0].contains("set `source: secret`"));
    for source in [Source::Secret, Source::Authorities(bundle(&[&A])), Source::Nobody] {
        let elsewhere = |facts: &mut Facts| {
            injected(facts);
            facts.settings.source = source;
        };
        check(Facts::settled(), elsewhere, &[]);
    }
    // It hides no other fault, and comes after it.
    let mixed_up = |facts: &mut Facts| {
        kept(facts);
        set(facts.tls(), "tls.key", &B.leaf.key_pem);
    };
    check(Facts::settled(), mixed_up, &["berth-tls: the certificate cannot be used: the private key", two]);
}
