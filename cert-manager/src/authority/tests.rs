use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, oid_registry};

use super::*;
use crate::{service_names, verify};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const NAME: &str = "berth.berth-system.svc";

/// 2026-11-21 00:00 UTC.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_219_200)
}

fn authority() -> Authority {
    Authority::issue("berth-ca", now(), 365 * DAY).unwrap()
}

fn leaf(authority: &Authority) -> Leaf {
    authority.issue_leaf(&service_names("berth", "berth-system"), now(), 90 * DAY).unwrap()
}

fn with_parsed(pem: &str, look: impl FnOnce(&X509Certificate<'_>)) {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    look(&x509_parser::parse_x509_certificate(&der).unwrap().1);
}

#[test]
fn the_ca_may_sign_leaves_and_nothing_else() {
    let authority = authority();
    with_parsed(authority.certificate_pem(), |certificate| {
        let basic = certificate.basic_constraints().unwrap().unwrap();
        assert!(basic.critical && basic.value.ca);
        assert_eq!(basic.value.path_len_constraint, Some(0));
        let usage = certificate.key_usage().unwrap().unwrap();
        assert!(usage.critical);
        assert_eq!(usage.value.flags, 0b0110_0000); // keyCertSign, cRLSign
        assert_eq!(certificate.signature_algorithm.algorithm, oid_registry::OID_SIG_ECDSA_WITH_SHA256);
        let subject = certificate.subject().to_string();
        assert!(subject.starts_with("CN=berth-ca 2026-11-21 "), "{subject}");
        assert_eq!(subject.len(), "CN=berth-ca 2026-11-21 01234567".len());
    });
}

#[test]
fn two_cas_of_one_day_have_two_names() {
    assert_ne!(authority().subject, authority().subject);
}

#[test]
fn a_leaf_can_serve_and_nothing_else() {
    let authority = authority();
    with_parsed(&leaf(&authority).certificate_pem, |certificate| {
        let basic = certificate.basic_constraints().unwrap();
        assert!(basic.is_none_or(|basic| !basic.value.ca));
        assert_eq!(certificate.key_usage().unwrap().unwrap().value.flags, 1); // digitalSignature
        let purposes = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(purposes.server_auth && !purposes.client_auth && !purposes.any && purposes.other.is_empty());
        let has = |oid| certificate.get_extension_unique(&oid).unwrap().is_some();
        assert!(has(oid_registry::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER));
        let names = &certificate.subject_alternative_name().unwrap().unwrap().value.general_names;
        assert_eq!(names.first(), Some(&GeneralName::DNSName(NAME)));
        assert_eq!(names.len(), 3);
        assert!(certificate.serial > 0u32.into());
    });
}

#[test]
fn both_count_from_an_hour_before() {
    let authority = authority();
    let validity = crate::validity(&leaf(&authority).certificate_pem).unwrap();
    assert_eq!(validity, Validity { not_before: now() - BACK_DATED, not_after: now() + 90 * DAY });
    assert_eq!(authority.validity(), Validity { not_before: now() - BACK_DATED, not_after: now() + 365 * DAY });
}

#[test]
fn a_leaf_ends_with_its_ca() {
    let authority = authority();
    let leaf = authority.issue_leaf(&[NAME.to_owned()], now() + 300 * DAY, 90 * DAY).unwrap();
    assert_eq!(crate::validity(&leaf.certificate_pem).unwrap().not_after, authority.validity().not_after);
    let late = authority.issue_leaf(&[NAME.to_owned()], now() + 366 * DAY, 90 * DAY);
    assert!(matches!(late, Err(Error::AuthorityNotValid { .. })), "{late:?}");
}

#[test]
fn a_ca_rebuilt_from_pem_signs_for_the_same_bundle() {
    let first = authority();
    let again = Authority::from_pem(first.certificate_pem(), &first.key_pem()).unwrap();
    verify(&leaf(&again), first.certificate_pem(), NAME, now()).unwrap();
    with_parsed(&leaf(&first).certificate_pem, |before| {
        with_parsed(&leaf(&again).certificate_pem, |after| {
            let identifier = oid_registry::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER;
            let of = |certificate: &X509Certificate<'_>| {
                certificate.get_extension_unique(&identifier).unwrap().unwrap().value.to_vec()
            };
            assert_eq!(of(before), of(after));
        });
    });
}

#[test]
fn only_a_ca_with_its_own_key_is_rebuilt() {
    let authority = authority();
    let leaf = leaf(&authority);
    let not_one = Authority::from_pem(&leaf.certificate_pem, &leaf.key_pem);
    assert!(matches!(not_one, Err(Error::NotAnAuthority { .. })), "{not_one:?}");
    let mismatch = Authority::from_pem(authority.certificate_pem(), &leaf.key_pem);
    assert!(matches!(mismatch, Err(Error::KeyMismatch)), "{mismatch:?}");
    let swapped = Authority::from_pem(&authority.key_pem(), authority.certificate_pem());
    assert!(matches!(swapped, Err(Error::NoCertificate)), "{swapped:?}");
    let keyless = Authority::from_pem(authority.certificate_pem(), "");
    assert!(matches!(keyless, Err(Error::NoKey)), "{keyless:?}");
}

#[test]
fn names_are_checked() {
    let authority = authority();
    let issue = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        authority.issue_leaf(&names, now(), DAY)
    };
    assert!(matches!(issue(&[]), Err(Error::NoNames)));
    assert!(matches!(issue(&[NAME, "a b"]), Err(Error::BadName { name }) if name == "a b"));
    let addresses = issue(&["127.0.0.1", "::1"]).unwrap();
    verify(&addresses, authority.certificate_pem(), "::1", now()).unwrap();
}

#[test]
fn a_client_accepts_what_the_bundle_signed_for_the_name_and_the_time() {
    let (authority, other) = (authority(), authority());
    let leaf = leaf(&authority);
    let bundle = [other.certificate_pem(), authority.certificate_pem()].concat(); // as during a rotation
    let validity = verify(&leaf, &bundle, NAME, now()).unwrap();
    assert_eq!(validity.not_after, now() + 90 * DAY);
    verify(&leaf, &bundle, NAME, now() - BACK_DATED).unwrap();

    let ended = |bundle: &str, name: &str, now| verify(&leaf, bundle, name, now).unwrap_err();
    let other_name = ended(&bundle, "other.berth-system.svc", now());
    assert!(matches!(other_name, Error::WrongName { .. }), "{other_name:?}");
    let late = ended(&bundle, NAME, now() + 91 * DAY);
    assert!(matches!(late, Error::Expired { .. }), "{late:?}");
    let stranger = ended(other.certificate_pem(), NAME, now());
    assert!(matches!(stranger, Error::Unvouched), "{stranger:?}");
    let long_ended = ended(&bundle, NAME, now() + 366 * DAY);
    assert!(matches!(long_ended, Error::Expired { .. }), "{long_ended:?}");
    let early = ended(&bundle, NAME, now() - 2 * BACK_DATED);
    assert!(matches!(early, Error::NotYetValid { .. }), "{early:?}");
}

#[test]
fn an_expired_ca_vouches_for_nobody() {
    let (short, long) = (Authority::issue("short", now(), DAY).unwrap(), authority());
    let leaf = leaf(&long);
    let expired = verify(&leaf, short.certificate_pem(), NAME, now() + 2 * DAY);
    assert!(matches!(expired, Err(Error::EmptyBundle)), "{expired:?}");
}

#[test]
fn a_leaf_is_not_its_own_bundle() {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
    params.not_after = (now() + DAY).into();
    let certificate = params.self_signed(&key).unwrap();
    let leaf = Leaf { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() };
    let ended = verify(&leaf, &certificate.pem(), NAME, now());
    assert!(matches!(ended, Err(Error::EmptyBundle)), "{ended:?}");
}

#[test]
fn a_key_of_another_leaf_is_refused() {
    let authority = authority();
    let mut mixed = leaf(&authority);
    mixed.key_pem = KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem();
    let ended = verify(&mixed, authority.certificate_pem(), NAME, now());
    assert!(matches!(ended, Err(Error::KeyMismatch)), "{ended:?}");
}
