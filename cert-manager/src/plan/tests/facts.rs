//! What a rule is asked about, and what it answers, in a few words.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use secrecy::SecretSlice;

use super::super::*;
use crate::{
    Authority, Leaf, moment,
    store::{Configuration, Secret},
};

pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// 2026-11-21 00:00 UTC.
pub(super) fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_219_200)
}

/// A CA of the start, with a leaf.
pub(super) struct Issued {
    pub(super) authority: Authority,
    pub(super) leaf: Leaf,
}

impl Issued {
    fn new(name: &str) -> Self {
        let authority = Authority::issue(name, start(), 365 * DAY).unwrap();
        let leaf = authority.issue_leaf(&Settings::berth("berth-system").names(), start(), 90 * DAY).unwrap();
        Self { authority, leaf }
    }

    pub(super) fn pem(&self) -> &str {
        self.authority.certificate_pem()
    }
}

pub(super) static A: LazyLock<Issued> = LazyLock::new(|| Issued::new("a"));
pub(super) static B: LazyLock<Issued> = LazyLock::new(|| Issued::new("b"));
pub(super) static STRANGER: LazyLock<Issued> = LazyLock::new(|| Issued::new("stranger"));

/// What a rule is asked about: at first, an hour after the start, A signs, its leaf is served, and all is published as
/// generation 3.
pub(super) struct Facts {
    pub(super) now: SystemTime,
    pub(super) settings: Settings,
    pub(super) ca: Option<Secret>,
    pub(super) tls: Option<Secret>,
    pub(super) configurations: Vec<(ConfigurationName, Configuration)>,
    pub(super) unread: bool,
}

impl Facts {
    pub(super) fn settled() -> Self {
        let settings = Settings::berth("berth-system");
        let configuration = |name: &ConfigurationName| {
            let webhook = |name: &str| Webhook { name: name.to_owned(), bundle: bundle(&[&A]) };
            let object = Configuration {
                uid: "uid".to_owned(),
                version: "1".to_owned(),
                annotations: BTreeMap::from([note("generation", "3")]),
                webhooks: vec![webhook("mutate.berth.dev"), webhook("observe.berth.dev")],
                other_writer: Some("helm".to_owned()),
            };
            (name.clone(), object)
        };
        let published = moment::written(start());
        Self {
            now: start() + HOUR,
            ca: Some(secret(
                &[note("generation", "3"), note("published", &published)],
                &[("ca.crt", A.pem()), ("ca.key", &A.authority.key_pem())],
            )),
            tls: Some(secret(&[note("generation", "3")], &leaf(&A, &[&A]))),
            configurations: settings.configurations.iter().map(configuration).collect(),
            settings,
            unread: false,
        }
    }

    /// Somebody else keeps the Secret, and nothing is published.
    pub(super) fn brought() -> Self {
        let mut facts = Self::settled();
        (facts.settings.source, facts.ca) = (Source::Secret, None);
        (0..2).for_each(|at| facts.publish(at, &Bundle::default()));
        facts
    }

    /// B is coming, and everything has learned of it but the leaf: generation 4, published now.
    pub(super) fn rotating() -> Self {
        let mut facts = Self::settled();
        let ca = facts.ca();
        ca.annotations.extend([note("generation", "4"), note("published", &moment::written(start() + HOUR))]);
        set(ca, "coming.crt", B.pem());
        set(ca, "coming.key", &B.authority.key_pem());
        facts.tls = Some(secret(&[note("generation", "4")], &leaf(&A, &[&A, &B])));
        for at in 0..2 {
            facts.configuration(at).annotations.extend([note("generation", "4")]);
            facts.publish(at, &bundle(&[&A, &B]));
        }
        facts
    }

    /// B signs and its leaf is served, A is retired until its leaf expires: generation 4.
    pub(super) fn rotated() -> Self {
        let mut facts = Self::rotating();
        let ca = facts.ca();
        for (entry, value) in [("ca.crt", B.pem()), ("ca.key", &B.authority.key_pem()), ("retired.crt", A.pem())] {
            set(ca, entry, value);
        }
        ca.data.retain(|entry, _| !entry.starts_with("coming"));
        ca.annotations.extend([note("retired-until", &moment::written(start() + 30 * DAY))]);
        facts.tls = Some(secret(&[note("generation", "4")], &leaf(&B, &[&A, &B])));
        facts
    }

    pub(super) fn ca(&mut self) -> &mut Secret {
        self.ca.as_mut().unwrap()
    }

    pub(super) fn tls(&mut self) -> &mut Secret {
        self.tls.as_mut().unwrap()
    }

    pub(super) fn configuration(&mut self, at: usize) -> &mut Configuration {
        &mut self.configurations[at].1
    }

    pub(super) fn publish(&mut self, at: usize, bundle: &Bundle) {
        self.configuration(at).webhooks.iter_mut().for_each(|webhook| webhook.bundle = bundle.clone());
    }

    pub(super) fn action(self) -> Action {
        let state = State::of(&self.settings, self.ca.as_ref(), self.tls.as_ref(), self.configurations);
        next_action(self.now, &State { unread: self.unread, ..state }, &self.settings)
    }
}

pub(super) fn note(name: &str, value: &str) -> (String, String) {
    (format!("berth.dev/{name}"), value.to_owned())
}

pub(super) fn secret(notes: &[(String, String)], data: &[(&str, &str)]) -> Secret {
    let mut secret = Secret {
        uid: "uid".to_owned(),
        version: "1".to_owned(),
        annotations: notes.iter().cloned().collect(),
        data: BTreeMap::new(),
    };
    for (entry, value) in data {
        set(&mut secret, entry, value);
    }
    secret
}

pub(super) fn set(secret: &mut Secret, entry: &str, value: &str) {
    secret.data.insert(entry.to_owned(), SecretSlice::from(value.as_bytes().to_vec()));
}

pub(super) fn bundle(of: &[&Issued]) -> Bundle {
    Bundle::read(of.iter().map(|issued| issued.pem()).collect::<String>().as_bytes())
}

pub(super) fn leaf(of: &Issued, beside: &[&Issued]) -> [(&'static str, &'static str); 3] {
    let leak = |text: String| -> &'static str { text.leak() };
    [
        ("tls.crt", leak(of.leaf.certificate_pem.clone())),
        ("tls.key", leak(of.leaf.key_pem.clone())),
        ("ca.crt", leak(bundle(beside).to_pem())),
    ]
}

/// In a few words.
pub(super) fn words(action: &Action) -> String {
    let names = |bundle: &Bundle| -> String {
        let name = |anchor: &crate::Anchor| anchor.subject()["CN=".len()..].split(' ').next().map(str::to_owned);
        bundle.iter().filter_map(name).collect::<Vec<_>>().join("+")
    };
    let since = |moment: SystemTime| format!("{} h", moment.duration_since(start()).unwrap().as_secs() / 3600);
    match action {
        Action::Wait { until } => format!("wait until {}", until.map_or("news".to_owned(), since)),
        Action::IssueAuthority(Inheritance { generation, retired, .. }) => {
            format!("issue CA {generation} beside [{}]", names(retired))
        }
        Action::Renumber(Inheritance { generation, retired, .. }) => {
            format!("renumber {generation} beside [{}]", names(retired))
        }
        Action::StartRotation { generation } => format!("start rotation {generation}"),
        Action::IssueLeaf { signer, cause } => format!("issue leaf {signer:?} {cause:?}"),
        Action::RefreshBundle => "refresh bundle".to_owned(),
        Action::Publish(due) => {
            let one = |one: &Publication| {
                let bundle = one.bundles.first().map(|webhook| names(&webhook.bundle)).unwrap_or_default();
                let restored = if one.restored.is_some() { " again" } else { "" };
                let dated = one.annotations.iter().any(|(name, value)| *name == "bundle-changed" && value.is_some());
                format!("{}x[{bundle}]{restored}{}", one.bundles.len(), if dated { ", dated" } else { "" })
            };
            format!("publish {}", due.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        Action::StartHold { published } => {
            let minutes = published.duration_since(start() + HOUR).unwrap().as_secs() / 60;
            if minutes == 0 { "start hold".to_owned() } else { format!("start hold from minute {minutes}") }
        }
        Action::Promote { retired_until } => format!("promote, retired until {}", since(*retired_until)),
        Action::RemoveRetired { generation, kept } => format!("remove retired {generation} but [{}]", names(kept)),
    }
}

#[track_caller]
pub(super) fn check(mut facts: Facts, change: impl FnOnce(&mut Facts), want: &str) {
    change(&mut facts);
    assert_eq!(words(&facts.action()), want);
}
