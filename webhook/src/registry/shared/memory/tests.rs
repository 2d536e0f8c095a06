use super::*;
use crate::config::{self, Registry};

fn said(asked: Instant, answer: Result<&str, Error>) -> Said {
    Said { asked, answer: answer.map(|content| Digest::of(content.as_bytes())) }
}

fn missing() -> Error {
    Error::NotFound { host: "reg.example".to_owned(), image: "reg.example/app:v1".to_owned() }
}

fn down() -> Error {
    Error::Unreachable { host: "reg.example".to_owned(), reason: "connection refused".to_owned() }
}

#[test]
fn the_newest_word_counts_whatever_comes_last() {
    let (memory, start) = (Memory::of(&Config::default()), Instant::now());
    let later = |milliseconds| start + Duration::from_millis(milliseconds);
    let known = || memory.last("key").map(|said| said.answer.ok());
    memory.remember("key", said(later(0), Err(down())));
    assert_eq!(known(), None);
    memory.remember("key", said(later(10), Ok("second")));
    memory.remember("key", said(later(5), Ok("first")));
    memory.remember("key", said(later(5), Err(missing())));
    memory.remember("key", said(later(20), Err(down())));
    assert_eq!(known(), Some(Some(Digest::of(b"second"))));
    memory.remember("key", said(later(15), Err(missing())));
    memory.remember("key", said(later(12), Ok("late")));
    assert_eq!(known(), Some(None), "a digest from before a denial does not come back");
}

#[test]
fn denials_are_believed_for_seconds_and_failures_never() {
    let (asked, second) = (Instant::now(), Duration::from_secs(1));
    let digest = Ok(Digest::of(b"x"));
    let serve = |max_age: u32, answer: &Result<Digest, Error>, after: Duration| {
        let ages = Ages { max_age: max_age * second, last_known_good: 9 * second };
        ages.serve(answer, asked, asked + after)
    };
    for (max_age, after, for_digest, for_denial) in [(0, 0, false, false), (3, 2, true, true), (60, 5, true, false)] {
        assert_eq!(serve(max_age, &digest, after * second), for_digest, "maxAge {max_age} s, after {after} s");
        assert_eq!(serve(max_age, &Err(missing()), after * second), for_denial, "maxAge {max_age} s, after {after} s");
    }
    assert!(serve(60, &Err(missing()), 4 * second));
    assert!(!serve(60, &Err(down()), Duration::ZERO));
}

#[test]
fn a_flood_of_names_stays_within_its_bytes() {
    let (memory, now) = (Memory::of(&Config::default()), Instant::now());
    for number in 0..50_000 {
        let name = format!("reg.example/{}/{number}:v1", "team/".repeat(20));
        memory.remember(&name, said(now, if number % 2 == 0 { Ok("x") } else { Err(missing()) }));
    }
    memory.said.run_pending_tasks();
    assert!(memory.said.weighted_size() <= CAPACITY && memory.said.entry_count() > 5_000, "{memory:?}");
}

#[test]
fn it_survives_a_configuration_that_reaches_registries_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.crt");
    fs::write(&ca, "one").unwrap();
    let entry = Registry { host: "reg.example".to_owned(), ca_file: Some(ca.clone()), ..Registry::default() };
    let config = Config { registries: vec![entry.clone()], ..Config::default() };
    let memory = Memory::of(&config);
    memory.remember("key", said(Instant::now(), Ok("x")));
    let survives = |config: &Config| memory.under(config).last("key").is_some();

    let mut other = config.clone();
    other.pin.max_age = Duration::from_secs(5);
    other.pin.on_failure = config::OnFailure::Deny;
    assert!(survives(&other));
    let endpoint = Some("http://10.0.0.1:5000".to_owned());
    assert!(!survives(&Config { registries: vec![Registry { endpoint, ..entry.clone() }], ..config.clone() }));
    assert!(!survives(&Config { registries: Vec::new(), ..config.clone() }));
    assert!(survives(&config));
    fs::write(&ca, "two").unwrap();
    assert!(!survives(&config), "another authority vouches for it now");
}
