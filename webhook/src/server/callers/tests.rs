use std::{io, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType,
};
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion,
    client::ResolvesClientCert,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use tokio::io::AsyncReadExt as _;
use tokio_rustls::TlsConnector;

use super::*;
use crate::server::tls::{Identity, Tls};

const HOUR: Duration = Duration::from_secs(60 * 60);
const API_SERVER: &str = "kube-apiserver";

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The parameters of a client's certificate that counts for an hour.
fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_after = (SystemTime::now() + HOUR).into();
    params
}

fn also(name: SanType) -> CertificateParams {
    let mut params = named("somebody");
    params.subject_alt_names = vec![name];
    params
}

fn signed(params: &CertificateParams, authority: &Authority) -> CertifiedKey {
    let key = KeyPair::generate().unwrap();
    certified(vec![params.signed_by(&key, authority).unwrap().der().clone()], &key)
}

/// `chain` with any key: what a thief would send.
fn certified(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> CertifiedKey {
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    CertifiedKey::new(chain, aws_lc_rs::default_provider().key_provider.load_private_key(key).unwrap())
}

/// Shows the same certificate to whoever asks, as an API server does.
#[derive(Debug)]
struct Shows(Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A server, and the authority whose API servers it believes.
struct World {
    tls: Tls,
    authority: Authority,
    roots: RootCertStore,
}

impl World {
    fn new() -> Self {
        let issuer = berth_cert_manager::Authority::issue("test", SystemTime::now(), HOUR).unwrap();
        let leaf = issuer.issue_leaf(&["localhost".to_owned()], SystemTime::now(), HOUR).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(issuer.certificate_pem().as_bytes()).unwrap()).unwrap();
        let identity = Identity::from_pem(&leaf.certificate_pem, &leaf.key_pem).unwrap();
        let world = Self { tls: Tls::new(identity, Arc::default()).unwrap(), authority: authority(), roots };
        world.believe(&[API_SERVER, "api.example", "spiffe://example/api"]);
        world
    }

    fn believe(&self, names: &[&str]) {
        let names = names.iter().copied().map(str::to_owned).collect();
        self.tls.callers().believe(Some(Trust { bundle: self.authority.pem(), names }));
    }

    fn client(&self, shows: Option<CertifiedKey>, version: &'static SupportedProtocolVersion) -> TlsConnector {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_client_cert_resolver(Arc::new(Shows(shows.map(Arc::new))));
        TlsConnector::from(Arc::new(config))
    }

    /// Whom the server sees after a handshake, and how that went.
    async fn meet(&self, client: &TlsConnector) -> io::Result<(Peer, HandshakeKind)> {
        let (near, far) = tokio::io::duplex(1 << 16);
        let calling = async {
            let mut stream = client.connect("localhost".try_into().unwrap(), far).await?;
            stream.read(&mut [0]).await // a server's refusal, or its tickets, come after the client's last message
        };
        let answering = async {
            let stream = self.tls.accept(near).await?;
            let session = stream.get_ref().1;
            let peer = self.tls.callers().peer(session.peer_certificates(), SystemTime::now());
            Ok((peer, session.handshake_kind().unwrap()))
        };
        tokio::join!(calling, answering).1
    }

    async fn caller(&self, shows: Option<CertifiedKey>) -> io::Result<Caller> {
        let (twelve, thirteen) = (self.client(shows.clone(), &TLS12), self.client(shows, &TLS13));
        let ((old, _), (new, _)) = (self.meet(&twelve).await?, self.meet(&thirteen).await?);
        let callers = [old, new].map(|peer| peer.caller(SystemTime::now()));
        assert_eq!(callers[0], callers[1], "TLS 1.2 and 1.3");
        Ok(callers[0])
    }

    async fn check(&self, params: &CertificateParams, want: Caller) {
        let got = self.caller(Some(signed(params, &self.authority))).await.unwrap();
        assert_eq!(got, want, "{:?} {:?}", params.distinguished_name, params.subject_alt_names);
    }
}

#[tokio::test]
async fn a_name_of_the_list_in_a_certificate_of_the_authority_is_proof() {
    let world = World::new();
    world.check(&named(API_SERVER), Caller::Proven).await;
    world.check(&also(SanType::DnsName("api.example".try_into().unwrap())), Caller::Proven).await;
    world.check(&also(SanType::URI("spiffe://example/api".try_into().unwrap())), Caller::Proven).await;
}

#[tokio::test]
async fn nothing_less_is_proof_and_everybody_is_served() {
    let world = World::new();
    assert_eq!(world.caller(None).await.unwrap(), Caller::Anyone);
    for other in ["system:node:worker", "Kube-apiserver", "kube-apiserver ", "kube-apiserver.evil.example", "*", ""] {
        world.check(&named(other), Caller::Anyone).await;
    }
    world.check(&also(SanType::DnsName("*.example".try_into().unwrap())), Caller::Anyone).await;
    world.check(&also(SanType::Rfc822Name("api.example".try_into().unwrap())), Caller::Anyone).await;

    let stranger = signed(&named(API_SERVER), &authority());
    assert_eq!(world.caller(Some(stranger)).await.unwrap(), Caller::Anyone, "another authority");
    let mut expired = named(API_SERVER);
    expired.not_after = (SystemTime::now() - HOUR).into();
    world.check(&expired, Caller::Anyone).await;
    for usages in [vec![], vec![ExtendedKeyUsagePurpose::ServerAuth]] {
        let mut server = named(API_SERVER);
        server.extended_key_usages = usages;
        world.check(&server, Caller::Anyone).await;
    }
    let unreadable =
        certified(vec![CertificateDer::from(b"\x30\x03\x02\x01\x01".to_vec())], &KeyPair::generate().unwrap());
    assert_eq!(world.caller(Some(unreadable)).await.unwrap(), Caller::Anyone, "as old as X.509 version 1");
}

#[tokio::test]
async fn a_certificate_without_its_key_is_no_proof() {
    let world = World::new();
    let stolen = signed(&named(API_SERVER), &world.authority).cert;
    for version in [&TLS12, &TLS13] {
        let thief = world.client(Some(certified(stolen.clone(), &KeyPair::generate().unwrap())), version);
        assert!(world.meet(&thief).await.is_err());
    }
}

#[tokio::test]
async fn a_chain_without_end_is_not_kept() {
    let world = World::new();
    let key = KeyPair::generate().unwrap();
    let leaf = named(API_SERVER).signed_by(&key, &world.authority).unwrap().der().clone();
    let chain = |length: usize| certified(vec![leaf.clone(); length], &key);
    assert_eq!(world.caller(Some(chain(LONGEST_CHAIN / leaf.len()))).await.unwrap(), Caller::Proven);
    assert!(world.caller(Some(chain(LONGEST_CHAIN / leaf.len() + 1))).await.is_err());
}

#[tokio::test]
async fn nobody_is_asked_where_nobody_could_be_believed() {
    let world = World::new();
    world.tls.callers().believe(None);
    let client = world.client(Some(signed(&named(API_SERVER), &world.authority)), &TLS13);
    let (near, far) = tokio::io::duplex(1 << 16);
    let (server, _client) = tokio::join!(world.tls.accept(near), client.connect("localhost".try_into().unwrap(), far));
    assert!(server.unwrap().get_ref().1.peer_certificates().is_none());
}

#[tokio::test]
async fn proof_is_withdrawn_on_open_connections() {
    let world = World::new();
    let client = world.client(Some(signed(&named(API_SERVER), &world.authority)), &TLS13);
    let (peer, _) = world.meet(&client).await.unwrap();
    let now = SystemTime::now();
    assert_eq!(peer.caller(now), Caller::Proven);
    assert_eq!(peer.caller(now + 2 * HOUR), Caller::Anyone, "it has expired");
    world.believe(&["another", API_SERVER]);
    assert_eq!(peer.caller(now), Caller::Proven, "one more name takes nothing away");
    assert_eq!(peer.caller(now + 2 * HOUR), Caller::Anyone);
    world.believe(&["another"]);
    assert_eq!(peer.caller(now), Caller::Anyone, "no longer a name of the list");
    let names = vec![API_SERVER.to_owned()];
    world.tls.callers().believe(Some(Trust { bundle: authority().pem(), names }));
    assert_eq!(peer.caller(now), Caller::Anyone, "another authority");
    world.tls.callers().believe(None);
    assert_eq!(peer.caller(now), Caller::Anyone);
}

/// A session that is resumed would bring the proof of another connection with it.
#[tokio::test]
async fn no_session_is_resumed() {
    let world = World::new();
    for version in [&TLS12, &TLS13] {
        let client = world.client(Some(signed(&named(API_SERVER), &world.authority)), version);
        for _ in 0..2 {
            let (_, kind) = world.meet(&client).await.unwrap();
            assert!(matches!(kind, HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest), "{kind:?}");
        }
    }
}

#[test]
fn authorities_that_would_prove_nobody_are_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let read = |content: &str| {
        let file = folder.path().join("ca.crt");
        fs::write(&file, content).unwrap();
        let names = vec![API_SERVER.to_owned()];
        Trust::read(&PullSecrets { enabled: false, client_ca_file: Some(file), client_names: names })
    };
    assert!(matches!(read(&authority().pem()), Ok(Some(_))));
    let leaf = named(API_SERVER).self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
    for wrong in ["", "no certificate", &leaf] {
        assert!(matches!(read(wrong), Err(TrustError::NoAuthority { .. })));
    }
    let nowhere = PullSecrets { client_ca_file: Some("/nowhere/ca.crt".into()), ..PullSecrets::default() };
    assert!(matches!(Trust::read(&nowhere), Err(TrustError::Unreadable { .. })));
    assert!(matches!(Trust::read(&PullSecrets::default()), Ok(None)));
}
