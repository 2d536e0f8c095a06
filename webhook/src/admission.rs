//! The review: decode → select → pin → mirror → place → patch → respond, a file a step.
//!
//! Every rule is a function from data to data; the only waiting is in [`secrets`], [`pin`] and [`mirror`].

pub mod budget;
pub mod decode;
pub mod fits;
pub mod gated;
pub mod mirror;
pub mod note;
pub mod patch;
pub mod pin;
pub mod place;
pub mod relax;
pub mod respond;
pub mod scope;
pub mod secrets;
pub mod select;
pub mod settle;
pub mod stranded;
pub mod verb;
pub mod workload;

use std::{sync::Arc, time::Instant};

use self::{
    budget::Budget,
    decode::{OldPod, Pod, Request, Review},
    mirror::Detour,
    note::Note,
    place::{Circumstances, Placement},
    relax::Relaxing,
    select::{Slot, select},
    settle::{Change, Sight, settle},
    verb::{Facts, Verb, verb},
};
use crate::{
    config::{Config, Repin, Steps},
    image::Reference,
    namespaces::Namespaces,
    nodes::{Heartbeat, Index, Nodes},
    pull_secrets::{Given, PullSecrets},
    registry::{Asker, Keychain, Resolve, Word},
    telemetry::{Metrics, outcome},
};

/// Everything a review needs to know.
pub struct App<R> {
    /// What the administrator wants.
    pub config: Arc<Config>,
    /// What registries say.
    pub registry: R,
    /// As whom they are asked.
    pub keychain: Keychain,
    /// The pull secrets of Pods; none where they are not used.
    pub pull_secrets: Option<Arc<PullSecrets>>,
    /// What nodes hold; none without a cluster.
    pub nodes: Option<Arc<Nodes>>,
    /// Which Namespaces have switched steps off; none without a cluster.
    pub namespaces: Option<Arc<Namespaces>>,
    /// Whether somebody is there to lift gates; none without a cluster.
    pub controller: Option<Arc<Heartbeat>>,
    /// Berth's own namespace, which is left alone.
    pub own_namespace: String,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// Whether what was decided is also done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// The namespace is labelled `berth.dev/admission: enabled`.
    Enforce,
    /// The namespace is labelled `berth.dev/admission: observe`: everything is decided and nothing patched.
    Observe,
}

/// Who sent a review.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Caller {
    /// Whoever reaches the port.
    Anyone,
    /// An API server, by a certificate and a name in it that the administrator has named.
    Proven,
}

/// What is reviewed.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The Pod, or the template of Pods.
    pub pod: &'a Pod<'a>,
    /// The Pod as it was, where a running one is changed.
    pub old: Option<&'a OldPod<'a>>,
    /// The namespace it is in; empty where a manifest names none.
    pub namespace: &'a str,
    /// Why it is reviewed.
    pub moment: Moment,
    /// Whoever asks has proven to be an API server, so that the namespace can be believed.
    pub proven: bool,
}

/// Why a Pod is reviewed: what may be changed depends on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Moment {
    /// It is being created: everything may change.
    Create,
    /// It runs, and gets an ephemeral container: only that container's image and policy may change.
    Debug,
    /// It is what a workload would make of its template: nothing is changed, and what would be, is told.
    Planned,
    /// It is a template in a file: where its Pods can run is a fact of another moment.
    Template,
}

impl Moment {
    /// Whether the Pod is one that is being created, or is decided about as if it were.
    pub fn is_creation(self) -> bool {
        matches!(self, Self::Create | Self::Planned)
    }
}

/// What was decided about a Pod.
#[derive(Debug, Default)]
pub struct Verdict {
    /// The operations, relative to the Pod.
    pub patch: json_patch::Patch,
    /// What people should know.
    pub notes: Vec<Note>,
    /// What was done to which container or volume, for the audit log: `web: nginx -> nginx@sha256:…; …`.
    pub done: String,
    /// Where the Pod can run; in a template only told, not part of the patch.
    pub placement: Placement,
    /// Why the Pod is refused.
    pub denied: Option<String>,
    /// It was none of Berth's business, or a tenant's wish that it be left alone.
    pub skipped: bool,
}

impl Verdict {
    fn outcome(&self, mode: Mode) -> outcome::Review {
        match mode {
            _ if self.skipped => outcome::Review::Skipped,
            Mode::Enforce if self.denied.is_some() => outcome::Review::Denied,
            _ if self.denied.is_none() && self.patch.0.is_empty() => outcome::Review::Unchanged,
            Mode::Enforce => outcome::Review::Patched,
            Mode::Observe => outcome::Review::Observed,
        }
    }
}

/// One image on its way through the steps.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Where it stands.
    pub slot: Slot<'a>,
    /// The mirrors that may have it.
    pub detour: Detour<'a>,
    /// What the rule looked at; none for what is no image.
    pub facts: Option<Facts>,
    /// What the rule said before any registry was asked.
    pub verb: Verb,
    /// Its tag alone, where what that means is compared with the digest that it has.
    pub compared: Option<Reference>,
}

impl<'a> Plan<'a> {
    /// What is known of `slot` before any registry is asked, and what the rule says to that.
    pub fn of(slot: Slot<'a>, config: &'a Config, index: Option<&Index>, now: Instant, steps: Steps) -> Self {
        let Ok(image) = &slot.reference else {
            return Self { slot, detour: Detour::default(), facts: None, verb: Verb::Leave, compared: None };
        };
        let mut detour = Detour::of(image, config);
        let facts = Facts::of(&slot, image, &detour, config, index, now, steps);
        let mut first = verb(&facts, None, &config.place);
        if !steps.mirror {
            // A rule that keeps the source from being asked does so also where its mirror is not.
            if first == Verb::Ask && !detour.asks_source() {
                first = verb(&facts, Some(Word::Silent), &config.place);
            }
            detour = Detour::default();
        }
        let compared = if facts.repin == Repin::Off { None } else { image.by_tag() };
        Self { slot, detour, facts: Some(facts), verb: first, compared }
    }

    fn image(&self) -> Option<&Reference> {
        self.slot.reference.as_ref().ok()
    }

    fn asks(&self) -> bool {
        self.verb == Verb::Ask
    }

    /// Whether `change` places it because of what a registry said, which nobody can tell from the Pod later.
    fn found_local(&self, change: &Change) -> bool {
        self.asks() && change.wanted.as_ref().is_some_and(|wanted| wanted.required)
    }

    /// What its source is asked for; none where it is not asked.
    fn source_question(&self) -> Option<&Reference> {
        let image = self.image().filter(|_| self.asks() && self.detour.asks_source())?;
        if image.digest().is_some() { self.compared.as_ref() } else { Some(image) }
    }
}

/// Where one review asks: the registries, and as whom.
#[derive(Debug)]
pub struct Desk<'a, R> {
    /// What registries say.
    pub registry: &'a R,
    /// All credentials.
    pub keychain: &'a Keychain,
    /// Whom they must be for.
    pub asker: Asker<'a>,
    /// The pull secrets among them, and those that are none.
    pub given: &'a Given,
}

impl<R: Resolve> App<R> {
    /// Answers one request: the body of an `AdmissionReview` in, the body of its answer out.
    ///
    /// # Errors
    /// [`decode::Error`] for a body that no answer could be given to; it is the caller's 400.
    pub async fn review(
        &self,
        mode: Mode,
        caller: Caller,
        body: &[u8],
        deadline: Instant,
    ) -> Result<Vec<u8>, decode::Error> {
        let started = Instant::now();
        let request = match decode::decode(body)? {
            Review::Readable(request) => request,
            Review::Opaque { uid, reason } => {
                self.metrics.review(outcome::Review::Skipped, started.elapsed());
                return Ok(respond::unreadable(&uid, "a Pod", &reason));
            }
        };
        let verdict = match Subject::of(&request, caller) {
            Some(subject) => self.decide(&subject, deadline).await,
            None => Verdict { skipped: true, ..Verdict::default() },
        };
        self.metrics.review(verdict.outcome(mode), started.elapsed());
        Ok(respond::respond(&request.uid, mode, &verdict))
    }

    /// Decides what happens to a Pod. Everything but the questions to registries is pure.
    pub async fn decide(&self, subject: &Subject<'_>, deadline: Instant) -> Verdict {
        let skip = self.namespaces.as_ref().and_then(|namespaces| namespaces.skip(subject.namespace));
        let scope = scope::scope(subject, &self.config, &self.own_namespace, skip.as_deref());
        if scope.steps == Steps::default() {
            return Verdict { notes: scope.notes, skipped: true, ..Verdict::default() };
        }
        let slots = select(subject);
        let now = budget::now();
        let plans: Vec<Plan<'_>> = self.with_nodes(|index| {
            slots.into_iter().map(|slot| Plan::of(slot, &self.config, index, now, scope.steps)).collect()
        });
        let budget = Budget::until(deadline);
        let given = secrets::given(self.pull_secrets.as_deref(), subject, &plans, &budget).await;
        let keyring = given.keyring.as_ref();
        let asker = Asker { namespace: subject.namespace, proven: subject.proven, pull_secrets: keyring };
        let desk = Desk { registry: &self.registry, keychain: &self.keychain, asker, given: &given };
        let answers = pin::pin(&desk, &plans, &budget).await;
        let mirrored = mirror::mirror(&desk, &plans, &answers, &budget).await;
        let (notes, asked_partly) = (secrets::notes(&given, &answers, &mirrored), given.is_partial());
        let relaxing = Relaxing::of(subject, &plans);
        let changes: Vec<Change> = self.with_nodes(|index| {
            let sight = Sight { index, now: budget::now(), relaxing, asked_partly };
            let answered = answers.into_iter().zip(mirrored);
            let settled = |(plan, (answer, mirrored))| settle(plan, answer, mirrored, &self.config, sight);
            plans.iter().zip(answered).map(settled).collect()
        });
        let placement = self.place(subject, &changes);
        if subject.moment != Moment::Planned {
            self.count(&changes, &placement);
        }
        patch::patch(subject, scope.notes.into_iter().chain(notes).collect(), &plans, changes, placement)
    }

    /// Where the Pod can run, by what its images will be.
    fn place(&self, subject: &Subject<'_>, changes: &[Change]) -> Placement {
        let wanted: Vec<_> = changes.iter().filter_map(|change| change.wanted.clone()).collect();
        if wanted.is_empty() {
            return Placement::default();
        }
        let now = budget::now();
        let circumstances = Circumstances {
            controller_alive: self.controller.as_ref().is_some_and(|controller| controller.alive(now)),
            may_gate: subject.moment.is_creation(),
            now,
        };
        self.with_nodes(|index| place::place(subject.pod, &wanted, index, &self.config.place, circumstances))
    }

    fn count(&self, changes: &[Change], placement: &Placement) {
        changes.iter().filter_map(|change| change.pin).for_each(|pin| self.metrics.pin(pin));
        changes.iter().filter_map(|change| change.mirror).for_each(|mirror| self.metrics.mirror(mirror));
        if let Some(place) = placement.outcome() {
            self.metrics.place(place);
        }
    }

    /// Looks at what the nodes hold, under a short lock.
    fn with_nodes<T>(&self, look: impl FnOnce(Option<&Index>) -> T) -> T {
        match &self.nodes {
            Some(nodes) => nodes.read(look),
            None => look(None),
        }
    }
}

impl<'a> Subject<'a> {
    /// What `request` is about; none where it is nothing that Berth changes.
    fn of(request: &'a Request<'a>, caller: Caller) -> Option<Self> {
        let resource = &request.resource;
        if !(resource.group.is_empty() && resource.resource == "pods") {
            return None;
        }
        let moment = match (&*request.operation, &*request.sub_resource) {
            ("CREATE", "") => Moment::Create,
            ("UPDATE", "ephemeralcontainers") => Moment::Debug,
            _ => return None, // changing a running Pod's image restarts it
        };
        Some(Self {
            pod: &request.object,
            old: request.old_object.as_ref(),
            namespace: &request.namespace,
            moment,
            proven: caller == Caller::Proven,
        })
    }
}
