use proptest::prelude::*;

use super::*;

const ANSWERED: Event = Event::Answered { probe: false };
const FAILED: Event = Event::Failed { probe: false, alone: None };
const MIRROR_FAILED: Event = Event::Failed { probe: false, alone: Some(WINDOW) };
const MIRROR_SILENT: Event = Event::Failed { probe: false, alone: Some(Duration::from_secs(1)) };

/// Plays events, each so many milliseconds after the one before, and tells the state in a letter after each.
#[track_caller]
fn check(events: &[(u64, Event)], want: &str) {
    let (mut breaker, mut now) = (Breaker::default(), Instant::now());
    let letters: String = events
        .iter()
        .map(|(later, event)| {
            now += ms(*later);
            breaker = breaker.clone().after(*event, now, 0.0);
            letter(&breaker, now)
        })
        .collect();
    assert_eq!(letters, want, "events: {events:?}");
}

/// `c`losed, `o`pen, `h`alf-open with its question under way, and `p`: open, but may be probed.
fn letter(breaker: &Breaker, now: Instant) -> char {
    match (breaker.state(), breaker.pass(now)) {
        (State::Closed, Pass::Go) => 'c',
        (State::Open { .. }, Pass::Wait(_)) => 'o',
        (State::Open { .. }, Pass::Probe) => 'p',
        (State::HalfOpen { .. }, Pass::Wait(_)) => 'h',
        other => panic!("{other:?}"),
    }
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn five_failures_and_more_than_half_open_it() {
    check(&[(0, FAILED); 5], "cccco");
    check(&[[(0, ANSWERED); 5], [(0, FAILED); 5]].concat(), "cccccccccc");
    check(&[[(0, ANSWERED); 4], [(0, FAILED); 4]].concat(), "cccccccc");
    check(&[&[(0, ANSWERED); 5][..], &[(0, FAILED); 6]].concat(), "cccccccccco");
}

#[test]
fn what_is_older_than_ten_seconds_does_not_count() {
    check(&[(0, FAILED), (0, FAILED), (0, FAILED), (0, FAILED), (9_999, FAILED)], "cccco");
    check(&[(0, FAILED), (0, FAILED), (0, FAILED), (0, FAILED), (10_000, FAILED)], "ccccc");
    check(&[&[(0, ANSWERED); 5][..], &[(9_999, FAILED)], &[(0, FAILED); 4]].concat(), "cccccccccc");
    check(&[&[(0, ANSWERED); 5][..], &[(10_000, FAILED)], &[(0, FAILED); 4]].concat(), "ccccccccco");
}

#[test]
fn one_failure_of_a_mirror_opens_it_unless_it_answered_lately() {
    check(&[(0, MIRROR_FAILED)], "o");
    check(&[(0, ANSWERED), (9_999, MIRROR_FAILED)], "cc");
    check(&[(0, ANSWERED), (10_000, MIRROR_FAILED)], "co");
    check(&[(0, ANSWERED), (999, MIRROR_SILENT)], "cc");
    check(&[(0, ANSWERED), (1_000, MIRROR_SILENT)], "co");
    check(&[&[(0, ANSWERED); 99][..], &[(1_000, MIRROR_SILENT)]].concat(), &["c".repeat(99), "o".to_owned()].concat());
}

#[test]
fn one_question_decides_when_the_pause_is_over() {
    let (failed, answered) = (Event::Failed { probe: true, alone: None }, Event::Answered { probe: true });
    let probe = Event::ProbeStarted;
    check(&[(0, MIRROR_FAILED), (1_000, probe), (9, answered), (0, FAILED)], "ohcc");
    check(&[(0, MIRROR_FAILED), (1_000, probe), (9, failed), (1_999, FAILED), (1, FAILED)], "ohoop");
    check(&[(0, MIRROR_FAILED), (1_000, probe), (9, Event::ProbeAbandoned), (0, probe)], "ohph");
    // Others that were under way decide nothing.
    check(&[(0, MIRROR_FAILED), (5, ANSWERED), (5, FAILED), (990, probe), (0, ANSWERED), (0, FAILED)], "ooohhh");
}

#[test]
fn pauses_double_up_to_half_a_minute() {
    let (mut breaker, mut now) = (Breaker::default().after(MIRROR_FAILED, Instant::now(), 0.0), Instant::now());
    let mut pauses = Vec::new();
    for _ in 0..7 {
        now += LONGEST_PAUSE;
        breaker = breaker.after(Event::ProbeStarted, now, 0.0);
        breaker = breaker.after(Event::Failed { probe: true, alone: None }, now, 0.0);
        let Pass::Wait(pause) = breaker.pass(now) else { panic!("{breaker:?}") };
        pauses.push(pause.as_secs());
    }
    assert_eq!(pauses, [2, 4, 8, 16, 30, 30, 30]);
    assert_eq!(shortened(ms(1000), 1.0), ms(750));
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::ProbeStarted),
        Just(Event::ProbeAbandoned),
        any::<bool>().prop_map(|probe| Event::Answered { probe }),
        (any::<bool>(), prop::option::of(Just(WINDOW))).prop_map(|(probe, alone)| Event::Failed { probe, alone }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    /// Events come as the shell lets them: a probe starts only where it may, and only a probe ends as one.
    #[test]
    fn an_open_breaker_always_half_opens_and_asks_one_at_a_time(
        events in prop::collection::vec((0_u64..40_000, event(), 0.0..1.0), 0..80),
    ) {
        let (mut breaker, mut now, mut probes, mut failed) = (Breaker::default(), Instant::now(), 0_u32, 0_u32);
        for (later, event, chance) in events {
            now += ms(later);
            let before = breaker.pass(now);
            match event {
                Event::ProbeStarted if before != Pass::Probe => continue,
                Event::ProbeAbandoned | Event::Answered { probe: true } | Event::Failed { probe: true, .. }
                    if probes == 0 => continue,
                Event::ProbeStarted => probes += 1,
                Event::ProbeAbandoned | Event::Answered { probe: true } | Event::Failed { probe: true, .. } => {
                    probes -= 1;
                }
                _ => {}
            }
            failed += u32::from(matches!(event, Event::Failed { .. }));
            breaker = breaker.after(event, now, chance);
            // One probe at a time, and while it runs nobody else.
            prop_assert!(probes <= 1);
            prop_assert_eq!(probes == 1, matches!(breaker.state(), State::HalfOpen { .. }));
            // Who has not failed is always asked, and who answers a probe is asked by everybody.
            prop_assert!(failed > 0 || breaker.pass(now) == Pass::Go);
            if event == (Event::Answered { probe: true }) {
                prop_assert_eq!(breaker.pass(now), Pass::Go);
            }
            // However it got here: left alone for half a minute, it is asked again.
            if probes == 0 {
                prop_assert!(!matches!(breaker.pass(now + LONGEST_PAUSE), Pass::Wait(_)));
            }
        }
    }
}
