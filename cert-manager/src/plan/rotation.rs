//! The steps of a rotation, in their order.

use std::time::{Duration, SystemTime};

use super::{Action, Cause, Inheritance, Publication, Signer, hold::Hold, inherit::inheritance, publish::publication};
use crate::{
    Authority, Bundle, Validity, moment,
    settings::Settings,
    state::{Authorities, CHANGED, Serving, Slot, State, Stored},
};

/// The first step that is due.
pub(super) fn next(now: SystemTime, state: &State, settings: &Settings) -> Action {
    let Some(view) = View::of(now, state, settings) else {
        return Action::IssueAuthority(inheritance(now, state, settings));
    };
    view.mend()
        .or_else(|| view.leaf())
        .or_else(|| view.bundle_beside_leaf())
        .or_else(|| view.state.unread.then(|| view.publish_known()))
        .or_else(|| view.publish())
        .or_else(|| view.start_hold())
        .or_else(|| view.promote())
        .or_else(|| view.remove_retired())
        .or_else(|| view.start_rotation())
        .unwrap_or_else(|| view.wait())
}

/// A state in which the CA's Secret is there.
struct View<'a> {
    now: SystemTime,
    state: &'a State,
    settings: &'a Settings,
    ca: &'a Authorities,
    /// Of the CA's Secret; 0 where it does not say.
    generation: u64,
    serving: Option<&'a Stored<Serving>>,
    /// Every CA that is to be trusted.
    bundle: Bundle,
    /// The leaf that is served, where API servers that have the bundle accept it.
    leaf: Option<Leaf>,
    /// The configurations that lack the bundle.
    unpublished: Vec<Publication>,
    hold: Hold,
}

/// A leaf that is accepted.
struct Leaf {
    validity: Validity,
    signer: Signer,
}

impl<'a> View<'a> {
    fn of(now: SystemTime, state: &'a State, settings: &'a Settings) -> Option<Self> {
        let stored = state.authorities.as_ref()?;
        let (ca, generation) = (&stored.content, stored.generation.unwrap_or_default());
        let (bundle, serving) = (ca.bundle(), state.serving.as_ref());
        let leaf = serving.and_then(|serving| {
            let chain = serving.content.chain.as_ref().ok()?;
            let accepted = |bundle: &Bundle| chain.verify(bundle, &settings.call(), now).is_ok();
            let signer = if accepted(&ca.signing.certificate) {
                Signer::Signing
            } else if ca.coming.as_ref().is_some_and(|coming| accepted(&coming.certificate)) {
                Signer::Coming
            } else {
                Signer::Retired
            };
            accepted(&bundle).then(|| Leaf { validity: chain.validity(), signer })
        });
        let unpublished = state.configurations.iter();
        let unpublished = unpublished.filter_map(|one| publication(one, &bundle, generation)).collect();
        let hold = Hold::of(now, state, settings);
        Some(Self { now, state, settings, ca, generation, serving, bundle, leaf, unpublished, hold })
    }

    /// The CA's Secret is whole, and the newest of all.
    fn mend(&self) -> Option<Action> {
        let inherited = inheritance(self.now, self.state, self.settings);
        let outnumbered = self.generation == 0 || self.generation < self.state.highest_generation();
        match (self.signing(), &self.ca.coming, self.coming()) {
            (None, _, None) => Some(Action::IssueAuthority(inherited)),
            (None, _, Some(_)) => Some(self.promotion()),
            _ if outnumbered || self.is_served_by_others(&inherited) => {
                let own = self.bundle.without(&self.ca.retired);
                Some(Action::Renumber(Inheritance { retired: inherited.retired.without(&own), ..inherited }))
            }
            (Some(_), Some(_), None) => Some(Action::StartRotation { generation: self.generation + 1 }),
            (Some(_), ..) => None,
        }
    }

    /// API servers accept the leaf that is stored, and yet no CA of the Secret has signed it: somebody else brought
    /// certificates so far, or this is another Secret than it was.
    fn is_served_by_others(&self, inherited: &Inheritance) -> bool {
        let chain = self.serving.and_then(|serving| serving.content.chain.as_ref().ok());
        let webhooks = self.state.configurations.iter().flat_map(|one| &one.object.webhooks);
        let published: Bundle = webhooks.flat_map(|webhook| webhook.bundle.iter()).cloned().collect();
        let accepted =
            |bundle| chain.is_some_and(|chain| chain.verify(bundle, &self.settings.call(), self.now).is_ok());
        self.leaf.is_none() && accepted(&published) && accepted(&inherited.retired)
    }

    /// A leaf is there that API servers accept, long enough, of the CA that signs next.
    fn leaf(&self) -> Option<Action> {
        let Some(leaf) = &self.leaf else {
            return self.first_signer().map(|signer| Action::IssueLeaf { signer, cause: Cause::NoneUsable });
        };
        if leaf.signer != self.target() && self.is_held() {
            return Some(Action::IssueLeaf { signer: self.target(), cause: Cause::Rotation });
        }
        let renewed = self.renewal_due(leaf).is_some_and(|due| due <= self.now);
        renewed.then_some(Action::IssueLeaf { signer: leaf.signer, cause: Cause::Renewal })
    }

    /// Who signs where there is no leaf to lose.
    ///
    /// A CA that is known everywhere does it at once. A new one waits until its bundle is published; and where others
    /// are still trusted, replicas may go on serving a leaf of theirs from memory, so API servers get a moment to learn
    /// of it. Where publishing does not succeed, a leaf is better than none: replicas become ready for the moment when it
    /// does.
    fn first_signer(&self) -> Option<Signer> {
        if self.is_held() {
            return Some(self.target());
        }
        if self.target() == Signer::Coming {
            return Some(Signer::Signing); // it was published before another one was made
        }
        (self.first_leaf_at()? <= self.now).then_some(Signer::Signing)
    }

    /// When the first leaf of a new CA is due, as far as is known.
    fn first_leaf_at(&self) -> Option<SystemTime> {
        let patience = self.signing()?.validity().issued().checked_add(PATIENCE);
        let alone = self.ca.signing.certificate.holds(&self.bundle);
        let pause = if alone { Duration::ZERO } else { self.settings.hold.min(PAUSE) };
        let published = self.hold.began().filter(|_| self.is_published());
        published.and_then(|published| published.checked_add(pause)).into_iter().chain(patience).min()
    }

    /// The bundle beside the leaf is that of this generation. This comes before configurations lose a retired CA: from
    /// then on nobody who has not heard of it can write a leaf of that CA.
    fn bundle_beside_leaf(&self) -> Option<Action> {
        let (serving, _) = self.serving.zip(self.leaf.as_ref())?;
        let current = serving.generation == Some(self.generation);
        let beside = serving.content.bundle.as_ref().is_some_and(|bundle| bundle.is(&self.bundle));
        (!current || !beside).then_some(Action::RefreshBundle)
    }

    /// Every configuration has the bundle. Where one has lost it while a switch is pending, it says when it got it back.
    fn publish(&self) -> Option<Action> {
        if self.unpublished.is_empty() {
            return None;
        }
        let mut due = self.unpublished.clone();
        if self.is_switching() && self.hold.has_begun() {
            for one in &mut due {
                one.annotations.push((CHANGED, Some(moment::written(self.now))));
            }
        }
        Some(Action::Publish(due))
    }

    /// Where not every configuration is known, the others get the bundle, and nothing else goes on.
    fn publish_known(&self) -> Action {
        self.publish().unwrap_or_else(|| self.wait())
    }

    /// It is noted since when.
    fn start_hold(&self) -> Option<Action> {
        self.hold.to_note().map(|published| Action::StartHold { published })
    }

    /// The CA whose leaf is served is the one that signs.
    fn promote(&self) -> Option<Action> {
        let served = self.leaf.as_ref().is_some_and(|leaf| leaf.signer == Signer::Coming);
        served.then(|| self.promotion())
    }

    /// Retired CAs go when they have expired, or the last leaf of theirs has.
    fn remove_retired(&self) -> Option<Action> {
        if !self.is_settled() {
            return None;
        }
        let over = self.ca.retired_until.is_some_and(|until| until < self.now);
        let kept = if over { Bundle::default() } else { self.ca.retired.unexpired(self.now) };
        let removed = !kept.holds(&self.ca.retired);
        removed.then(|| Action::RemoveRetired { generation: self.generation + 1, kept })
    }

    /// A CA that has lived for two thirds of its life gets a successor.
    fn start_rotation(&self) -> Option<Action> {
        let due = self.is_settled() && self.signing()?.validity().renewal() <= self.now;
        due.then(|| Action::StartRotation { generation: self.generation + 1 })
    }

    /// When time alone makes a difference.
    fn wait(&self) -> Action {
        let after = |moment: SystemTime| moment.checked_add(TICK);
        let signing = self.signing().map(Authority::validity);
        let leaf = self.leaf.as_ref();
        let moments = [
            leaf.and_then(|leaf| self.renewal_due(leaf)),
            leaf.and_then(|leaf| after(leaf.validity.not_after)),
            self.hold.ends().filter(|_| self.is_switching() || self.leaf.is_none()),
            self.first_leaf_at().filter(|_| self.leaf.is_none()),
            signing.map(|validity| validity.renewal()).filter(|_| self.ca.coming.is_none()),
            signing.and_then(|validity| after(validity.not_after)),
            self.ca.retired_until.filter(|_| !self.ca.retired.is_empty()).and_then(after),
        ];
        let expiring = self.ca.retired.iter().filter_map(|anchor| after(anchor.validity().not_after));
        let moments = moments.into_iter().flatten().chain(expiring);
        Action::Wait { until: moments.filter(|moment| *moment > self.now).min() }
    }

    /// When the leaf is to be signed anew by the same CA; none where that would not prolong it.
    fn renewal_due(&self, leaf: &Leaf) -> Option<SystemTime> {
        let signer = match leaf.signer {
            Signer::Signing => self.signing(),
            Signer::Coming => self.coming(),
            Signer::Retired => None,
        };
        let prolongs = signer.is_some_and(|signer| signer.validity().not_after > leaf.validity.not_after);
        prolongs.then(|| leaf.validity.renewal())
    }

    fn promotion(&self) -> Action {
        let lifetime = self.now.checked_add(self.settings.leaf_lifetime);
        let written = self.serving.and_then(|serving| serving.content.valid_until);
        let before = self.ca.retired_until.filter(|_| !self.ca.retired.is_empty());
        let retired_until = [lifetime, written, before].into_iter().flatten().max().unwrap_or(self.now);
        Action::Promote { retired_until }
    }

    /// Whose leaf is to be served in the end.
    fn target(&self) -> Signer {
        if self.coming().is_some() { Signer::Coming } else { Signer::Signing }
    }

    /// A leaf is served, of another CA than it should be in the end.
    fn is_switching(&self) -> bool {
        self.leaf.as_ref().is_some_and(|leaf| leaf.signer != self.target())
    }

    /// Nothing is under way.
    fn is_settled(&self) -> bool {
        self.ca.coming.is_none() && self.leaf.as_ref().is_some_and(|leaf| leaf.signer == Signer::Signing)
    }

    /// The bundle is in every configuration, and has been for the hold.
    fn is_held(&self) -> bool {
        self.is_published() && self.hold.is_over()
    }

    /// No configuration lacks the bundle.
    fn is_published(&self) -> bool {
        self.unpublished.is_empty() && !self.state.unread
    }

    fn signing(&self) -> Option<&'a Authority> {
        self.ca.signing.usable(self.now)
    }

    fn coming(&self) -> Option<&'a Authority> {
        self.ca.coming.as_ref().and_then(|slot: &Slot| slot.usable(self.now))
    }
}

/// What API servers get to learn of a new CA where replicas may have leaves of another one in memory, and none is stored.
const PAUSE: Duration = Duration::from_secs(5);
/// How long the first leaf of a new CA waits for the bundle to be published.
const PATIENCE: Duration = Duration::from_secs(30);
/// A moment that has passed for certain: certificates count up to their last second, inclusive.
const TICK: Duration = Duration::from_secs(1);
