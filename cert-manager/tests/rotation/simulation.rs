//! A cluster in virtual time: controllers, API servers that learn late, replicas that learn late, and calls all the time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use berth_cert_manager::{
    Bundle, Look, Manager, Settings,
    plan::Action,
    settings::ConfigurationName,
    store::{Fake, Secret, Store as _, Webhook},
};

use crate::{
    dice::Dice,
    door::{Door, Frozen, Memory, Weather},
    peers::{ApiServer, Replica, read},
};

/// Everything, at one moment.
pub(crate) struct Simulation {
    pub(crate) now: SystemTime,
    pub(crate) settings: Settings,
    pub(crate) fake: Arc<Fake>,
    pub(crate) dice: Dice,
    pub(crate) controllers: Vec<Controller>,
    pub(crate) servers: Vec<ApiServer>,
    pub(crate) replicas: Vec<Replica>,
    /// What there was, the newest last; as much as anybody may still see.
    history: Vec<Epoch>,
    revision: u64,
    /// Calls that were made.
    pub(crate) calls: usize,
    /// Until then a call may fail, because there was nothing left that could have been served.
    pub(crate) lost_until: SystemTime,
    /// Every CA that ever signed.
    pub(crate) authorities: BTreeSet<String>,
    /// How often the leaf was another one.
    pub(crate) leaves: usize,
    /// The highest generation that each object had.
    generations: BTreeMap<String, u64>,
}

/// A controller between two of its steps.
pub(crate) struct Controller {
    pub(crate) manager: Manager<Door, ()>,
    look: Option<Look>,
    /// The revision at which there was nothing to do.
    seen: Option<u64>,
    /// After a failure it does nothing until then.
    rest: SystemTime,
    wake: Option<SystemTime>,
}

/// What there was from a moment on.
struct Epoch {
    from: SystemTime,
    configurations: BTreeMap<ConfigurationName, Bundle>,
    serving: Option<Secret>,
}

impl Simulation {
    pub(crate) fn new(settings: Settings, seed: u64, controllers: usize, weather: Weather) -> Self {
        let (fake, mut dice) = (Arc::new(Fake::default()), Dice::new(seed));
        for name in &settings.configurations {
            fake.edit_configuration(name, "helm", |configuration| {
                let webhook = |name: &str| Webhook { name: name.to_owned(), bundle: Bundle::default() };
                configuration.webhooks = ["b.berth.dev", "a.berth.dev"].map(webhook).to_vec();
            });
        }
        let controllers = (0..controllers).map(|_| Controller {
            manager: Manager::with_store(Door::new(fake.clone(), dice.roll(), weather), settings.clone(), ()),
            look: None,
            seen: None,
            rest: SystemTime::UNIX_EPOCH,
            wake: None,
        });
        Self {
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_219_200), // 2026-11-21 00:00 UTC
            controllers: controllers.collect(),
            servers: vec![ApiServer(Duration::ZERO)],
            replicas: vec![Replica::late(0)],
            settings,
            fake,
            dice,
            history: Vec::new(),
            revision: 0,
            calls: 0,
            lost_until: SystemTime::UNIX_EPOCH,
            authorities: BTreeSet::new(),
            leaves: 0,
            generations: BTreeMap::new(),
        }
    }

    /// Lets everybody do what is due until `time` has passed; idle time passes in steps of at most `stride`.
    pub(crate) async fn run(&mut self, time: Duration, stride: Duration) {
        let end = self.now + time;
        while self.now < end {
            let busy = self.step().await;
            self.record().await;
            self.call();
            self.now += if busy { Duration::from_millis(50 + self.dice.roll() % 200) } else { self.idle_time(stride) };
        }
    }

    /// How long nobody does anything; short while somebody may still learn of the last change.
    fn idle_time(&self, stride: Duration) -> Duration {
        let last = self.history.last().map_or(self.now, |epoch| epoch.from);
        if last + LONGEST_DELAY >= self.now {
            return stride.min(Duration::from_secs(1));
        }
        let due = self.controllers.iter().flat_map(|one| [one.wake, Some(one.rest)]).flatten();
        let due = due.filter(|due| *due > self.now).min();
        due.and_then(|due| due.duration_since(self.now).ok()).map_or(stride, |left| left.min(stride))
    }

    /// Lets everybody do what is due until nobody has anything to do, and says how long that took.
    pub(crate) async fn settle(&mut self) -> Duration {
        let start = self.now;
        for _ in 0..5_000 {
            let busy = self.step().await;
            self.record().await;
            self.call();
            if !busy && self.quiet() {
                return self.now.duration_since(start).unwrap();
            }
            self.now += Duration::from_millis(50 + self.dice.roll() % 200);
        }
        panic!("it never settles");
    }

    /// Nobody has anything to do before the hold is over.
    fn quiet(&self) -> bool {
        self.controllers.iter().all(|one| one.look.is_none() && one.seen == Some(self.fake.revision()))
    }

    /// One controller that has something to do does half a step: it looks, or it acts on what it saw.
    async fn step(&mut self) -> bool {
        let (now, revision) = (self.now, self.fake.revision());
        let due = |one: &Controller| {
            let news = one.look.is_some() || one.seen != Some(revision) || one.wake.is_some_and(|wake| wake <= now);
            news && one.rest <= now
        };
        let due: Vec<_> = (0..self.controllers.len()).filter(|&at| due(&self.controllers[at])).collect();
        if due.is_empty() {
            return false;
        }
        let at = due[self.dice.below(due.len())];
        let one = &mut self.controllers[at];
        let rest = now + Duration::from_millis(self.dice.roll() % 2_000);
        if let Some(look) = one.look.take() {
            one.seen = None; // whatever comes of it, it is looked at again
            if one.manager.act(&look).await.is_err() {
                one.rest = rest;
            }
        } else {
            // What changes while it reads is news when it has read.
            match one.manager.look(now).await {
                Ok(Look { action: Action::Wait { .. }, unread, .. }) if !unread.is_empty() => {
                    (one.seen, one.rest) = (None, rest);
                }
                Ok(Look { action: Action::Wait { until }, .. }) => (one.seen, one.wake) = (Some(revision), until),
                Ok(look) => one.look = Some(look),
                Err(_) => (one.seen, one.rest) = (None, rest),
            }
        }
        true
    }

    /// Remembers what there is now, and checks what must hold at any time.
    async fn record(&mut self) {
        if self.fake.revision() == self.revision {
            return;
        }
        self.revision = self.fake.revision();
        let mut configurations = BTreeMap::new();
        for name in &self.settings.configurations.clone() {
            if let Some(found) = self.fake.configuration(name).await.unwrap() {
                self.monotonic(name.kind.name(), found.annotations.get("berth.dev/generation"));
                let bundles: Vec<_> = found.webhooks.into_iter().map(|webhook| webhook.bundle).collect();
                assert!(bundles.windows(2).all(|two| two[0].is(&two[1])), "one write for all webhooks");
                configurations.extend(bundles.into_iter().next().map(|bundle| (name.clone(), bundle)));
            }
        }
        let serving = self.fake.secret(&self.settings.serving_secret).await.unwrap();
        if let Some(authority) = self.fake.secret(&self.settings.authority_secret).await.unwrap() {
            self.monotonic("ca", authority.annotations.get("berth.dev/generation"));
            let signing = authority.entry("ca.crt").map(|pem| String::from_utf8_lossy(pem).into_owned());
            self.authorities.extend(signing);
        }
        let leaf = |secret: &Secret| secret.entry("tls.crt").map(<[u8]>::to_vec);
        let before = self.history.last().and_then(|epoch| epoch.serving.as_ref()).and_then(leaf);
        if serving.as_ref().and_then(leaf) != before {
            self.leaves += 1;
        }
        self.history.push(Epoch { from: self.now, configurations, serving });
        let horizon = self.now - LONGEST_DELAY;
        let first = self.history.iter().rposition(|epoch| epoch.from <= horizon).unwrap_or_default();
        self.history.drain(..first);
    }

    /// A generation is never undone.
    fn monotonic(&mut self, object: &str, generation: Option<&String>) {
        let Some(generation) = generation.and_then(|text| text.parse().ok()) else { return };
        let before = self.generations.insert(object.to_owned(), generation).unwrap_or_default();
        assert!(before <= generation, "{object} went from generation {before} back to {generation}");
    }

    /// Forgets the generations: the objects were replaced by an administrator.
    pub(crate) fn forget_generations(&mut self) {
        self.generations.clear();
    }

    /// The clocks of all are set back, and so is what they remember.
    pub(crate) fn set_back(&mut self, time: Duration) {
        self.now -= time;
        self.history.iter_mut().for_each(|epoch| epoch.from -= time);
        self.controllers.iter_mut().for_each(|one| (one.seen, one.rest) = (None, self.now));
    }

    /// Whether no configuration is there.
    pub(crate) async fn nothing_is_configured(&self) -> bool {
        for name in &self.settings.configurations {
            if self.fake.configuration(name).await.unwrap().is_some() {
                return false;
            }
        }
        true
    }

    fn seen(&self, delay: Duration) -> Option<&Epoch> {
        let then = self.now - delay;
        self.history.iter().rfind(|epoch| epoch.from <= then)
    }

    /// An API server opens a connection to a replica.
    fn call(&mut self) {
        let (now, name) = (self.now, self.settings.call());
        let (caller, replica) = (self.dice.below(self.servers.len()), self.dice.below(self.replicas.len()));
        let which = self.dice.below(self.settings.configurations.len());
        let stored = self.seen(self.replicas[replica].delay).and_then(|epoch| epoch.serving.clone());
        self.replicas[replica].learn(stored.as_ref(), &name, now);
        let trusted = self.seen(self.servers[caller].0).and_then(|epoch| {
            epoch.configurations.get(&self.settings.configurations[which]).filter(|bundle| !bundle.is_empty())
        });
        let served = self.replicas[replica].served.as_ref().filter(|served| served.validity().covers(now));
        let (Some(trusted), Some(served)) = (trusted, served) else {
            return; // nobody is ready, or there is no bundle yet
        };
        let verified = served.chain().verify(trusted, &name, now);
        if verified.is_err() && now < self.lost_until {
            return;
        }
        assert!(
            verified.is_ok(),
            "call {} failed: API server {:?} late, replica {:?} late: {verified:?}",
            self.calls,
            self.servers[caller].0,
            self.replicas[replica].delay,
        );
        self.calls += 1;
    }

    /// From now on a controller sees these objects as they are now.
    pub(crate) async fn freeze(&mut self, controller: usize, frozen: Frozen) {
        let mut memories = Vec::new();
        let Settings { authority_secret, serving_secret, configurations, .. } = &self.settings;
        for (name, frozen) in [(authority_secret, frozen.authority), (serving_secret, frozen.serving)] {
            if frozen {
                memories.push(Memory::Secret(name.clone(), self.fake.secret(name).await.unwrap()));
            }
        }
        for name in configurations.iter().filter(|_| frozen.configurations) {
            memories.push(Memory::Configuration(name.clone(), self.fake.configuration(name).await.unwrap()));
        }
        self.controllers[controller].manager.store().freeze(memories);
        self.controllers[controller].seen = None;
    }

    /// Whether a leaf is stored that whoever trusts what is published now accepts.
    pub(crate) async fn is_served(&self) -> bool {
        let Some(secret) = self.fake.secret(&self.settings.serving_secret).await.unwrap() else { return false };
        let Ok(served) = read(&secret, &self.settings.call(), self.now) else { return false };
        for name in &self.settings.configurations {
            if let Some(found) = self.fake.configuration(name).await.unwrap() {
                let accepted =
                    |webhook: &Webhook| served.chain().verify(&webhook.bundle, &self.settings.call(), self.now).is_ok();
                if !found.webhooks.iter().all(accepted) {
                    return false;
                }
            }
        }
        true
    }
}

/// Nobody learns later than this.
const LONGEST_DELAY: Duration = Duration::from_secs(120);
