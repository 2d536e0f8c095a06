use std::{sync::LazyLock, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{Authority, Leaf, service_names};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const NAME: &str = "berth-webhook.berth-system.svc";

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_219_200)
}

fn authority() -> Authority {
    Authority::issue("berth-ca", now(), 365 * DAY).unwrap()
}

fn leaf(authority: &Authority) -> Leaf {
    authority.issue_leaf(&service_names("berth-webhook", "berth-system"), now(), 90 * DAY).unwrap()
}

fn data(leaf: &Leaf, bundle: &str) -> BTreeMap<String, ByteString> {
    let entries = [(CERTIFICATE, &*leaf.certificate_pem), (KEY, &leaf.key_pem), (BUNDLE, bundle)];
    entries.map(|(entry, text)| (entry.to_owned(), ByteString(text.as_bytes().to_vec()))).into()
}

/// A good Secret, changed; then read at `now`.
#[track_caller]
fn refused(change: impl FnOnce(&mut BTreeMap<String, ByteString>, &Authority), now: SystemTime) -> Error {
    let authority = authority();
    let mut data = data(&leaf(&authority), authority.certificate_pem());
    change(&mut data, &authority);
    Served::from_secret(&data, NAME, now).unwrap_err()
}

fn set(data: &mut BTreeMap<String, ByteString>, entry: &str, text: &str) {
    data.insert(entry.to_owned(), ByteString(text.as_bytes().to_vec()));
}

#[test]
fn a_good_secret_is_ready_to_serve_with() {
    let authority = authority();
    let served = Served::from_secret(&data(&leaf(&authority), authority.certificate_pem()), NAME, now()).unwrap();
    assert_eq!(served.key().cert.len(), 1);
    assert_eq!(served.validity().not_after, now() + 90 * DAY);
    assert_eq!(served.authorities().iter().count(), 1);
    let printed = format!("{served:?}");
    assert!(!printed.contains("key") && !printed.contains("KEY"), "{printed}");
}

#[test]
fn each_bad_content_has_its_own_error() {
    for entry in [CERTIFICATE, KEY, BUNDLE] {
        let error = refused(|data, _| drop(data.remove(entry)), now());
        assert!(matches!(error, Error::Missing { entry: missing } if missing == entry), "{error:?}");
    }
    let matched = |error: Error, want: fn(&Error) -> bool| assert!(want(&error), "{error:?}");
    let garbage = |entry: &'static str| refused(move |data, _| set(data, entry, "garbage"), now());
    matched(garbage(CERTIFICATE), |error| matches!(error, Error::NoCertificate));
    matched(garbage(KEY), |error| matches!(error, Error::NoKey));
    matched(garbage(BUNDLE), |error| matches!(error, Error::EmptyBundle));
    let other_key = refused(|data, authority| set(data, KEY, &leaf(authority).key_pem), now());
    matched(other_key, |error| matches!(error, Error::KeyMismatch));
    let two = |data: &mut BTreeMap<String, ByteString>, authority: &Authority| {
        let (one, other) = (leaf(authority), leaf(authority));
        set(data, CERTIFICATE, &[one.certificate_pem, other.certificate_pem].concat());
        set(data, KEY, &one.key_pem);
    };
    matched(refused(two, now()), |error| matches!(error, Error::SeveralLeaves));
    matched(refused(|_, _| (), now() + 91 * DAY), |error| matches!(error, Error::Expired { .. }));
    matched(refused(|_, _| (), now() - DAY), |error| matches!(error, Error::NotYetValid { .. }));
    let stranger = refused(|data, _| set(data, BUNDLE, authority().certificate_pem()), now());
    matched(stranger, |error| matches!(error, Error::Unvouched));
    let other_name = |data: &mut BTreeMap<String, ByteString>, authority: &Authority| {
        let leaf = authority.issue_leaf(&["other.berth-system.svc".to_owned()], now(), DAY).unwrap();
        set(data, CERTIFICATE, &leaf.certificate_pem);
        set(data, KEY, &leaf.key_pem);
    };
    matched(refused(other_name, now()), |error| matches!(error, Error::WrongName { .. }));
    let authority_served = |data: &mut BTreeMap<String, ByteString>, authority: &Authority| {
        set(data, CERTIFICATE, authority.certificate_pem());
        set(data, KEY, &authority.key_pem());
    };
    matched(refused(authority_served, now()), |error| matches!(error, Error::Refused { .. } | Error::WrongName { .. }));
}

#[test]
fn no_error_holds_anything_of_the_key() {
    let authority = authority();
    let key = leaf(&authority).key_pem;
    let line = key.lines().nth(1).unwrap();
    let swapped = refused(|data, _| set(data, CERTIFICATE, &key), now());
    let broken = refused(|data, _| set(data, KEY, &key.replace("END", "EMD")), now());
    for error in [swapped, broken] {
        assert!(!format!("{error} {error:?}").contains(line), "{error:?}");
    }
}

/// As the CNCF project cert-manager writes it where the issuer is no root: the leaf, then what stands above it.
#[test]
fn cas_may_follow_the_leaf() {
    let authority = authority();
    let one = leaf(&authority);
    let chain = [&one.certificate_pem, authority.certificate_pem()].concat();
    let leaf = Leaf { certificate_pem: chain, ..one };
    let served = Served::from_secret(&data(&leaf, authority.certificate_pem()), NAME, now()).unwrap();
    assert_eq!(served.key().cert.len(), 2);
}

#[test]
fn a_leaf_follows_where_its_ca_was_known_before() {
    let (a, b) = (authority(), authority());
    let both = [a.certificate_pem(), b.certificate_pem()].concat();
    let served = |by: &Authority, bundle: &str| Served::from_secret(&data(&leaf(by), bundle), NAME, now()).unwrap();
    let first = served(&a, a.certificate_pem());
    let informed = served(&a, &both);
    let second = served(&b, &both);
    assert!(informed.follows(&first, NAME, now()));
    assert!(second.follows(&informed, NAME, now()));
    assert!(!second.follows(&first, NAME, now()), "nobody has said that API servers know its CA");
    assert!(second.follows(&first, NAME, now() + 91 * DAY), "there is nothing to lose any more");
}

static GOOD: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let authority = authority();
    let Leaf { certificate_pem, key_pem } = leaf(&authority);
    [certificate_pem, key_pem, authority.certificate_pem().to_owned()].map(String::into_bytes)
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// Bytes of a good Secret are changed, removed and doubled: it is refused, or what is served is good.
    #[test]
    fn whatever_stands_in_it_is_served_only_if_it_verifies(
        harms in prop::collection::vec((0..3_usize, any::<prop::sample::Index>(), 0..3_u8, any::<u8>()), 1..6),
    ) {
        let mut parts = GOOD.clone();
        for (part, at, how, byte) in harms {
            let part = &mut parts[part];
            let at = at.index(part.len() + 1);
            match how {
                0 => part.truncate(at),
                1 => part.insert(at, byte),
                _ => part.extend_from_within(at..),
            }
        }
        let [certificate, key, bundle] = &parts;
        match Served::from_parts(certificate, key, bundle, NAME, now()) {
            Ok(served) => {
                prop_assert!(served.validity().covers(now()));
                prop_assert!(served.chain().verify(served.authorities(), NAME, now()).is_ok());
            }
            Err(error) => {
                let secret = String::from_utf8_lossy(&GOOD[1]).lines().nth(1).unwrap_or_default().to_owned();
                let shown = format!("{error} {error:?}");
                prop_assert!(!shown.contains(&secret), "{}", shown);
            }
        }
    }
}
