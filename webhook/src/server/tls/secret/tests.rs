use std::time::UNIX_EPOCH;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use berth_cert_manager::{Authority, Leaf};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::{super::tests::HOUR, *};
use crate::follow::fake::{End, Reply, Server, event, page, until};

/// What a controller writes: a leaf for the Service, and who vouches for it.
struct Issued {
    leaf: Leaf,
    bundle: String,
}

impl Issued {
    fn new(names: &[String], lifetime: Duration) -> Self {
        let now = SystemTime::now();
        let authority = Authority::issue("test", now, 24 * HOUR).unwrap();
        let leaf = authority.issue_leaf(names, now, lifetime).unwrap();
        Self { leaf, bundle: authority.certificate_pem().to_owned() }
    }

    fn good() -> Self {
        Self::new(&Settings::berth("berth-system").names(), HOUR)
    }

    /// The same leaf, beside a bundle that announces the CA of `next`.
    fn announcing(&self, next: &Self) -> Value {
        let bundle = [self.bundle.as_str(), &next.bundle].concat();
        secret(&[("tls.crt", &self.leaf.certificate_pem), ("tls.key", &self.leaf.key_pem), ("ca.crt", &bundle)])
    }

    fn secret(&self) -> Value {
        secret(&[("tls.crt", &self.leaf.certificate_pem), ("tls.key", &self.leaf.key_pem), ("ca.crt", &self.bundle)])
    }
}

fn secret(content: &[(&str, &str)]) -> Value {
    let data: serde_json::Map<_, _> =
        content.iter().map(|(key, text)| ((*key).to_owned(), STANDARD.encode(text).into())).collect();
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": { "name": "berth-tls", "namespace": "berth-system", "resourceVersion": "11" }, "data": data,
    })
}

/// A webhook that follows the Secret at a scripted API server.
struct World {
    server: Server,
    tls: Arc<Tls>,
    metrics: Arc<Metrics>,
    stored: Arc<Stored>,
    _tasks: JoinSet<()>,
}

impl World {
    fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let (server, metrics) = (Server::new(replies), Arc::new(Metrics::default()));
        let tls = Arc::new(Tls::waiting(AWAITED, Arc::default()).unwrap());
        let stored = Arc::new(Stored::new("berth-system", tls.clone(), metrics.clone()));
        let (client, followed, mut tasks) = (server.client(), stored.clone(), JoinSet::new());
        tasks.spawn(async move { followed.follow(client).await });
        Self { server, tls, metrics, stored, _tasks: tasks }
    }

    /// The Secret changes.
    fn sees(&self, issued: &Issued) {
        let secret = serde_json::from_value(issued.secret()).unwrap();
        self.stored.fold(Event::Apply(secret), SystemTime::now());
    }

    /// An API server that trusts the CA of `issued` connects. Returns whether it goes on.
    async fn called(&self, issued: &Issued) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(issued.bundle.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = Settings::berth("berth-system").call().try_into().unwrap();
        let (near, far) = tokio::io::duplex(1 << 16);
        let (served, called) =
            tokio::join!(self.tls.accept(near), TlsConnector::from(Arc::new(config)).connect(name, far));
        assert_eq!(served.is_ok(), called.is_ok());
        called.is_ok()
    }

    /// What keeps it from being ready.
    fn obstacle(&self) -> String {
        self.tls.obstacle(SystemTime::now()).unwrap_or_default().into_owned()
    }

    fn end(&self) -> Option<SystemTime> {
        self.tls.validity().map(|validity| validity.not_after)
    }

    fn serves(&self, issued: &Issued) -> bool {
        let want = super::super::Identity::from_pem(&issued.leaf.certificate_pem, &issued.leaf.key_pem).unwrap();
        self.tls.current.0.load().as_ref().is_some_and(|now| now.key.cert == want.key.cert)
    }

    fn refused(&self, reason: &str) -> bool {
        let line = format!("berth_certificate_refused_total{{reason=\"{reason}\"}} 1\n");
        self.metrics.encode().unwrap().contains(&line)
    }
}

fn listed(secret: &Value) -> Reply {
    page(std::slice::from_ref(secret), "")
}

fn watched(events: &[(&str, &Value)]) -> Reply {
    Reply::Watch(events.iter().map(|(kind, object)| event(kind, object)).collect(), End::Silence)
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_a_secret_and_serves_with_it_when_it_comes() {
    let issued = Issued::good();
    let world = World::start([page(&[], ""), watched(&[("ADDED", &issued.secret())])]);
    assert_eq!(world.obstacle(), AWAITED);
    assert!(world.metrics.encode().unwrap().contains("berth_certificate_expiry_timestamp_seconds 0\n"));
    until(|| world.obstacle().is_empty()).await;
    let expiry = world.end().unwrap().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let line = format!("berth_certificate_expiry_timestamp_seconds {expiry}\n");
    assert!(world.metrics.encode().unwrap().contains(&line));
    // So much a role can allow that names the one Secret.
    for asked in world.server.asked() {
        let (path, query) = asked.split_once('?').unwrap();
        assert_eq!(path, "GET /api/v1/namespaces/berth-system/secrets");
        assert!(query.contains("fieldSelector=metadata.name%3Dberth-tls"), "{asked}");
    }
}

/// Starts with a good certificate and then sees `event`: the good one is served on, for `reason` if one is given.
async fn kept(kind: &str, object: &Value, reason: Option<&str>) {
    let good = Issued::good();
    let world = World::start([listed(&good.secret()), watched(&[(kind, object)])]);
    until(|| world.obstacle().is_empty()).await;
    let before = world.end();
    match reason {
        Some(reason) => until(|| world.refused(reason)).await,
        None => time::sleep(Duration::from_secs(1)).await,
    }
    assert_eq!(world.end(), before);
    assert_eq!(world.obstacle(), "", "ready once, ready on");
    time::sleep(4 * LOOK_EVERY).await;
    assert!(reason.is_none_or(|reason| world.refused(reason)), "said again");
}

#[tokio::test(start_paused = true)]
async fn whatever_becomes_of_the_secret_the_last_good_one_is_served_on() {
    let (other, good) = (Issued::good(), Issued::good());
    let names = Settings::berth("elsewhere").names();
    let with_key_of = |other: &Issued| {
        let (certificate, key) = (&good.leaf.certificate_pem, &other.leaf.key_pem);
        secret(&[("tls.crt", certificate), ("tls.key", key), ("ca.crt", &good.bundle)])
    };
    let with_bundle = |bundle: &str| {
        secret(&[("tls.crt", &good.leaf.certificate_pem), ("tls.key", &good.leaf.key_pem), ("ca.crt", bundle)])
    };
    kept("DELETED", &good.secret(), None).await;
    kept("MODIFIED", &secret(&[]), Some("unreadable")).await;
    kept("MODIFIED", &with_key_of(&other), Some("mismatch")).await;
    kept("MODIFIED", &with_bundle(""), Some("not_vouched_for")).await;
    kept("MODIFIED", &with_bundle(&other.bundle), Some("not_vouched_for")).await;
    kept("MODIFIED", &Issued::new(&names, HOUR).secret(), Some("other_name")).await;
    kept("MODIFIED", &Issued::new(&Settings::berth("berth-system").names(), Duration::ZERO).secret(), Some("expired"))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_new_certificate_replaces_the_old_one_also_after_the_api_was_gone() {
    let (first, second, third) = (Issued::good(), Issued::good(), Issued::good());
    let expired = json!({ "status": "Failure", "reason": "Expired", "message": "too old", "code": 410 });
    let (announced, both) = (first.announcing(&second), second.announcing(&third));
    let world = World::start([
        listed(&first.secret()),
        watched(&[("MODIFIED", &announced), ("MODIFIED", &both)]),
        Reply::Refused,
        Reply::Watch(vec![event("ERROR", &expired)], End::Close),
        listed(&third.secret()),
    ]);
    let started = Instant::now();
    until(|| world.serves(&second)).await;
    assert!(started.elapsed() < PATIENCE / 2, "announced: {:?}", started.elapsed());
    until(|| world.serves(&third)).await;
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_nobody_announced_is_taken_only_where_it_stays() {
    let (good, strange, other) = (Issued::good(), Issued::good(), Issued::good());
    let world = World::start([listed(&good.secret())]);
    until(|| world.serves(&good)).await;
    time::sleep(PATIENCE).await;
    world.sees(&strange);
    time::sleep(PATIENCE / 2).await;
    assert!(world.serves(&good), "the manager has its time to put its own back");
    world.sees(&good);
    world.sees(&other);
    time::sleep(PATIENCE.saturating_sub(LOOK_EVERY)).await;
    assert!(world.serves(&good), "another one has its own time");
    time::sleep(2 * LOOK_EVERY).await;
    assert!(world.serves(&other), "whoever brings certificates may not announce them");
}

/// A replica that starts while a stranger's Secret stands has nothing to hold on to.
#[tokio::test(start_paused = true)]
async fn what_no_api_server_has_taken_is_given_up_at_once() {
    let (strange, good) = (Issued::good(), Issued::good());
    let world = World::start([listed(&strange.secret())]);
    until(|| world.serves(&strange)).await;
    assert!(!world.called(&good).await, "API servers refuse it");
    world.sees(&good);
    assert!(world.serves(&good));

    // One handshake is enough.
    assert!(world.called(&good).await);
    world.sees(&strange);
    assert!(world.serves(&good));
    time::sleep(PATIENCE / 2).await;
    assert!(world.serves(&good));
}

/// API servers keep their connections: a rotation may be long over before one of them takes the new certificate.
#[tokio::test(start_paused = true)]
async fn what_is_announced_inherits_the_trust_in_what_it_follows() {
    let (good, next, strange) = (Issued::good(), Issued::good(), Issued::good());
    let world = World::start([listed(&good.announcing(&next))]);
    until(|| world.serves(&good)).await;
    assert!(world.called(&good).await);
    world.sees(&next);
    assert!(world.serves(&next));
    world.sees(&strange);
    assert!(world.serves(&next));
    time::sleep(PATIENCE + LOOK_EVERY).await;
    assert!(world.serves(&strange), "nobody announced it, and nobody takes it back");
    world.sees(&good);
    assert!(world.serves(&good), "that one has earned nothing");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_is_about_to_expire_is_given_up_for_one_that_nobody_announced() {
    let names = Settings::berth("berth-system").names();
    let (expiring, next) = (Issued::new(&names, 3 * LOOK_EVERY / 2), Issued::good());
    let world = World::start([listed(&expiring.secret()), watched(&[("MODIFIED", &next.secret())])]);
    let started = Instant::now();
    until(|| world.serves(&next)).await;
    assert!(started.elapsed() < PATIENCE / 2, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_replica_without_a_certificate_says_what_is_wrong_with_the_one_it_sees() {
    let world = World::start([listed(&secret(&[("tls.crt", "nonsense")]))]);
    until(|| world.obstacle().contains("waiting for another certificate in the Secret berth-tls: ")).await;
    world.server.reply(page(&[], ""));
}
