//! The loop itself, and what others do to the bundles.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use berth_cert_manager::{
    Bundle, Manager, Settings,
    settings::ConfigurationName,
    store::{Fake, Store as _, Webhook},
};
use tokio::{
    task::JoinSet,
    time::{self, Instant},
};

use crate::door::{Door, Weather};

/// A manager that runs, with time that passes as fast as nothing happens.
struct Scene {
    fake: Arc<Fake>,
    settings: Settings,
    /// The API server does not answer, for each of the managers.
    away: Vec<Arc<AtomicBool>>,
    _managers: JoinSet<()>,
}

impl Scene {
    async fn new(managers: u64) -> Self {
        let (fake, settings, mut tasks) = (Arc::new(Fake::default()), Settings::berth("berth-system"), JoinSet::new());
        let mut away = Vec::new();
        for name in &settings.configurations {
            configure(&fake, name);
        }
        for seed in 0..managers {
            let door = Door::new(fake.clone(), seed, Weather::default());
            away.push(door.away());
            let manager = Manager::with_store(door, settings.clone(), ());
            tasks.spawn(async move { match manager.run().await {} });
        }
        let scene = Self { fake, settings, away, _managers: tasks };
        for name in &scene.settings.configurations {
            scene.back(name).await;
        }
        time::sleep(Duration::from_secs(60)).await;
        scene
    }

    fn wipe(&self, name: &ConfigurationName) {
        self.fake.edit_configuration(name, "gitops", |configuration| {
            configuration.webhooks.iter_mut().for_each(|webhook| webhook.bundle = Bundle::default());
        });
    }

    /// Waits until the bundle is there, and says how long that took.
    async fn back(&self, name: &ConfigurationName) -> Duration {
        let start = Instant::now();
        while self.is_empty(name).await {
            time::sleep(Duration::from_millis(10)).await;
            assert!(start.elapsed() < Duration::from_secs(60), "it never came back");
        }
        start.elapsed()
    }

    async fn is_empty(&self, name: &ConfigurationName) -> bool {
        let found = self.fake.configuration(name).await.unwrap().unwrap();
        found.webhooks.iter().any(|webhook| webhook.bundle.is_empty())
    }
}

fn configure(fake: &Fake, name: &ConfigurationName) {
    fake.edit_configuration(name, "helm", |configuration| {
        let webhook = |name: &str| Webhook { name: name.to_owned(), bundle: Bundle::default() };
        configuration.webhooks = ["b.berth.dev", "a.berth.dev"].map(webhook).to_vec();
    });
}

#[tokio::test(start_paused = true)]
async fn a_wiped_bundle_is_back_within_five_seconds_each_time() {
    let scene = Scene::new(2).await;
    for round in 0..50 {
        let name = &scene.settings.configurations[round % 2];
        scene.wipe(name);
        let took = scene.back(name).await;
        assert!(took <= Duration::from_secs(5), "round {round}: {took:?}");
        time::sleep(Duration::from_millis(300)).await;
    }
}

/// Not only when the pause is over that grew while it was away.
#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_back_is_heard_of() {
    let scene = Scene::new(1).await;
    let [lost, other] = &scene.settings.configurations[..] else { panic!("there are two") };
    for round in 0..5 {
        scene.away[0].store(true, Ordering::Relaxed);
        scene.wipe(lost);
        time::sleep(Duration::from_secs(300) + round * Duration::from_millis(700)).await;
        scene.away[0].store(false, Ordering::Relaxed);
        scene.fake.edit_configuration(other, "helm", |_| ()); // what watches bring when they are taken up again
        let took = scene.back(lost).await;
        assert!(took <= Duration::from_secs(1), "round {round}: {took:?}");
    }
}

/// Somebody removes the bundle whenever he sees it, and at once.
#[tokio::test(start_paused = true)]
async fn a_fight_is_no_storm() {
    let scene = Scene::new(1).await;
    let (name, start, mut wiped) = (&scene.settings.configurations[0], Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(600) {
        scene.wipe(name);
        wiped += 1;
        let took = scene.back(name).await;
        assert!(took <= Duration::from_secs(5), "{took:?}");
    }
    assert!((250..=330).contains(&wiped), "one in two seconds: {wiped}");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_configuration_is_not_made_again() {
    let scene = Scene::new(2).await;
    let [deleted, other] = &scene.settings.configurations[..] else { panic!("there are two") };
    scene.fake.delete_configuration(deleted);
    time::sleep(Duration::from_secs(3_600)).await;
    assert!(scene.fake.configuration(deleted).await.unwrap().is_none());
    scene.wipe(other);
    assert!(scene.back(other).await <= Duration::from_secs(5), "the other one is looked after all the same");
    configure(&scene.fake, deleted);
    assert!(scene.back(deleted).await <= Duration::from_secs(5), "whoever makes it again gets the bundle");
}

/// Nothing is asked more often than every five minutes either.
#[tokio::test(start_paused = true)]
async fn a_quiet_day_is_quiet() {
    let scene = Scene::new(2).await;
    let revision = scene.fake.revision();
    time::sleep(Duration::from_secs(24 * 60 * 60)).await;
    assert_eq!(scene.fake.revision(), revision);
}
