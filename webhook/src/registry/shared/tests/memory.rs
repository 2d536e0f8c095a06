//! What is said again, to whom, and for how long.

use std::collections::HashMap;

use super::*;
use crate::config::Config;

fn remembering<R: Resolve>(resolve: R, max_age: u64, last_known_good: u64) -> Shared<R> {
    let ages = Ages { max_age: ms(max_age), last_known_good: ms(last_known_good) };
    Shared::remembering(resolve, ages, Memory::of(&Config::default()), Arc::default())
}

fn last_known<R: Resolve>(shared: &Shared<R>) -> Option<(Digest, u128)> {
    let known = shared.last_known(&Question::new(&image(), &Candidates::anonymous()))?;
    Some((known.digest, known.age.as_millis()))
}

fn denials() -> [Error; 3] {
    let (host, image) = ("reg.example".to_owned(), IMAGE.to_owned());
    let unauthorized = Error::Unauthorized { host: host.clone(), image: image.clone(), anonymous: true };
    [missing(), unauthorized, Error::Forbidden { host, image, anonymous: true, to_all: true }]
}

#[tokio::test(start_paused = true)]
async fn the_last_digest_stands_in_for_a_registry_that_is_down() {
    let script = Script::new(&[(10, Ok(digest("x"))), (10, Err(down())), (10, Err(timed_out()))]);
    let (shared, image) = (remembering(script, 0, 5_000), image());
    assert_eq!(last_known(&shared), None);
    assert!(ask(&shared, &image, within(1000)).await.is_ok());
    assert_eq!(last_known(&shared), Some((digest("x"), 10)));
    for _ in 0..2 {
        assert!(ask(&shared, &image, within(1000)).await.is_err(), "it is served by whoever knows of the failure");
    }
    assert_eq!(last_known(&shared), Some((digest("x"), 30)));
    time::advance(ms(4969)).await;
    assert_eq!(last_known(&shared), Some((digest("x"), 4_999)));
    time::advance(ms(1)).await;
    assert_eq!(last_known(&shared), None);
}

#[tokio::test(start_paused = true)]
async fn a_denial_ends_the_last_known_digest() {
    for denial in denials() {
        let script = Script::new(&[(10, Ok(digest("x"))), (10, Err(denial)), (10, Err(down()))]);
        let (shared, image) = (remembering(script, 0, 5_000), image());
        assert!(ask(&shared, &image, within(1000)).await.is_ok());
        let both = future::join(ask(&shared, &image, within(1000)), ask(&shared, &image, within(1000))).await;
        assert!(both.0.is_err() && both.1.is_err());
        assert_eq!(shared.inner().asked(), 2);
        assert_eq!(last_known(&shared), None);
        assert!(ask(&shared, &image, within(1000)).await.is_err());
        assert_eq!(last_known(&shared), None, "a failure brings nothing back");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_where_nothing_may_be_said_again() {
    let (shared, _) = shared(Duration::ZERO);
    assert!(ask(&shared, &image(), within(1000)).await.is_ok());
    assert_eq!(last_known(&shared), None);
    assert!(shared.memory().last(&image().target()).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_first_push_is_seen_at_once_where_max_age_is_zero() {
    let fake = Fake::new();
    let shared = remembering(fake, 0, 60_000);
    assert!(ask(&shared, &image(), within(1000)).await.is_err());
    let pushed = shared.inner().push(IMAGE);
    assert_eq!(ask(&shared, &image(), within(1000)).await.unwrap(), pushed);
}

#[tokio::test(start_paused = true)]
async fn a_denial_is_repeated_for_seconds() {
    for denial in denials() {
        let script = Script::new(&[(10, Err(denial)), (10, Ok(digest("x")))]);
        let (shared, image) = (remembering(script, 60_000, 0), image());
        for _ in 0..100 {
            assert!(ask(&shared, &image, within(1000)).await.is_err());
        }
        assert_eq!(shared.inner().asked(), 1);
        time::advance(ms(4_990)).await;
        assert!(ask(&shared, &image, within(1000)).await.is_ok());
        let text = shared.metrics.encode().unwrap();
        for line in ["{kind=\"asked\"} 2", "{kind=\"negative\"} 99"] {
            assert!(text.contains(&format!("berth_registry_answers_total{line}\n")), "{line}: {text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_not_repeated() {
    let script = Script::new(&[(10, Err(down())), (10, Ok(digest("x")))]);
    let shared = remembering(script, 60_000, 60_000);
    assert!(ask(&shared, &image(), within(1000)).await.is_err());
    assert!(ask(&shared, &image(), within(1000)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn answers_are_counted_by_where_they_came_from() {
    let (shared, _) = shared(ms(5_000));
    let image = image();
    future::join_all((0..10).map(|_| ask(&shared, &image, within(1000)))).await;
    ask(&shared, &image, within(1000)).await.unwrap();
    let text = shared.metrics.encode().unwrap();
    for line in ["{kind=\"asked\"} 1", "{kind=\"joined\"} 9", "{kind=\"remembered\"} 1"] {
        assert!(text.contains(&format!("berth_registry_answers_total{line}\n")), "{line}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_runs_until_the_latest_deadline_of_its_callers() {
    let script = Script::new(&[(500, Ok(digest("x")))]);
    let (shared, image) = (remembering(script, 0, 0), image());
    // In the same request: the hurried one does not shorten the other's.
    let both = future::join(ask(&shared, &image, within(50)), ask(&shared, &image, within(2_000))).await;
    assert!(both.0.is_err() && both.1.is_ok());
    // In the next one, which starts because the first has failed at its only caller's deadline.
    let patient = async {
        time::sleep(ms(10)).await;
        let start = Instant::now();
        assert!(ask(&shared, &image, within(2_000)).await.is_ok());
        assert_eq!(start.elapsed(), ms(40 + 500));
    };
    let both = future::join(ask(&shared, &image, within(50)), patient).await;
    assert!(both.0.is_err());
}

/// A registry that shows an image only to some, each their own.
struct Private {
    shown: HashMap<Option<String>, Digest>,
    asked: Mutex<Vec<Option<String>>>,
}

impl Resolve for Private {
    async fn resolve(&self, question: &Question<'_>, _: std::time::Instant) -> Result<Digest, Error> {
        let key = question.candidates.key().map(str::to_owned);
        self.asked.lock().unwrap().push(key.clone());
        time::sleep(ms(20)).await;
        self.shown.get(&key).cloned().ok_or_else(|| Error::unauthorized(question.image, key.is_none()))
    }
}

/// However warm the memory is by others: who asks as somebody else costs a request, waits for it, and is told what the
/// registry says to them.
#[tokio::test(start_paused = true)]
async fn nobody_learns_anothers_digest_nor_whether_it_is_remembered() {
    let (ours, theirs, nobody) =
        (Candidates::of("ours", "password"), Candidates::of("theirs", "password"), Candidates::anonymous());
    let key = |candidates: &Candidates| candidates.key().map(str::to_owned);
    let shown = HashMap::from([(key(&ours), digest("ours")), (key(&theirs), digest("theirs"))]);
    let shared = remembering(Private { shown, asked: Mutex::default() }, 60_000, 60_000);
    let (image, start) = (image(), Instant::now());
    let question = async |candidates| shared.resolve(&Question::new(&image, candidates), within(1000)).await;
    for warm in [false, true] {
        let asked = shared.inner().asked.lock().unwrap().len();
        let began = Instant::now();
        assert_eq!(question(&ours).await.unwrap(), digest("ours"));
        assert_eq!(
            (shared.inner().asked.lock().unwrap().len() - asked, began.elapsed()),
            if warm { (0, ms(0)) } else { (1, ms(20)) }
        );
    }
    let strangers = [nobody.clone(), theirs, Candidates::of("ours", "guess"), Candidates::of("other", "password")];
    for (number, stranger) in strangers.iter().enumerate() {
        let known = shared.last_known(&Question::new(&image, stranger));
        assert_eq!(known, None);
        let began = Instant::now();
        let told = question(stranger).await;
        assert_eq!(told.ok(), (number == 1).then(|| digest("theirs")));
        assert_eq!(began.elapsed(), ms(20));
        assert_eq!(*shared.inner().asked.lock().unwrap().last().unwrap(), key(stranger));
    }
    assert!(start.elapsed() < ms(1000));
    // At the same moment, too.
    let answers = future::join(question(&ours), question(&nobody)).await;
    assert!(answers.0.is_ok() && answers.1.is_err());
}
