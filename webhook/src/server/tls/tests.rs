use std::time::Duration;

use berth_cert_manager::{Authority, Leaf};

use super::*;

pub(in crate::server) const HOUR: Duration = Duration::from_secs(60 * 60);

/// A leaf for `localhost`.
pub(super) fn leaf(lifetime: Duration) -> Leaf {
    let now = SystemTime::now();
    let authority = Authority::issue("test", now, 24 * HOUR).unwrap();
    authority.issue_leaf(&["localhost".to_owned()], now, lifetime).unwrap()
}

fn identity(leaf: &Leaf) -> Identity {
    Identity::from_pem(&leaf.certificate_pem, &leaf.key_pem).unwrap()
}

pub(in crate::server) fn tls_until(end: SystemTime) -> Arc<Tls> {
    let leaf = leaf(end.duration_since(SystemTime::now()).unwrap());
    Arc::new(Tls::new(identity(&leaf), Arc::default()).unwrap())
}

#[test]
fn an_expired_one_does_not_replace_a_valid_one() {
    let tls = Tls::new(identity(&leaf(HOUR)), Arc::default()).unwrap();
    let replace = |lifetime, now| tls.replace(identity(&leaf(lifetime)), now);
    let later = SystemTime::now() + Duration::from_secs(1);
    assert!(matches!(replace(Duration::ZERO, later), Err(Error::Expired { .. })));
    let after_both = SystemTime::now() + 2 * HOUR;
    assert!(replace(Duration::ZERO, after_both).unwrap()); // neither counts: what the files say
}

#[test]
fn a_first_one_is_taken_whatever_it_is_and_the_same_one_is_no_news() {
    let tls = Tls::waiting("patience", Arc::default()).unwrap();
    assert_eq!(tls.obstacle(SystemTime::now()).unwrap(), "patience");
    let leaf = leaf(HOUR);
    assert!(tls.replace(identity(&leaf), SystemTime::now()).unwrap());
    assert!(!tls.replace(identity(&leaf), SystemTime::now()).unwrap());
    assert_eq!(tls.obstacle(SystemTime::now()), None);
    assert_eq!(tls.obstacle(SystemTime::now() + 2 * HOUR).unwrap(), "the certificate has expired");
}
