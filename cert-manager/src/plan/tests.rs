mod facts;
mod found;

use std::time::Duration;

use self::facts::{A, B, DAY, Facts, HOUR, STRANGER, bundle, check, leaf, note, secret, set, start};
use super::*;
use crate::{Authority, moment, served::PATIENCE};

#[test]
fn nothing_is_done_until_two_thirds_of_a_life_are_over() {
    check(Facts::settled(), |_| (), "wait until 1440 h");
    check(Facts::settled(), |facts| facts.now = start() + 60 * DAY - HOUR, "wait until 1440 h");
    check(Facts::settled(), |facts| facts.now = start() + 60 * DAY, "issue leaf Signing Renewal");
    let fresh = |facts: &mut Facts| {
        let leaf = A.authority.issue_leaf(&facts.settings.names(), facts.now, 90 * DAY).unwrap();
        set(facts.tls(), "tls.crt", &leaf.certificate_pem);
        set(facts.tls(), "tls.key", &leaf.key_pem);
    };
    let due = |facts: &mut Facts| {
        facts.now = start() + 244 * DAY;
        fresh(facts);
    };
    check(Facts::settled(), due, "start rotation 4");
    check(Facts::settled(), |facts| facts.settings.source = Source::Nobody, "wait until news");
}

#[test]
fn a_ca_is_made_where_none_can_sign() {
    let nothing = |facts: &mut Facts| {
        (facts.ca, facts.tls) = (None, None);
        facts.configurations.clear();
    };
    check(Facts::settled(), nothing, "issue CA 1 beside []");
    check(Facts::settled(), |facts| facts.ca = None, "issue CA 4 beside [a]");
    check(Facts::settled(), |facts| (facts.ca, facts.tls) = (None, None), "issue CA 4 beside [a]");
    check(Facts::settled(), |facts| set(facts.ca(), "ca.key", "garbage"), "issue CA 4 beside [a]");
    check(Facts::settled(), |facts| set(facts.ca(), "ca.key", &B.authority.key_pem()), "issue CA 4 beside [a]");
    check(Facts::settled(), |facts| set(facts.ca(), "ca.crt", "garbage"), "issue CA 4 beside [a]");
    check(Facts::settled(), |facts| facts.ca().data.clear(), "issue CA 4 beside [a]");
    check(Facts::settled(), |facts| facts.now = start() + 366 * DAY, "issue CA 4 beside []");
    check(Facts::settled(), |facts| facts.now = start() - 2 * HOUR, "issue CA 4 beside [a]");
    check(Facts::rotating(), |facts| facts.ca().data.clear(), "issue CA 5 beside [a+b]");
}

/// Replicas serve on with a leaf that is in no Secret any more, as long as they doubt the one of a CA that is new to them.
#[test]
fn what_is_inherited_is_trusted_for_longer_than_replicas_doubt() {
    let mut facts = Facts::settled();
    (facts.ca, facts.tls) = (None, None);
    facts.settings.hold = Duration::from_secs(1);
    let now = facts.now;
    let Action::IssueAuthority(Inheritance { until, .. }) = facts.action() else { panic!("there is no CA") };
    assert!(until >= now + 2 * PATIENCE, "{:?}", until.duration_since(now));
}

#[test]
fn a_generation_is_above_every_other() {
    let unnumbered = |facts: &mut Facts| drop(facts.ca().annotations.remove("berth.dev/generation"));
    check(Facts::settled(), unnumbered, "renumber 4 beside []");
    check(Facts::settled(), |facts| facts.tls().annotations.extend([note("generation", "9")]), "renumber 10 beside []");
    let ahead = |facts: &mut Facts| facts.configuration(1).annotations.extend([note("generation", "7")]);
    check(Facts::settled(), ahead, "renumber 8 beside []");
    let absurd =
        |facts: &mut Facts| facts.configuration(1).annotations.extend([note("generation", "99999999999999999999")]);
    check(Facts::settled(), absurd, "publish 0x[]");
    // Nobody goes on from a number that was not reached by counting.
    for far in [(1 << 40) + 1, u64::MAX - 1, u64::MAX] {
        let far = |facts: &mut Facts| facts.configuration(1).annotations.extend([note("generation", &far.to_string())]);
        check(Facts::settled(), far, "publish 0x[]");
    }
    let last = |facts: &mut Facts| facts.tls().annotations.extend([note("generation", &(1_u64 << 40).to_string())]);
    check(Facts::settled(), last, "renumber 1099511627777 beside []");
    let beyond = |facts: &mut Facts| {
        let far = note("generation", &((1_u64 << 40) + 1).to_string());
        facts.ca().annotations.extend([far.clone()]);
        facts.tls().annotations.extend([far.clone()]);
        (0..2).for_each(|at| facts.configuration(at).annotations.extend([far.clone()]));
    };
    check(Facts::settled(), beyond, "wait until 1440 h");
    // An old copy of the CA's Secret was put back: the leaf that is served is of a later CA.
    let put_back = |facts: &mut Facts| facts.ca = Facts::settled().ca;
    check(Facts::rotated(), put_back, "renumber 5 beside [b]");
}

#[test]
fn a_leaf_that_nobody_would_accept_is_replaced_at_once() {
    let none = "issue leaf Signing NoneUsable";
    check(Facts::settled(), |facts| facts.tls = None, none);
    check(Facts::settled(), |facts| facts.tls().data.clear(), none);
    check(Facts::settled(), |facts| set(facts.tls(), "tls.key", &B.leaf.key_pem), none);
    check(Facts::settled(), |facts| set(facts.tls(), "tls.crt", "garbage"), none);
    check(Facts::settled(), |facts| facts.now = start() + 91 * DAY, none);
    check(Facts::settled(), |facts| facts.settings.service = "renamed".to_owned(), none);
    let stranger =
        |facts: &mut Facts| facts.tls = Some(secret(&[note("generation", "3")], &leaf(&STRANGER, &[&STRANGER])));
    check(Facts::settled(), stranger, none);
    // API servers accept it: somebody else brought certificates so far. It is served on until the hold is over.
    let brought = |facts: &mut Facts| {
        stranger(facts);
        (0..2).for_each(|at| facts.publish(at, &bundle(&[&STRANGER])));
    };
    check(Facts::settled(), brought, "renumber 4 beside [stranger]");
    let hours = |hours: u32| {
        move |facts: &mut Facts| {
            brought(facts);
            facts
                .ca()
                .annotations
                .extend([note("generation", "4"), note("retired-until", &moment::written(start() + 90 * DAY))]);
            facts.tls().annotations.extend([note("generation", "4")]);
            set(facts.ca(), "retired.crt", STRANGER.pem());
            set(facts.tls(), "ca.crt", &bundle(&[&A, &STRANGER]).to_pem());
            for at in 0..2 {
                facts.publish(at, &bundle(&[&A, &STRANGER]));
                facts.configuration(at).annotations.extend([note("generation", "4")]);
            }
            let published = moment::written(facts.now);
            facts.ca().annotations.extend([note("published", &published)]);
            facts.now += hours * HOUR;
        }
    };
    check(Facts::settled(), hours(0), "wait until 1 h");
    check(Facts::settled(), hours(1), "issue leaf Signing Rotation");
    check(Facts::rotating(), |facts| facts.tls = None, none); // by A, which is known everywhere
    let held = |facts: &mut Facts| (facts.tls, facts.now) = (None, start() + 2 * HOUR);
    check(Facts::rotating(), held, "issue leaf Coming NoneUsable");
}

#[test]
fn the_first_leaf_of_a_new_ca_waits_for_its_bundle() {
    let new = |facts: &mut Facts| {
        (facts.tls, facts.now) = (None, start());
        facts.ca().annotations.remove("berth.dev/published");
        (0..2).for_each(|at| facts.publish(at, &Bundle::default()));
        (0..2).for_each(|at| drop(facts.configuration(at).annotations.remove("berth.dev/generation")));
    };
    check(Facts::settled(), new, "publish 2x[a], 2x[a]");
    let impatient = |facts: &mut Facts| {
        new(facts);
        facts.now += Duration::from_secs(30);
    };
    check(Facts::settled(), impatient, "issue leaf Signing NoneUsable");
    // Where others are still trusted, API servers get five seconds.
    let after = |seconds| {
        move |facts: &mut Facts| {
            (facts.tls, facts.now) = (None, start() + Duration::from_secs(seconds));
            facts.ca().annotations.extend([note("published", &moment::written(start()))]);
            let young = Authority::issue("young", start(), 365 * DAY).unwrap();
            set(facts.ca(), "ca.crt", young.certificate_pem());
            set(facts.ca(), "ca.key", &young.key_pem());
            set(facts.ca(), "retired.crt", A.pem());
            let both = Bundle::read(young.certificate_pem().as_bytes()).with(&bundle(&[&A]));
            (0..2).for_each(|at| facts.publish(at, &both));
        }
    };
    check(Facts::settled(), after(4), "wait until 0 h");
    check(Facts::settled(), after(5), "issue leaf Signing NoneUsable");
}

#[test]
fn the_bundle_beside_the_leaf_is_that_of_its_generation() {
    check(Facts::settled(), |facts| drop(facts.tls().data.remove("ca.crt")), "refresh bundle");
    check(Facts::settled(), |facts| set(facts.tls(), "ca.crt", "garbage"), "refresh bundle");
    check(Facts::settled(), |facts| set(facts.tls(), "ca.crt", B.pem()), "refresh bundle");
    check(Facts::settled(), |facts| facts.tls().annotations.clear(), "refresh bundle");
    check(Facts::rotating(), |facts| facts.tls().annotations.extend([note("generation", "3")]), "refresh bundle");
}

#[test]
fn ordinary_repair_adds_and_only_an_outdated_bundle_is_replaced() {
    check(Facts::settled(), |facts| facts.publish(0, &Bundle::default()), "publish 2x[a] again");
    check(Facts::settled(), |facts| facts.publish(1, &bundle(&[&STRANGER])), "publish 2x[a+stranger] again");
    check(Facts::settled(), |facts| facts.publish(1, &bundle(&[&STRANGER, &A])), "wait until 1440 h");
    let unnumbered = |facts: &mut Facts| {
        facts.configuration(0).annotations.clear();
        facts.publish(0, &bundle(&[&STRANGER]));
    };
    check(Facts::settled(), unnumbered, "publish 2x[a+stranger]");
    let outdated = |facts: &mut Facts| {
        facts.configuration(0).annotations.extend([note("generation", "2")]);
        facts.publish(0, &bundle(&[&STRANGER, &A]));
    };
    check(Facts::settled(), outdated, "publish 2x[a]");
    let one = |facts: &mut Facts| facts.configuration(0).webhooks[1].bundle = Bundle::default();
    check(Facts::settled(), one, "publish 1x[a] again");
    check(Facts::settled(), |facts| facts.configurations.clear(), "wait until 1440 h");
    let injected = |facts: &mut Facts| {
        facts.configuration(0).annotations.insert("cert-manager.io/inject-ca-from".to_owned(), "x/y".to_owned());
        facts.publish(0, &bundle(&[&STRANGER]));
    };
    check(Facts::settled(), injected, "wait until 1440 h");
}

#[test]
fn the_hold_begins_when_every_configuration_has_the_bundle() {
    let unpublished = |facts: &mut Facts| drop(facts.ca().annotations.remove("berth.dev/published"));
    check(Facts::rotating(), unpublished, "start hold");
    let and_wiped = |facts: &mut Facts| {
        unpublished(facts);
        facts.publish(1, &bundle(&[&A]));
    };
    check(Facts::rotating(), and_wiped, "publish 2x[a+b] again");
    check(Facts::rotating(), |facts| facts.publish(1, &bundle(&[&A])), "publish 2x[a+b] again, dated");
    check(Facts::settled(), |facts| facts.publish(1, &Bundle::default()), "publish 2x[a] again");
    // One has lost the bundle, and got it back after nine minutes.
    let back = |minutes: u32, noted: u32| {
        move |facts: &mut Facts| {
            let after = |minutes: u32| moment::written(start() + HOUR + minutes * Duration::from_secs(60));
            facts.configuration(1).annotations.extend([note("bundle-changed", &after(9))]);
            facts.ca().annotations.extend([note("published", &after(noted))]);
            facts.now += minutes * Duration::from_secs(60);
        }
    };
    check(Facts::rotating(), back(9, 0), "start hold from minute 9");
    check(Facts::rotating(), back(11, 0), "start hold from minute 11");
    check(Facts::rotating(), back(8, 0), "start hold from minute 9"); // by a clock that is late
    check(Facts::rotating(), back(18, 9), "wait until 1 h");
    check(Facts::rotating(), back(19, 0), "issue leaf Coming Rotation");
    check(Facts::rotating(), back(19, 9), "issue leaf Coming Rotation");
    let future = |hours| {
        move |facts: &mut Facts| {
            let published = moment::written(facts.now + hours * HOUR);
            facts.ca().annotations.extend([note("published", &published)]);
        }
    };
    check(Facts::rotating(), future(24), "start hold");
    let soon = |facts: &mut Facts| {
        let published = moment::written(facts.now + Duration::from_secs(60));
        facts.ca().annotations.extend([note("published", &published)]);
    };
    check(Facts::rotating(), soon, "wait until 1 h");
}

#[test]
fn a_rotation_goes_its_way() {
    let after = |minutes: u32| move |facts: &mut Facts| facts.now += minutes * Duration::from_secs(60);
    check(Facts::rotating(), after(0), "wait until 1 h");
    check(Facts::rotating(), after(9), "wait until 1 h");
    check(Facts::rotating(), after(10), "issue leaf Coming Rotation");
    let wiped = |facts: &mut Facts| {
        after(10)(facts);
        facts.publish(0, &bundle(&[&A]));
    };
    check(Facts::rotating(), wiped, "publish 2x[a+b] again, dated");
    let served = |facts: &mut Facts| facts.tls = Some(secret(&[note("generation", "4")], &leaf(&B, &[&A, &B])));
    check(Facts::rotating(), served, "promote, retired until 2161 h");
    let longer = |facts: &mut Facts| {
        served(facts);
        let until = moment::written(start() + 100 * DAY);
        facts.tls().annotations.extend([note("valid-until", &until)]);
    };
    check(Facts::rotating(), longer, "promote, retired until 2400 h");
    check(Facts::rotated(), after(0), "wait until 720 h");
    check(Facts::rotated(), |facts| facts.now = start() + 31 * DAY, "remove retired 5 but []");
    let old_leaf = |facts: &mut Facts| facts.tls = Some(secret(&[note("generation", "4")], &leaf(&A, &[&A, &B])));
    check(Facts::rotated(), old_leaf, "wait until 1 h"); // for the hold
    let later = |facts: &mut Facts| {
        old_leaf(facts);
        facts.now = start() + 31 * DAY;
    };
    check(Facts::rotated(), later, "issue leaf Signing Rotation");
}

#[test]
fn a_rotation_that_is_damaged_goes_on_or_begins_anew() {
    check(Facts::rotating(), |facts| set(facts.ca(), "coming.key", "garbage"), "start rotation 5");
    check(Facts::rotating(), |facts| drop(facts.ca().data.remove("coming.crt")), "start rotation 5");
    check(Facts::rotating(), |facts| set(facts.ca(), "ca.key", "garbage"), "promote, retired until 2161 h");
}

#[test]
fn what_cannot_be_read_holds_up_what_depends_on_it_and_nothing_else() {
    let unread = |facts: &mut Facts| {
        facts.unread = true;
        facts.configurations.pop();
    };
    let with = |change: fn(&mut Facts)| {
        move |facts: &mut Facts| {
            unread(facts);
            change(facts);
        }
    };
    check(Facts::settled(), unread, "wait until 1440 h");
    check(Facts::settled(), with(|facts| facts.now = start() + 60 * DAY), "issue leaf Signing Renewal");
    check(Facts::settled(), with(|facts| facts.tls = None), "issue leaf Signing NoneUsable");
    check(Facts::settled(), with(|facts| facts.publish(0, &Bundle::default())), "publish 2x[a] again");
    check(Facts::rotating(), with(|facts| facts.now += HOUR), "wait until 1440 h");
    check(
        Facts::rotating(),
        with(|facts| drop(facts.ca().annotations.remove("berth.dev/published"))),
        "wait until 1440 h",
    );
    check(Facts::rotated(), with(|facts| facts.now = start() + 31 * DAY), "wait until 1440 h");
}

/// However short the hold: replicas that doubt the new leaf serve by the old one meanwhile.
#[test]
fn what_was_published_before_outlives_the_doubt() {
    let mut facts = Facts::settled();
    (facts.settings.source, facts.settings.hold, facts.ca) = (Source::Secret, Duration::from_secs(1), None);
    facts.tls = Some(secret(&[], &leaf(&B, &[&B])));
    let changed = note("bundle-changed", &moment::written(facts.now - PATIENCE));
    for at in 0..2 {
        facts.publish(at, &bundle(&[&B, &A]));
        facts.configuration(at).annotations.extend([changed.clone()]);
    }
    check(facts, |_| (), "wait until 1 h");
}

#[test]
fn the_bundle_of_somebody_elses_secret_is_published_once_it_is_verified() {
    check(Facts::brought(), |_| (), "publish 2x[a], dated, 2x[a], dated");
    check(Facts::brought(), |facts| facts.tls = None, "wait until news");
    check(Facts::brought(), |facts| set(facts.tls(), "ca.crt", "garbage"), "wait until news");
    check(Facts::brought(), |facts| set(facts.tls(), "ca.crt", B.pem()), "wait until news");
    check(Facts::brought(), |facts| facts.now = start() + 91 * DAY, "wait until news");
    let published = |facts: &mut Facts| (0..2).for_each(|at| facts.publish(at, &bundle(&[&A])));
    check(Facts::brought(), published, "wait until news");
    let injected = |facts: &mut Facts| {
        facts.configuration(0).annotations.insert("cert-manager.io/inject-ca-from".to_owned(), "x/y".to_owned());
    };
    check(Facts::brought(), injected, "publish 2x[a], dated");
}

/// The one before stays for the hold.
#[test]
fn another_bundle_of_somebody_elses_is_published_beside_the_one_before() {
    let other = |facts: &mut Facts| {
        facts.tls = Some(secret(&[], &leaf(&B, &[&B])));
        (0..2).for_each(|at| facts.publish(at, &bundle(&[&A])));
    };
    check(Facts::brought(), other, "publish 2x[b+a], dated, 2x[b+a], dated");
    let both = |minutes: u32| {
        move |facts: &mut Facts| {
            other(facts);
            for at in 0..2 {
                facts.publish(at, &bundle(&[&B, &A]));
                let changed = moment::written(start() + HOUR);
                facts.configuration(at).annotations.extend([note("bundle-changed", &changed)]);
            }
            facts.now += minutes * Duration::from_secs(60);
        }
    };
    check(Facts::brought(), both(9), "wait until 1 h");
    check(Facts::brought(), both(10), "publish 2x[b], 2x[b]");
    // Wiped meanwhile: what the others still have is put back beside it.
    let wiped = |facts: &mut Facts| {
        both(9)(facts);
        facts.publish(1, &Bundle::default());
    };
    check(Facts::brought(), wiped, "publish 2x[b+a] again, dated");
    let one = |facts: &mut Facts| {
        both(9)(facts);
        facts.configuration(0).webhooks[1].bundle = Bundle::default();
    };
    check(Facts::brought(), one, "publish 1x[b+a] again, dated");
    let all = |facts: &mut Facts| {
        wiped(facts);
        facts.publish(0, &Bundle::default());
    };
    check(Facts::brought(), all, "publish 2x[b] again, dated, 2x[b] again, dated");
    // In two steps: the new CA beside the old one, and a day later the old one goes.
    let in_force = |minutes: u32| {
        move |facts: &mut Facts| {
            both(minutes)(facts);
            facts.tls = Some(secret(&[], &leaf(&A, &[&A, &B])));
        }
    };
    check(Facts::brought(), in_force(9), "wait until 1 h");
    check(Facts::brought(), in_force(10), "publish 0x[], 0x[]"); // the date goes
    let dropped = |facts: &mut Facts| {
        in_force(0)(facts);
        facts.tls = Some(secret(&[], &leaf(&B, &[&B])));
        (0..2).for_each(|at| drop(facts.configuration(at).annotations.remove("berth.dev/bundle-changed")));
        facts.now += DAY;
    };
    check(Facts::brought(), dropped, "publish 0x[], dated, 0x[], dated");
}

/// Nobody's leaf has to vouch for them: who serves with it is not here.
#[test]
fn authorities_that_are_given_are_published_as_they_are() {
    let given = |authorities: Bundle| {
        let mut facts = Facts::brought();
        (facts.settings.source, facts.tls) = (Source::Authorities(authorities), None);
        facts
    };
    check(given(bundle(&[&A])), |_| (), "publish 2x[a], dated, 2x[a], dated");
    check(given(bundle(&[&A])), |facts| (0..2).for_each(|at| facts.publish(at, &bundle(&[&A]))), "wait until news");
    let other = |facts: &mut Facts| (0..2).for_each(|at| facts.publish(at, &bundle(&[&B])));
    check(given(bundle(&[&A])), other, "publish 2x[a+b], dated, 2x[a+b], dated");
    check(given(Bundle::default()), other, "wait until news");
    check(given(bundle(&[&A])), |facts| facts.now = start() + 400 * DAY, "wait until news");
}
