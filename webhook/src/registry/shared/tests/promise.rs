//! The promise of freshness, under any order of reviews, pushes and slow answers.

use proptest::prelude::*;

use super::*;

/// What happens at a moment, in milliseconds.
#[derive(Clone, Debug)]
enum Happens {
    /// A build is pushed.
    Push,
    /// Questions take this long from now on.
    Slow(u64),
    /// A review asks.
    Ask,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![Just(Happens::Push), (0_u64..600).prop_map(Happens::Slow), Just(Happens::Ask), Just(Happens::Ask)]
}

/// Plays events and counts answers that were older than allowed.
async fn play(events: Vec<(u64, Happens)>, max_age: Duration) -> Result<(), TestCaseError> {
    let (shared, first) = shared(max_age);
    let image = image();
    let builds = Mutex::new(vec![(Instant::now(), first)]);
    let (shared, image, builds) = (&shared, &image, &builds);
    let all = events.into_iter().map(|(at, event)| async move {
        time::sleep(ms(at)).await;
        match event {
            Happens::Push => builds.lock().unwrap().push((Instant::now(), shared.inner().push(IMAGE))),
            Happens::Slow(delay) => shared.inner().delay(ms(delay)),
            Happens::Ask => {
                let arrived = Instant::now();
                let before = builds.lock().unwrap().len() - 1; // this build had been pushed when the review arrived
                let answer = ask(shared, image, within(10_000)).await.unwrap();
                let builds = builds.lock().unwrap();
                let told = builds.iter().position(|(_, digest)| *digest == answer).unwrap();
                // Older than the newest before arrival only if its successor was pushed within `max_age`.
                let replaced = builds.get(told + 1).map(|(pushed, _)| *pushed);
                prop_assert!(told >= before || replaced.is_some_and(|pushed| pushed + max_age > arrived));
            }
        }
        Ok(())
    });
    future::join_all(all).await.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_answer_is_from_before_a_push_that_had_finished(
        events in prop::collection::vec((0_u64..2000, happens()), 1..60),
        max_age in prop_oneof![Just(0_u64), 1_u64..1000],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(play(events, ms(max_age)))?;
    }
}
