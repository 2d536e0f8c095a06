use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A CA without a key usage, as `openssl req -x509` makes it.
fn authority(lifetime: Duration) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() + lifetime).into();
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A client's certificate with the common name `apiserver`, changed by `change`.
fn client(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "apiserver");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() + DAY).into();
    change(&mut params);
    params
}

fn verify(params: &CertificateParams, now: SystemTime) -> Result<Client, Error> {
    let authority = authority(10 * DAY);
    let certificate = params.signed_by(&KeyPair::generate().unwrap(), &authority).unwrap();
    verify_client(&[certificate.der().clone()], &authority.pem(), now)
}

#[test]
fn a_client_has_the_names_that_its_certificate_gives_it() {
    let params = client(|params| {
        params.subject_alt_names = vec![
            SanType::DnsName("api.example".try_into().unwrap()),
            SanType::URI("spiffe://example/api".try_into().unwrap()),
            SanType::Rfc822Name("api@example".try_into().unwrap()),
        ];
    });
    let found = verify(&params, SystemTime::now()).unwrap();
    assert_eq!(found.names, ["apiserver", "api.example", "spiffe://example/api"]);
    assert!(found.validity.covers(SystemTime::now() + DAY / 2) && !found.validity.covers(SystemTime::now() + 2 * DAY));
}

#[test]
fn a_certificate_that_is_not_for_clients_proves_none() {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, ServerAuth};
    let with = |usages: &[ExtendedKeyUsagePurpose]| {
        verify(&client(|params| params.extended_key_usages = usages.to_vec()), SystemTime::now())
    };
    assert!(with(&[ServerAuth, ClientAuth]).is_ok());
    assert!(matches!(with(&[ServerAuth]), Err(Error::RefusedClient(_))));
    assert!(matches!(with(&[Any]), Err(Error::RefusedClient(_))));
    assert!(matches!(with(&[]), Err(Error::NotAClient)), "rustls alone would take it");
}

#[test]
fn a_certificate_counts_in_its_time_only() {
    let params = client(|_| ());
    for now in [SystemTime::now() - 2 * DAY, SystemTime::now() + 2 * DAY] {
        let ended = verify(&params, now);
        assert!(matches!(ended, Err(Error::RefusedClient(_) | Error::EmptyBundle)), "{ended:?}");
    }
    let late = verify(&params, SystemTime::now() + 20 * DAY);
    assert!(matches!(late, Err(Error::EmptyBundle)), "an expired CA vouches for nobody: {late:?}");
}

#[test]
fn only_a_ca_of_the_bundle_vouches() {
    let (authority, other) = (authority(DAY), authority(DAY));
    let certificate = client(|_| ()).signed_by(&KeyPair::generate().unwrap(), &authority).unwrap();
    let chain = [certificate.der().clone()];
    verify_client(&chain, &[other.pem(), authority.pem()].concat(), SystemTime::now()).unwrap();
    let stranger = verify_client(&chain, &other.pem(), SystemTime::now());
    assert!(matches!(stranger, Err(Error::RefusedClient(_))), "{stranger:?}");
    let itself = verify_client(&chain, &certificate.pem(), SystemTime::now());
    assert!(matches!(itself, Err(Error::EmptyBundle)), "{itself:?}");
    assert!(matches!(verify_client(&[], &authority.pem(), SystemTime::now()), Err(Error::NoCertificate)));
}

#[test]
fn two_common_names_are_none() {
    let params = client(|params| params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 3]), "kubelet"));
    assert_eq!(verify(&params, SystemTime::now()).unwrap().names, [""; 0]);
}
