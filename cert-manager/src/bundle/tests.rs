use std::time::Duration;

use super::*;
use crate::Authority;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_219_200)
}

fn authority(name: &str, lifetime: Duration) -> Authority {
    Authority::issue(name, now(), lifetime).unwrap()
}

fn read(authorities: &[&Authority]) -> Bundle {
    Bundle::read(authorities.iter().map(|one| one.certificate_pem()).collect::<String>().as_bytes())
}

#[test]
fn what_was_written_is_read_again() {
    let (a, b) = (authority("a", DAY), authority("b", DAY));
    let bundle = read(&[&a, &b]);
    assert_eq!(bundle.to_pem(), [a.certificate_pem(), b.certificate_pem()].concat());
    assert!(Bundle::read(bundle.to_pem().as_bytes()).is(&bundle));
    assert!(Bundle::default().to_pem().is_empty());
}

#[test]
fn each_ca_is_in_it_once() {
    let (a, b) = (authority("a", DAY), authority("b", DAY));
    assert_eq!(read(&[&a, &b, &a]).iter().count(), 2);
    let (one, both) = (read(&[&a]), read(&[&b, &a]));
    assert!(both.holds(&one) && !one.holds(&both) && one.holds(&Bundle::default()));
    assert!(one.with(&both).is(&both) && both.without(&one).is(&read(&[&b])));
    assert!(!one.is(&read(&[&authority("a", DAY)])), "another key is another CA");
}

#[test]
fn what_is_no_ca_is_passed_over_and_what_is_broken_only_where_an_api_server_would() {
    let a = authority("a", DAY);
    let leaf = a.issue_leaf(&["x.svc".to_owned()], now(), DAY).unwrap();
    let cut = &a.certificate_pem()[..200];
    let mixed = [&leaf.certificate_pem, "some words\n", &leaf.key_pem, a.certificate_pem()].concat();
    assert!(Bundle::read(mixed.as_bytes()).is(&read(&[&a])));
    assert!(Bundle::parse(mixed.as_bytes()).unwrap().is(&read(&[&a])));
    let broken = [a.certificate_pem(), cut].concat();
    assert!(Bundle::read(broken.as_bytes()).is(&read(&[&a])));
    assert!(matches!(Bundle::parse(broken.as_bytes()), Err(Error::NoCertificate)));
    for nothing in ["", "garbage", cut, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(Bundle::read(nothing.as_bytes()).is_empty(), "{nothing}");
    }
}

#[test]
fn only_what_has_ended_is_expired() {
    let (short, long) = (authority("short", DAY), authority("long", 3 * DAY));
    let both = read(&[&short, &long]);
    assert!(both.unexpired(now() + DAY).is(&both), "the last moment counts");
    assert!(both.unexpired(now() + 2 * DAY).is(&read(&[&long])));
    assert!(both.unexpired(now() - DAY).is(&both), "the clock may be wrong");
    assert_eq!(both.roots(now() + 2 * DAY).unwrap().len(), 1);
    assert!(matches!(both.roots(now() + 4 * DAY), Err(Error::EmptyBundle)));
    assert!(matches!(both.roots(now() - DAY), Err(Error::EmptyBundle)));
}
