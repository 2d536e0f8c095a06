use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future;
use tokio::{sync::Notify, time};

use super::{host::AT_ONCE, *};
use crate::{image::Reference, registry::Candidates};

const HOST: &str = "reg.example";

fn image(text: &str) -> Reference {
    text.parse().unwrap()
}

fn health() -> Health {
    Health::new(Arc::default())
}

fn digest() -> Digest {
    Digest::of(b"content")
}

fn down() -> Error {
    Error::Unreachable { host: HOST.to_owned(), reason: "connection refused".to_owned() }
}

fn timed_out() -> Error {
    Error::TimedOut { host: HOST.to_owned(), limit: Duration::from_secs(3) }
}

fn too_many(retry_after: Option<u64>) -> Error {
    Error::TooMany { host: HOST.to_owned(), retry_after: retry_after.map(Duration::from_secs) }
}

/// Asks about an image of `host`, as `role`; the registry takes `took` and says `answer`.
async fn ask(
    health: &Health,
    host: &str,
    role: Role,
    took: Duration,
    answer: Result<Digest, Error>,
) -> Result<Digest, Error> {
    let (image, candidates) = (image(&format!("{host}/app:v1")), Candidates::anonymous());
    let turn = health.turn(&Question { image: &image, candidates: &candidates, role }).await?;
    time::sleep(took).await;
    turn.end(&answer);
    answer
}

async fn source(health: &Health, answer: Result<Digest, Error>) -> Result<Digest, Error> {
    ask(health, HOST, Role::Source, Duration::ZERO, answer).await
}

fn paused(answer: &Result<Digest, Error>) -> bool {
    matches!(answer, Err(Error::Paused { .. }))
}

#[tokio::test(start_paused = true)]
async fn a_host_that_fails_is_left_alone_and_others_are_not() {
    let health = health();
    for _ in 0..5 {
        assert!(!paused(&source(&health, Err(down())).await));
    }
    let start = Instant::now();
    let told = source(&health, Ok(digest())).await.unwrap_err().to_string();
    assert_eq!(told, "reg.example: connection refused; it is asked again in 1 s");
    assert_eq!(start.elapsed(), Duration::ZERO);
    for other in ["other.example", "reg.example:5000", "a.reg.example"] {
        assert!(ask(&health, other, Role::Source, Duration::ZERO, Ok(digest())).await.is_ok());
    }
    time::advance(FIRST_PAUSE).await;
    assert!(source(&health, Ok(digest())).await.is_ok());
    assert!(source(&health, Ok(digest())).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_mirror_that_fails_costs_one_wait() {
    for error in [down(), timed_out()] {
        let health = health();
        let mirror = |took, answer| ask(&health, HOST, Role::Mirror, Duration::from_millis(took), answer);
        assert!(!paused(&mirror(100, Err(error)).await));
        assert!(paused(&mirror(0, Ok(digest())).await));
        time::advance(FIRST_PAUSE).await;
        assert!(mirror(0, Ok(digest())).await.is_ok());
        assert!(!paused(&mirror(0, Err(down())).await));
        assert!(mirror(0, Ok(digest())).await.is_ok(), "it has answered a moment ago");
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_mirror_that_goes_dark_costs_one_wait() {
    let health = health();
    let mirror = |took, answer| ask(&health, HOST, Role::Mirror, Duration::from_millis(took), answer);
    for _ in 0..100 {
        mirror(1, Ok(digest())).await.unwrap();
    }
    assert!(!paused(&mirror(1_500, Err(timed_out())).await));
    assert!(paused(&mirror(0, Ok(digest())).await));
    // One connection that stalls, while others are served, proves nothing.
    time::advance(FIRST_PAUSE).await;
    mirror(1, Ok(digest())).await.unwrap();
    let served = async {
        time::sleep(Duration::from_secs(1)).await;
        mirror(1, Ok(digest())).await
    };
    let (stalled, served) = future::join(mirror(1_500, Err(timed_out())), served).await;
    assert!(!paused(&stalled) && served.is_ok());
    assert!(mirror(0, Ok(digest())).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn silence_counts_where_a_source_had_a_second() {
    for (took, counts) in [(999, false), (1_000, true)] {
        let health = health();
        for _ in 0..5 {
            ask(&health, HOST, Role::Source, Duration::from_millis(took), Err(timed_out())).await.unwrap_err();
        }
        assert_eq!(paused(&source(&health, Ok(digest())).await), counts, "after {took} ms each");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_host_says_is_an_answer() {
    let health = health();
    let (host, image) = (HOST.to_owned(), "app".to_owned());
    let missing = Error::NotFound { host: host.clone(), image };
    let untrusted = Error::Untrusted { host, reason: "a page".to_owned() };
    for error in [missing, untrusted] {
        for _ in 0..20 {
            assert!(!paused(&source(&health, Err(error.clone())).await));
        }
    }
}

/// Opens the breaker, waits until it may be probed, and hands over the turn of the probe.
async fn probe<'a>(health: &'a Health, image: &'a Reference, candidates: &'a Candidates) -> Turn<'a> {
    for _ in 0..5 {
        source(health, Err(down())).await.unwrap_err();
    }
    time::advance(FIRST_PAUSE).await;
    let turn = health.turn(&Question::new(image, candidates)).await.unwrap();
    assert!(turn.probe);
    turn
}

#[tokio::test(start_paused = true)]
async fn one_question_at_a_time_sees_whether_a_host_is_back() {
    let (health, image, candidates) = (health(), image("reg.example/app:v1"), Candidates::anonymous());
    let turn = probe(&health, &image, &candidates).await;
    assert!(paused(&source(&health, Ok(digest())).await));
    turn.end(&Err(down()));
    assert!(paused(&source(&health, Ok(digest())).await));
    time::advance(2 * FIRST_PAUSE).await;
    assert!(source(&health, Ok(digest())).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_given_up_leaves_its_place_to_the_next() {
    let (health, image, candidates) = (health(), image("reg.example/app:v1"), Candidates::anonymous());
    drop(probe(&health, &image, &candidates).await);
    // The same for one that had too little time to prove anything.
    let hurried = ask(&health, HOST, Role::Source, Duration::from_millis(10), Err(timed_out())).await;
    assert!(!paused(&hurried));
    assert!(source(&health, Ok(digest())).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_host_gets_so_many_questions_at_once_and_others_do_not_wait_for_it() {
    let health = health();
    let (running, most, release) = (AtomicUsize::new(0), AtomicUsize::new(0), Notify::new());
    let images: Vec<Reference> = (0..200).map(|tag| image(&format!("reg.example/app:{tag}"))).collect();
    let candidates = Candidates::anonymous();
    let (health, candidates) = (&health, &candidates);
    let questions = images.iter().map(|image| async {
        let turn = health.turn(&Question::new(image, candidates)).await.unwrap();
        most.fetch_max(running.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        release.notified().await;
        running.fetch_sub(1, Ordering::Relaxed);
        turn.end(&Ok(digest()));
    });
    let other = async {
        time::sleep(Duration::from_millis(1)).await;
        assert_eq!(running.load(Ordering::Relaxed), AT_ONCE);
        assert!(health.metrics.encode().unwrap().contains("berth_registry_waiting{host=\"other\"} 136\n"));
        ask(health, "other.example", Role::Source, Duration::ZERO, Ok(digest())).await.unwrap();
        // Who stops waiting leaves nothing behind.
        let waiting = source(health, Ok(digest()));
        assert!(time::timeout(Duration::from_millis(1), waiting).await.is_err());
        assert!(health.metrics.encode().unwrap().contains("berth_registry_waiting{host=\"other\"} 136\n"));
        for _ in 0..10 {
            release.notify_waiters();
            time::sleep(Duration::from_millis(1)).await;
        }
    };
    future::join(future::join_all(questions), other).await;
    assert_eq!(most.into_inner(), AT_ONCE);
    assert!(health.metrics.encode().unwrap().contains("berth_registry_waiting{host=\"other\"} 0\n"));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_host_that_fails_is_told_at_once() {
    let health = health();
    let images: Vec<Reference> = (0..500).map(|tag| image(&format!("reg.example/app:{tag}"))).collect();
    let candidates = Candidates::anonymous();
    let (start, asked) = (Instant::now(), AtomicUsize::new(0));
    let questions = images.iter().map(|image| async {
        let Ok(turn) = health.turn(&Question::new(image, &candidates)).await else { return };
        asked.fetch_add(1, Ordering::Relaxed);
        time::sleep(Duration::from_secs(3)).await;
        turn.end(&Err(timed_out()));
    });
    future::join_all(questions).await;
    assert_eq!((start.elapsed(), asked.into_inner()), (Duration::from_secs(3), AT_ONCE));
}

/// How long the host is left alone now, in milliseconds.
async fn left_alone(health: &Health) -> u128 {
    match source(health, Ok(digest())).await {
        Err(Error::Paused { again_in, .. }) => again_in.as_millis(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_is_left_alone_as_long_as_it_asks() {
    let busy = |seconds| Error::Busy { host: HOST.to_owned(), retry_after: Duration::from_secs(seconds) };
    for (error, least) in
        [(too_many(Some(7)), 7_000), (busy(7), 7_000), (too_many(Some(100_000)), 60_000), (too_many(Some(0)), 0)]
    {
        let health = health();
        source(&health, Err(error.clone())).await.unwrap_err();
        if least > 0 {
            let pause = left_alone(&health).await;
            assert!((least..=least + least / 10).contains(&pause), "{error}: {pause} ms");
        }
        time::advance(Duration::from_secs(66)).await;
        assert!(source(&health, Ok(digest())).await.is_ok());
    }
    let health = health();
    source(&health, Err(too_many(Some(7)))).await.unwrap_err();
    let told = source(&health, Ok(digest())).await.unwrap_err().to_string();
    assert!(told.starts_with("reg.example: limits requests") && told.contains("; it is asked again in "), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_does_not_say_how_long_is_left_alone_longer_each_time() {
    let health = health();
    for guess in [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
        source(&health, Err(too_many(None))).await.unwrap_err();
        let pause = left_alone(&health).await;
        assert!((guess * 3 / 4..=guess).contains(&pause), "{pause} ms instead of {guess}");
        time::advance(Duration::from_millis(guess.try_into().unwrap())).await;
    }
    assert!(source(&health, Ok(digest())).await.is_ok());
    source(&health, Err(too_many(None))).await.unwrap_err();
    assert!(left_alone(&health).await <= 1_000);
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_before_a_pause_does_not_end_or_lengthen_it() {
    for (asked, least, most) in [(Some(30), 29_900, 33_000), (None, 650, 1_000)] {
        let health = health();
        let after = |took, answer| ask(&health, HOST, Role::Source, Duration::from_millis(took), answer);
        let limits = |seconds| Err(too_many(seconds));
        let crowd =
            [after(10, limits(asked)), after(20, limits(None)), after(30, limits(None)), after(40, limits(Some(0)))];
        future::join(future::join_all(crowd), after(100, Ok(digest()))).await.1.unwrap();
        let pause = left_alone(&health).await;
        assert!((least..=most).contains(&pause), "asked for {asked:?}: {pause} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_limited_rate_is_somebodys_own() {
    let (health, image) = (health(), image("reg.example/app:v1"));
    let ours = Candidates::of("user", "password");
    let question = Question::new(&image, &ours);
    health.turn(&question).await.unwrap().end(&Err(too_many(Some(30))));
    assert!(matches!(health.turn(&question).await, Err(Error::Paused { .. })));
    assert!(source(&health, Ok(digest())).await.is_ok());
    let theirs = Candidates::of("user", "other");
    assert!(health.turn(&Question::new(&image, &theirs)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_sick_host_can_be_seen() {
    let health = health();
    let seen = |state: &str, count: u8| {
        let line = format!("berth_registry_breakers{{host=\"other\",state=\"{state}\"}} {count}\n");
        assert!(health.metrics.encode().unwrap().contains(&line), "no {line}");
    };
    let (image, candidates) = (image("reg.example/app:v1"), Candidates::anonymous());
    for _ in 0..5 {
        source(&health, Err(down())).await.unwrap_err();
    }
    seen("open", 1);
    time::advance(FIRST_PAUSE).await;
    let turn = health.turn(&Question::new(&image, &candidates)).await.unwrap();
    seen("open", 0);
    seen("half_open", 1);
    turn.end(&Ok(digest()));
    seen("half_open", 0);
}
