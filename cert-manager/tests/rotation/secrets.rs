//! What can become of the two Secrets, a hundred times each.

use std::time::{Duration, SystemTime};

use berth_cert_manager::{
    Authority, Settings, service_names,
    store::{Secret, Store as _},
};

use crate::{
    door::Weather,
    peers::{ApiServer, Replica},
    simulation::Simulation,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Two controllers, API servers and replicas that learn a little late.
async fn world(seed: u64) -> Simulation {
    let mut simulation =
        Simulation::new(Settings::berth("berth-system"), seed, 2, Weather { conflicts: 5, failures: 5 });
    simulation.servers = [0, 1, 4].map(|seconds| ApiServer(Duration::from_secs(seconds))).into();
    simulation.replicas = [0, 1].map(Replica::late).into();
    simulation.settle().await;
    simulation.run(Duration::from_secs(700), Duration::from_secs(20)).await;
    simulation
}

/// Does `harm` a hundred times; each time there is a good leaf within a minute, and no call fails meanwhile.
async fn survives(seed: u64, mut harm: impl AsyncFnMut(&mut Simulation)) -> Simulation {
    let mut simulation = world(seed).await;
    for round in 0..100 {
        harm(&mut simulation).await;
        let mut waited = Duration::ZERO;
        loop {
            simulation.run(Duration::from_secs(1), Duration::from_secs(1)).await;
            waited += Duration::from_secs(1);
            if simulation.is_served().await {
                break;
            }
            assert!(waited <= Duration::from_secs(60), "round {round}: no leaf after {waited:?}");
        }
        simulation.run(Duration::from_secs(1_300), Duration::from_secs(30)).await;
    }
    assert!(simulation.calls > 4_000, "{}", simulation.calls);
    simulation
}

fn edit(simulation: &Simulation, name: &str, edit: impl FnOnce(&mut Secret)) {
    simulation.fake.edit_secret(name, edit);
}

fn cut(simulation: &Simulation, name: &str, entry: &str) {
    edit(simulation, name, |secret| {
        let bytes = secret.entry(entry).unwrap_or_default().to_vec();
        let half = bytes[..bytes.len() / 2].to_vec();
        secret.data.insert(entry.to_owned(), half.into());
    });
}

#[tokio::test]
async fn the_leaf_is_deleted() {
    let after = survives(71, async |simulation| simulation.fake.delete_secret("berth-tls")).await;
    assert_eq!(after.authorities.len(), 1, "the CA is as good as it was");
}

#[tokio::test]
async fn the_authority_is_deleted() {
    survives(72, async |simulation| simulation.fake.delete_secret("berth-ca")).await;
}

#[tokio::test]
async fn both_are_deleted() {
    survives(73, async |simulation| {
        simulation.fake.delete_secret("berth-ca");
        simulation.fake.delete_secret("berth-tls");
    })
    .await;
}

#[tokio::test]
async fn an_entry_is_cut_short() {
    let entries = [
        ("berth-tls", "tls.crt"),
        ("berth-tls", "tls.key"),
        ("berth-tls", "ca.crt"),
        ("berth-ca", "ca.crt"),
        ("berth-ca", "ca.key"),
        ("berth-ca", "coming.crt"),
        ("berth-ca", "retired.crt"),
    ];
    let mut round = 0;
    survives(74, async |simulation| {
        let (name, entry) = entries[round % entries.len()];
        cut(simulation, name, entry);
        round += 1;
    })
    .await;
}

#[tokio::test]
async fn the_key_belongs_to_another_certificate() {
    let after = survives(75, async |simulation| {
        let other = Authority::issue("other", simulation.now, DAY).unwrap().key_pem();
        edit(simulation, "berth-tls", |secret| {
            secret.data.insert("tls.key".to_owned(), other.into_bytes().into());
        });
    })
    .await;
    assert_eq!(after.authorities.len(), 1, "the CA is as good as it was");
}

/// A Secret as some other tool writes it, with a bundle that fits.
#[tokio::test]
async fn the_leaf_is_a_stranger() {
    survives(76, async |simulation| {
        let authority = Authority::issue("stranger", simulation.now, DAY).unwrap();
        put_leaf(simulation, &authority, simulation.now, Some(authority.certificate_pem()));
    })
    .await;
}

#[tokio::test]
async fn the_leaf_has_expired() {
    survives(77, async |simulation| {
        let ours = simulation.fake.secret("berth-ca").await.unwrap().unwrap();
        let text = |entry| String::from_utf8(ours.entry(entry).unwrap().to_vec()).unwrap();
        let authority = Authority::from_pem(&text("ca.crt"), &text("ca.key")).unwrap();
        let lifetime = Duration::from_secs(1);
        let issued = authority.validity().not_before + Duration::from_secs(3_600);
        let leaf = authority.issue_leaf(&service_names("berth-webhook", "berth-system"), issued, lifetime).unwrap();
        edit(simulation, "berth-tls", |secret| {
            secret.data.insert("tls.crt".to_owned(), leaf.certificate_pem.into_bytes().into());
            secret.data.insert("tls.key".to_owned(), leaf.key_pem.into_bytes().into());
        });
    })
    .await;
}

#[tokio::test]
async fn an_old_copy_of_the_authority_is_put_back() {
    let mut simulation = world(78).await;
    let copy = simulation.fake.secret("berth-ca").await.unwrap().unwrap();
    simulation.run(250 * DAY, Duration::from_secs(60 * 60)).await;
    assert_eq!(simulation.authorities.len(), 2, "it was rotated meanwhile");
    simulation.forget_generations();
    edit(&simulation, "berth-ca", |secret| (secret.data, secret.annotations) = (copy.data, copy.annotations));
    simulation.run(Duration::from_secs(1_300), Duration::from_secs(1)).await;
    assert!(simulation.is_served().await);
}

#[tokio::test]
async fn the_clock_goes_ahead_by_a_month() {
    survives(79, async |simulation| simulation.now += 30 * DAY).await;
}

#[tokio::test]
async fn the_clock_goes_ahead_beyond_every_certificate() {
    survives(80, async |simulation| {
        simulation.now += 400 * DAY;
        simulation.lost_until = simulation.now + Duration::from_secs(10);
    })
    .await;
}

#[tokio::test]
async fn the_clock_goes_back_by_an_hour() {
    survives(81, async |simulation| simulation.set_back(Duration::from_secs(3_600))).await;
}

fn put_leaf(simulation: &Simulation, authority: &Authority, now: SystemTime, bundle: Option<&str>) {
    let leaf = authority.issue_leaf(&service_names("berth-webhook", "berth-system"), now, DAY).unwrap();
    edit(simulation, "berth-tls", |secret| {
        secret.data.insert("tls.crt".to_owned(), leaf.certificate_pem.into_bytes().into());
        secret.data.insert("tls.key".to_owned(), leaf.key_pem.into_bytes().into());
        secret.data.extend(bundle.map(|bundle| ("ca.crt".to_owned(), bundle.as_bytes().to_vec().into())));
    });
}
