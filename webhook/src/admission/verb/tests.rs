//! The section "Which verb applies", as a table: a row a sentence, in both profiles.

use super::*;

const NOTHING_ASKED: Option<Word> = None;
const HAS: Option<Word> = Some(Word::Has);
const MISSING: Option<Word> = Some(Word::Missing);
const SILENT: Option<Word> = Some(Word::Silent);

/// An image with an immutable tag that nobody has said anything about.
fn image(policy: PullPolicy) -> Facts {
    Facts {
        policy,
        ignored: false,
        local: false,
        mirrored: false,
        registered: false,
        digest: false,
        mutable: false,
        repin: Repin::Off,
        evidence: Evidence::Unlisted,
        steps: Steps { pin: true, mirror: true, place: true },
    }
}

fn production() -> Place {
    Config::default().place
}

fn dev() -> Place {
    Place { infer_local: true, pull_policy: PullPolicyChange::IfNotPresent, ..production() }
}

#[track_caller]
fn check(facts: Facts, word: Option<Word>, in_production: Verb, in_dev: Verb) {
    assert_eq!(verb(&facts, word, &production()), in_production, "production: {facts:?} {word:?}");
    assert_eq!(verb(&facts, word, &dev()), in_dev, "dev: {facts:?} {word:?}");
}

const PLACE: Verb = Verb::Place { relax: false };
const RELAX: Verb = Verb::Place { relax: true };
const UNPINNED: Verb = Verb::Unpinned { prefer: false };
const UNPINNED_PREFER: Verb = Verb::Unpinned { prefer: true };

use Evidence::{Listed, Local};
use PullPolicy::{Always, IfNotPresent, Never};
use Verb::{Ask, Compare, Leave, Pin, Prefer, WillFail};

#[test]
fn one_never_or_a_local_name_is_placed_and_nothing_is_asked() {
    let never = image(Never);
    check(never, NOTHING_ASKED, PLACE, PLACE);
    check(Facts { mutable: true, ..never }, NOTHING_ASKED, PLACE, PLACE);
    check(Facts { mirrored: true, registered: true, ..never }, NOTHING_ASKED, PLACE, PLACE);
    check(Facts { digest: true, ..never }, NOTHING_ASKED, PLACE, PLACE);
    let local = Facts { local: true, mutable: true, ..image(IfNotPresent) };
    check(local, NOTHING_ASKED, PLACE, PLACE);
    check(Facts { mirrored: true, ..local }, NOTHING_ASKED, PLACE, PLACE);
}

#[test]
fn one_always_on_a_local_name_fails_for_certain_unless_its_policy_may_change() {
    check(Facts { local: true, ..image(Always) }, NOTHING_ASKED, WillFail, RELAX);
}

#[test]
fn two_a_rule_or_a_registry_beats_whatever_nodes_list() {
    for evidence in [Evidence::Unlisted, Listed, Local] {
        let ruled = Facts { mirrored: true, evidence, ..image(IfNotPresent) };
        check(ruled, NOTHING_ASKED, Ask, Ask);
        check(ruled, HAS, Pin, Pin); // a mirrored image has its digest, whatever `pin.tags` says
        check(ruled, MISSING, UNPINNED, UNPINNED);
        let registered = Facts { registered: true, mutable: true, evidence, ..image(Always) };
        check(registered, NOTHING_ASKED, Ask, Ask);
        check(registered, HAS, Pin, Pin);
        check(registered, SILENT, UNPINNED, UNPINNED);
        check(Facts { mutable: false, ..registered }, NOTHING_ASKED, Leave, Leave);
        check(Facts { digest: true, ..registered }, NOTHING_ASKED, Leave, Leave);
        check(Facts { digest: true, ..ruled }, NOTHING_ASKED, Ask, Ask); // the mirror is asked for the digest
    }
}

#[test]
fn three_node_local_by_evidence_asks_the_registry() {
    let claimed = Facts { evidence: Local, ..image(IfNotPresent) };
    check(claimed, NOTHING_ASKED, Ask, Ask);
    check(claimed, MISSING, PLACE, PLACE); // the Pod could run nowhere else
    check(claimed, HAS, Leave, Prefer); // two images share the name
    check(claimed, SILENT, Prefer, Prefer);
    let mutable = Facts { mutable: true, ..claimed };
    check(mutable, HAS, Pin, Prefer); // one node's claim alone never switches off pin
    check(mutable, SILENT, UNPINNED_PREFER, UNPINNED_PREFER); // as in 4, with a preference
    check(mutable, MISSING, PLACE, PLACE);
    let always = Facts { policy: Always, ..mutable };
    check(always, MISSING, WillFail, RELAX);
    check(always, HAS, Pin, Prefer);
    // A digest says what is meant; a node's list of names does not count against it.
    check(Facts { digest: true, ..claimed }, NOTHING_ASKED, Leave, Leave);
}

#[test]
fn four_otherwise_pinned_when_the_tag_is_mutable() {
    let mutable = Facts { mutable: true, ..image(IfNotPresent) };
    for evidence in [Evidence::Unlisted, Listed] {
        check(Facts { evidence, ..mutable }, NOTHING_ASKED, Ask, Ask);
        check(Facts { evidence, ..mutable }, HAS, Pin, Pin);
        // It may have been loaded this second, and lists are late: never placed for being unknown.
        check(Facts { evidence, ..mutable }, MISSING, UNPINNED, UNPINNED);
        check(Facts { evidence, ..mutable }, SILENT, UNPINNED, UNPINNED);
        check(Facts { evidence, ..image(IfNotPresent) }, NOTHING_ASKED, Leave, Leave);
        check(Facts { evidence, digest: true, ..mutable }, NOTHING_ASKED, Leave, Leave);
    }
}

#[test]
fn a_digest_is_compared_with_its_tag_where_people_want_that() {
    let pinned = Facts { digest: true, mutable: true, ..image(IfNotPresent) };
    for repin in [Repin::Warn, Repin::Replace] {
        for evidence in [Evidence::Unlisted, Listed, Local] {
            let compared = Facts { repin, evidence, ..pinned };
            for facts in [compared, Facts { registered: true, ..compared }, Facts { mirrored: true, ..compared }] {
                check(facts, NOTHING_ASKED, Ask, Ask);
                check(facts, HAS, Compare, Compare);
                // It is pinned already: a registry that gives no digest makes nothing worse.
                check(facts, MISSING, Leave, Leave);
                check(facts, SILENT, Leave, Leave);
            }
            check(Facts { policy: Never, ..compared }, NOTHING_ASKED, PLACE, PLACE);
            check(Facts { ignored: true, ..compared }, NOTHING_ASKED, Leave, Leave);
        }
    }
    check(pinned, NOTHING_ASKED, Leave, Leave);
}

#[test]
fn a_step_that_is_switched_off_is_not_taken() {
    let placed_only = Steps { pin: false, mirror: false, place: true };
    check(Facts { steps: placed_only, mutable: true, mirrored: true, ..image(Always) }, NOTHING_ASKED, Leave, Leave);
    check(Facts { steps: placed_only, ..image(Never) }, NOTHING_ASKED, PLACE, PLACE);
    let not_placed = Steps { pin: true, mirror: true, place: false };
    check(Facts { steps: not_placed, ..image(Never) }, NOTHING_ASKED, Leave, Leave);
    check(Facts { steps: not_placed, evidence: Local, ..image(IfNotPresent) }, NOTHING_ASKED, Leave, Leave);
    check(Facts { steps: not_placed, evidence: Local, mutable: true, ..image(IfNotPresent) }, HAS, Pin, Pin);
    check(Facts { ignored: true, mutable: true, mirrored: true, ..image(Always) }, NOTHING_ASKED, Leave, Leave);
}

#[test]
fn a_registry_that_has_answered_is_not_asked_again() {
    let all = [true, false];
    for (policy, evidence) in [Always, IfNotPresent, Never].into_iter().zip([Local, Listed, Local]) {
        for (mirrored, mutable) in all.into_iter().flat_map(|one| all.map(|other| (one, other))) {
            for word in [Word::Has, Word::Missing, Word::Silent] {
                let facts = Facts { mirrored, mutable, evidence, ..image(policy) };
                assert_ne!(verb(&facts, Some(word), &production()), Ask, "{facts:?}");
            }
        }
    }
}
