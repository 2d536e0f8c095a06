mod memory;
mod promise;

use futures::future;

use super::*;
use crate::{
    image::Reference,
    registry::{Candidates, Fake},
};

const IMAGE: &str = "reg.example/app:v1";

fn image() -> Reference {
    IMAGE.parse().unwrap()
}

fn within(milliseconds: u64) -> std::time::Instant {
    (Instant::now() + ms(milliseconds)).into_std()
}

/// Asks without credentials.
async fn ask<R: Resolve>(shared: &Shared<R>, image: &Reference, deadline: std::time::Instant) -> Result<Digest, Error> {
    shared.resolve(&Question::new(image, &Candidates::anonymous()), deadline).await
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Shares questions to a registry that takes 100 ms for each, and has one image.
fn shared(max_age: Duration) -> (Shared<Fake>, Digest) {
    let fake = Fake::new();
    let digest = fake.push(IMAGE);
    fake.delay(ms(100));
    (Shared::new(fake, max_age), digest)
}

/// Answers by a script: how long each question takes, in order, and what then comes; the last line repeats.
struct Script {
    lines: Vec<(Duration, Result<Digest, Error>)>,
    asked: Mutex<Vec<Instant>>,
}

impl Script {
    fn new(lines: &[(u64, Result<Digest, Error>)]) -> Self {
        Self { lines: lines.iter().map(|(time, line)| (ms(*time), line.clone())).collect(), asked: Mutex::default() }
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Resolve for Script {
    async fn resolve(&self, _: &Question<'_>, deadline: std::time::Instant) -> Result<Digest, Error> {
        let number = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(Instant::now());
            asked.len() - 1
        };
        let (time, line) = self.lines[number.min(self.lines.len() - 1)].clone();
        time::timeout_at(deadline.into(), time::sleep(time)).await.map_err(|_| timed_out())?;
        line
    }
}

fn digest(content: &str) -> Digest {
    Digest::of(content.as_bytes())
}

fn timed_out() -> Error {
    Error::TimedOut { host: "reg.example".to_owned(), limit: Duration::ZERO }
}

fn down() -> Error {
    Error::Unreachable { host: "reg.example".to_owned(), reason: "connection refused".to_owned() }
}

fn missing() -> Error {
    Error::NotFound { host: "reg.example".to_owned(), image: IMAGE.to_owned() }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_at_once_ask_once() {
    let (shared, digest) = shared(Duration::ZERO);
    let image = image();
    let answers = future::join_all((0..1000).map(|_| ask(&shared, &image, within(1000)))).await;
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap() == &digest));
    assert_eq!(shared.inner().questions(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_over_a_second_ask_at_most_twice_per_round_trip() {
    let (shared, digest) = shared(Duration::ZERO);
    let (image, shared) = (image(), &shared);
    let callers = (0..1000).map(|number| {
        let image = &image;
        async move {
            time::sleep(ms(number)).await;
            ask(shared, image, within(1000)).await
        }
    });
    let answers = future::join_all(callers).await;
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap() == &digest));
    let questions = shared.inner().questions();
    assert!((10..=22).contains(&questions), "{questions} questions in eleven round trips");
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_a_request_runs_waits_for_the_next() {
    let (shared, old) = shared(Duration::ZERO);
    let image = image();
    let first = ask(&shared, &image, within(1000));
    let second = async {
        time::sleep(ms(60)).await; // the first request has read the registry by now
        let new = shared.inner().push(IMAGE);
        assert_eq!(ask(&shared, &image, within(1000)).await.unwrap(), new);
        assert_ne!(new, old);
    };
    let (first, ()) = future::join(first, second).await;
    assert_eq!(first.unwrap(), old);
    assert_eq!(shared.inner().questions(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_request_holds_up_nobody_beyond_its_overlap() {
    let script = Script::new(&[(60_000, Ok(digest("old"))), (10, Ok(digest("new")))]);
    let (shared, image) = (Shared::new(script, Duration::ZERO), image());
    let first = ask(&shared, &image, within(3000));
    let second = async {
        time::sleep(ms(1)).await;
        let start = Instant::now();
        assert_eq!(ask(&shared, &image, within(3000)).await.unwrap(), digest("new"));
        assert_eq!(start.elapsed(), ms(249 + 10));
    };
    let (first, ()) = future::join(first, second).await;
    // The later answer is fresh for the earlier caller, too.
    assert_eq!(first.unwrap(), digest("new"));
}

#[tokio::test(start_paused = true)]
async fn callers_of_a_stalled_request_get_another_after_a_second() {
    let script = Script::new(&[(60_000, Ok(digest("old"))), (10, Ok(digest("new")))]);
    let (shared, start) = (Shared::new(script, Duration::ZERO), Instant::now());
    assert_eq!(ask(&shared, &image(), within(3000)).await.unwrap(), digest("new"));
    assert_eq!(start.elapsed(), STALLED + ms(10));
}

#[tokio::test(start_paused = true)]
async fn at_most_four_run_side_by_side() {
    let script = Script::new(&[(60_000, Ok(digest("x")))]);
    let (shared, image) = (Shared::new(script, Duration::ZERO), image());
    let shared = &shared;
    let callers = (0..100).map(|number| {
        let image = &image;
        async move {
            time::sleep(ms(number * 30)).await;
            ask(shared, image, within(5000)).await
        }
    });
    let watcher = async {
        for _ in 0..100 {
            time::sleep(ms(30)).await;
            assert!(shared.inner().asked() <= IN_FLIGHT, "{} are asked", shared.inner().asked());
        }
        assert_eq!(shared.inner().asked(), IN_FLIGHT);
    };
    let (answers, ()) = future::join(future::join_all(callers), watcher).await;
    assert!(answers.iter().all(Result::is_err));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_takes_nobody_with_it() {
    let (shared, digest) = shared(Duration::ZERO);
    let image = image();
    let leader = time::timeout(ms(10), ask(&shared, &image, within(1000)));
    let (leader, follower) = future::join(leader, ask(&shared, &image, within(1000))).await;
    assert!(leader.is_err());
    assert_eq!(follower.unwrap(), digest);
    assert_eq!(shared.inner().questions(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_for_callers_who_have_left() {
    let (shared, _) = shared(Duration::ZERO);
    let image = image();
    let first = ask(&shared, &image, within(1000));
    let impatient = async {
        time::sleep(ms(1)).await;
        time::timeout(ms(10), ask(&shared, &image, within(1000))).await
    };
    let (first, impatient) = future::join(first, impatient).await;
    assert!(first.is_ok() && impatient.is_err());
    shared.finished().await;
    assert_eq!(shared.inner().questions(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_caller_keeps_its_own_deadline() {
    let (shared, digest) = shared(Duration::ZERO);
    let image = image();
    let start = Instant::now();
    let hurried = async {
        let answer = ask(&shared, &image, within(20)).await;
        assert_eq!(start.elapsed(), ms(20));
        answer
    };
    let (hurried, patient) = future::join(hurried, ask(&shared, &image, within(1000))).await;
    assert!(matches!(hurried, Err(Error::TimedOut { limit, .. }) if limit == ms(20)), "{hurried:?}");
    assert_eq!(patient.unwrap(), digest);
}

#[tokio::test(start_paused = true)]
async fn a_failure_on_the_way_waits_for_the_request_beside_it() {
    let script = Script::new(&[(400, Err(down())), (300, Ok(digest("x")))]);
    let (shared, image) = (Shared::new(script, Duration::ZERO), image());
    let second = async {
        time::sleep(ms(1)).await;
        ask(&shared, &image, within(3000)).await
    };
    let (first, second) = future::join(ask(&shared, &image, within(3000)), second).await;
    assert_eq!((first.unwrap(), second.unwrap()), (digest("x"), digest("x")));
}

#[tokio::test(start_paused = true)]
async fn a_failure_reaches_its_callers() {
    for error in [down(), missing()] {
        let (shared, start) = (Shared::new(Script::new(&[(10, Err(error.clone()))]), Duration::ZERO), Instant::now());
        let answer = ask(&shared, &image(), within(3000)).await;
        assert_eq!(answer.unwrap_err().to_string(), error.to_string());
        assert_eq!(start.elapsed(), ms(10));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_serves_while_it_is_younger_than_max_age() {
    let (shared, old) = shared(ms(5000));
    let image = image();
    assert_eq!(ask(&shared, &image, within(1000)).await.unwrap(), old);
    let new = shared.inner().push(IMAGE);
    time::advance(ms(4800)).await; // the request started 4.9 s ago
    assert_eq!(ask(&shared, &image, within(1000)).await.unwrap(), old);
    assert_eq!(shared.inner().questions(), 1);
    time::advance(ms(100)).await;
    assert_eq!(ask(&shared, &image, within(1000)).await.unwrap(), new);
    assert_eq!(shared.inner().questions(), 2);
}

#[tokio::test(start_paused = true)]
async fn with_a_max_age_who_comes_late_shares_the_running_request() {
    let (shared, digest) = shared(ms(5000));
    let image = image();
    let late = async {
        time::sleep(ms(60)).await;
        ask(&shared, &image, within(1000)).await
    };
    let (first, late) = future::join(ask(&shared, &image, within(1000)), late).await;
    assert_eq!((first.unwrap(), late.unwrap()), (digest.clone(), digest));
    assert_eq!(shared.inner().questions(), 1);
}

#[tokio::test(start_paused = true)]
async fn keys_are_what_is_asked_for_not_how_it_is_spelled() {
    let fake = Fake::new();
    let digest = fake.push("nginx:latest");
    fake.delay(ms(100));
    let shared = Shared::new(fake, Duration::ZERO);
    let images = ["nginx", "nginx:latest", "docker.io/nginx", "index.docker.io/library/nginx"];
    let images = images.map(|image| image.parse::<Reference>().unwrap());
    let answers = future::join_all(images.iter().map(|image| ask(&shared, image, within(1000)))).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap() == digest));
    assert_eq!(shared.inner().questions(), 1);
}

#[tokio::test(start_paused = true)]
async fn everybody_is_told_of_the_image_as_they_spell_it() {
    let fake = Fake::new();
    fake.delay(ms(100));
    let shared = Shared::new(fake, ms(5000));
    let spellings = ["gone", "gone:latest", "docker.io/gone", "index.docker.io/library/gone"];
    let images = spellings.map(|image| image.parse::<Reference>().unwrap());
    for kind in ["the same request", "what is remembered"] {
        let answers = future::join_all(images.iter().map(|image| ask(&shared, image, within(1000)))).await;
        for (answer, spelling) in answers.into_iter().zip(spellings) {
            let told = answer.unwrap_err().to_string();
            assert!(told.ends_with(&format!(": {spelling}")), "{kind}: {told}");
        }
        assert_eq!(shared.inner().questions(), 1, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_nobody_asks_for_costs_nothing() {
    let (shared, _) = shared(Duration::ZERO);
    let images: Vec<Reference> = (0..100).map(|tag| format!("reg.example/app:t{tag}").parse().unwrap()).collect();
    future::join_all(images.iter().map(|image| ask(&shared, image, within(50)))).await;
    assert_eq!(shared.desk.queues().len(), 100); // the callers have left, their requests run
    shared.finished().await;
    assert_eq!((shared.desk.queues().len(), shared.tasks.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_panic_below_is_an_answer() {
    struct Broken;
    impl Resolve for Broken {
        async fn resolve(&self, _: &Question<'_>, _: std::time::Instant) -> Result<Digest, Error> {
            panic!("as in a bug")
        }
    }
    let shared = Shared::new(Broken, Duration::ZERO);
    assert!(matches!(ask(&shared, &image(), within(1000)).await, Err(Error::Unreachable { .. })));
    shared.finished().await;
    assert!(shared.desk.queues().is_empty());
}
