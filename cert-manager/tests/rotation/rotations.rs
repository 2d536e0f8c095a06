//! Rotation after rotation, and not one call fails.

use std::time::{Duration, SystemTime};

use berth_cert_manager::{Bundle, Settings, plan::Action, store::Store as _};

use crate::{
    dice::Dice,
    door::{Frozen, Weather},
    peers::{ApiServer, Replica},
    simulation::Simulation,
};

/// A life of seconds: a CA gets a successor after ten minutes, a leaf after 200 s.
fn hasty() -> Settings {
    Settings {
        ca_lifetime: Duration::from_secs(900),
        leaf_lifetime: Duration::from_secs(300),
        hold: Duration::from_secs(40),
        ..Settings::berth("berth-system")
    }
}

/// When one of its CAs gets a successor.
const RENEWAL: Duration = Duration::from_secs(600);

fn late(simulation: &mut Simulation) {
    simulation.servers = [0, 1, 5, 30, 39].map(|seconds| ApiServer(Duration::from_secs(seconds))).into();
    // The order alone protects: these replicas do not wait for a CA that they have never heard of.
    simulation.replicas = [0, 2, 20, 90].map(Replica::naive).into();
}

#[tokio::test]
async fn a_hundred_leaves_and_not_one_call_fails() {
    let settings = Settings::berth("berth-system");
    assert_eq!(settings.check(), Ok(()));
    let mut simulation = Simulation::new(settings, 4, 2, Weather { conflicts: 5, failures: 5 });
    late(&mut simulation);
    while simulation.leaves < 101 {
        simulation.run(Duration::from_secs(24 * 60 * 60), Duration::from_secs(6 * 60 * 60)).await;
    }
    assert!(simulation.authorities.len() >= 15, "{}", simulation.authorities.len());
    assert!(simulation.calls >= 20_000, "{}", simulation.calls);
}

#[tokio::test]
async fn twenty_authorities_and_not_one_call_fails_with_a_controller_that_sees_the_past() {
    assert_eq!(hasty().check(), Ok(()));
    let mut simulation = Simulation::new(hasty(), 5, 2, Weather { conflicts: 5, failures: 5 });
    late(&mut simulation);
    let mut dice = Dice::new(55);
    while simulation.authorities.len() < 21 {
        // The second one is frozen in all ways for some minutes, sees the truth for a moment, and is frozen again.
        let frozen = [
            Frozen { authority: true, serving: true, configurations: true },
            Frozen { authority: true, ..Frozen::default() },
            Frozen { serving: true, ..Frozen::default() },
            Frozen { configurations: true, ..Frozen::default() },
            Frozen { authority: true, serving: true, ..Frozen::default() },
        ];
        simulation.freeze(1, frozen[dice.below(frozen.len())]).await;
        simulation.run(Duration::from_secs(100 + dice.roll() % 600), Duration::from_millis(600)).await;
    }
    assert!(simulation.calls >= 20_000, "{}", simulation.calls);
}

/// It sees the Secrets as they are: were it to start the hold anew for what it sees, no rotation would ever end.
#[tokio::test]
async fn a_controller_that_sees_old_configurations_delays_no_rotation() {
    let mut simulation = Simulation::new(hasty(), 8, 2, Weather { conflicts: 5, failures: 5 });
    late(&mut simulation);
    simulation.settle().await;
    simulation.freeze(1, Frozen { configurations: true, ..Frozen::default() }).await;
    for rotated in 2..=6 {
        simulation.run(RENEWAL + Duration::from_secs(60), Duration::from_millis(600)).await;
        assert_eq!(simulation.authorities.len(), rotated);
    }
}

/// API servers that hear late of the loss trust the old CA alone, long after the new one is back.
#[tokio::test]
async fn a_bundle_that_is_put_back_during_the_hold_costs_no_call() {
    let mut simulation = Simulation::new(hasty(), 9, 2, Weather { conflicts: 5, failures: 5 });
    late(&mut simulation);
    let (mut dice, mut lost) = (Dice::new(99), 0);
    while simulation.authorities.len() < 11 {
        simulation.run(Duration::from_secs(1), Duration::from_millis(200)).await;
        let authority = simulation.fake.secret(&simulation.settings.authority_secret).await.unwrap();
        let Some(authority) = authority.filter(|secret| secret.entry("coming.crt").is_some()) else { continue };
        let published = authority.annotations.get("berth.dev/published").and_then(|text| text.parse().ok());
        let published = published.map(|moment: jiff::Timestamp| SystemTime::from(moment));
        // Not in the last moments: who has seen that all is well issues the leaf, whatever happens meanwhile.
        if published.is_some_and(|moment| simulation.now < moment + Duration::from_secs(35)) && dice.percent(3) {
            let old = Bundle::read(authority.entry("ca.crt").unwrap());
            let name = &simulation.settings.configurations[dice.below(2)];
            simulation.fake.edit_configuration(name, "gitops", |configuration| {
                configuration.webhooks.iter_mut().for_each(|webhook| webhook.bundle = old.clone());
            });
            lost += 1;
        }
    }
    assert!(lost >= 10 && simulation.calls >= 5_000, "{lost}, {}", simulation.calls);
}

/// A role that an upgrade forgot, for instance.
#[tokio::test]
async fn a_missing_right_to_configurations_does_not_let_the_leaf_expire() {
    let mut simulation = Simulation::new(Settings::berth("berth-system"), 7, 1, Weather::default());
    simulation.settle().await;
    for _ in 0..200 {
        simulation.now += Duration::from_secs(24 * 60 * 60);
        let manager = &simulation.controllers[0].manager;
        manager.store().forbid_configurations();
        loop {
            let look = manager.look(simulation.now).await.unwrap();
            assert_eq!(look.unread.len(), 2);
            if matches!(look.action, Action::Wait { .. }) {
                break;
            }
            manager.act(&look).await.unwrap();
        }
        assert!(simulation.is_served().await);
    }
}

#[tokio::test]
async fn what_nobody_changes_nobody_writes() {
    let mut simulation = Simulation::new(Settings::berth("berth-system"), 6, 3, Weather::default());
    simulation.settle().await;
    let revision = simulation.fake.revision();
    simulation.run(Duration::from_secs(59 * 24 * 60 * 60), Duration::from_secs(300 * 60)).await;
    assert_eq!(simulation.fake.revision(), revision);
}
