//! Whatever stands in the objects, it ends well.

use proptest::prelude::*;

use super::*;
use crate::store::Secret;

/// What somebody, or a disk, or another program may do to the objects.
#[derive(Clone, Debug)]
enum Harm {
    Delete(bool),
    Entry {
        serving: bool,
        entry: usize,
        bytes: Vec<u8>,
    },
    Remove {
        serving: bool,
        entry: usize,
    },
    /// An entry takes the place of another one.
    Swap {
        serving: bool,
        entry: usize,
        other: usize,
    },
    Note {
        object: usize,
        note: usize,
        text: String,
    },
    Wipe(usize),
    Unconfigure(usize),
    Ahead(Duration),
    Back(Duration),
}

fn harm() -> impl Strategy<Value = Harm> {
    let (entry, bytes) = (0..ENTRIES.len(), prop::collection::vec(any::<u8>(), 0..40));
    let text = prop_oneof!["[0-9]{1,22}", "[a-z0-9:TZ-]{0,30}", Just("2026-11-21T00:00:00Z".to_owned())];
    prop_oneof![
        any::<bool>().prop_map(Harm::Delete),
        (any::<bool>(), entry.clone(), bytes).prop_map(|(serving, entry, bytes)| Harm::Entry { serving, entry, bytes }),
        (any::<bool>(), entry.clone()).prop_map(|(serving, entry)| Harm::Remove { serving, entry }),
        (any::<bool>(), entry.clone(), entry).prop_map(|(serving, entry, other)| Harm::Swap { serving, entry, other }),
        (0..4_usize, 0..NOTES.len(), text).prop_map(|(object, note, text)| Harm::Note { object, note, text }),
        (0..2_usize).prop_map(Harm::Wipe),
        (0..2_usize).prop_map(Harm::Unconfigure),
        (0..500_u32).prop_map(|days| Harm::Ahead(days * DAY)),
        (0..500_u32).prop_map(|hours| Harm::Back(hours * DAY / 24)),
    ]
}

impl World {
    fn harm(&mut self, harm: Harm) {
        let (fake, settings) = (&self.manager.store, &self.manager.settings);
        let name = |serving| if serving { &settings.serving_secret } else { &settings.authority_secret };
        let edit = |serving, edit: &dyn Fn(&mut Secret)| fake.edit_secret(name(serving), edit);
        match harm {
            Harm::Delete(serving) => fake.delete_secret(name(serving)),
            Harm::Entry { serving, entry, bytes } => edit(serving, &|secret| {
                secret.data.insert(ENTRIES[entry].to_owned(), bytes.clone().into());
            }),
            Harm::Remove { serving, entry } => edit(serving, &|secret| drop(secret.data.remove(ENTRIES[entry]))),
            Harm::Swap { serving, entry, other } => edit(serving, &|secret| {
                let taken = secret.data.get(ENTRIES[other]).cloned();
                secret.data.extend(taken.map(|taken| (ENTRIES[entry].to_owned(), taken)));
            }),
            Harm::Note { object, note, text } => {
                let key = format!("berth.dev/{}", NOTES[note]);
                if object < 2 {
                    edit(object == 0, &|secret| drop(secret.annotations.insert(key.clone(), text.clone())));
                } else {
                    fake.edit_configuration(&settings.configurations[object - 2], "kubectl", |configuration| {
                        configuration.annotations.insert(key, text);
                    });
                }
            }
            Harm::Wipe(at) => fake.edit_configuration(&settings.configurations[at], "kubectl", |configuration| {
                configuration.webhooks.iter_mut().for_each(|webhook| webhook.bundle = crate::Bundle::default());
            }),
            Harm::Unconfigure(at) => fake.delete_configuration(&settings.configurations[at]),
            Harm::Ahead(time) => self.now += time,
            Harm::Back(time) => self.now -= time,
        }
    }

    /// Whether every configuration that is there accepts what is served.
    async fn is_well(&self) -> bool {
        let served = self.served().await;
        for name in &self.manager.settings.configurations {
            if let Some(found) = self.manager.store.configuration(name).await.unwrap() {
                let call = self.manager.settings.call();
                if !found.webhooks.iter().all(|one| served.chain().verify(&one.bundle, &call, self.now).is_ok()) {
                    return false;
                }
            }
        }
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// It is harmed at any time of a life, by several things at once, and settles with a leaf that is accepted; and then
    /// there is nothing left to do.
    #[test]
    fn whatever_is_done_to_it_it_ends_well(
        days in 0..400_u32,
        minutes in 0..20_u32,
        harms in prop::collection::vec(harm(), 1..5),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new(Settings::berth("berth-system"));
            world.settle().await;
            for _ in 0..days / 50 {
                world.later(50 * DAY).await;
            }
            world.later(minutes * Duration::from_secs(60)).await;
            for harm in harms {
                world.harm(harm);
            }
            // API servers get a moment to learn of a new CA, and then a hold.
            for pause in [0, 31, 600, 600, 600] {
                world.later(Duration::from_secs(pause)).await;
            }
            assert!(world.is_well().await);
            let revision = world.manager.store.revision();
            world.later(Duration::from_secs(1)).await;
            assert_eq!(revision, world.manager.store.revision());
        });
    }
}

const ENTRIES: [&str; 8] =
    ["tls.crt", "tls.key", "ca.crt", "ca.key", "coming.crt", "coming.key", "retired.crt", "something else"];
const NOTES: [&str; 5] = ["generation", "published", "retired-until", "valid-until", "bundle-changed"];
