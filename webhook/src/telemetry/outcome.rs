//! The label values of the metrics: closed sets, so that no image, tag or Pod can become a series.

/// An enum whose variants have a word for the label.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// The label's value.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

words! {
    /// What became of a review.
    Review {
        /// Nothing was to be done.
        Unchanged = "unchanged",
        /// A patch was sent.
        Patched = "patched",
        /// Decided but not patched: the namespace observes.
        Observed = "observed",
        /// Left alone: a static Pod, an operation that is none of Berth's business, or a tenant's wish.
        Skipped = "skipped",
        /// Refused.
        Denied = "denied",
        /// The code panicked; answered by `pin.onFailure`.
        Panicked = "panicked",
    }
}

words! {
    /// What became of a request about a workload.
    Workload {
        /// Its Pods would be as people expect.
        Silent = "silent",
        /// Something was said about its Pods.
        Warned = "warned",
        /// Nobody would hear it, or nothing about images is new, or they are left alone.
        Skipped = "skipped",
        /// Too many at once: nothing was looked at, and nothing said.
        Shed = "shed",
        /// The code panicked.
        Panicked = "panicked",
    }
}

words! {
    /// What **pin** did to one image.
    Pin {
        /// The tag became a digest.
        Pinned = "pinned",
        /// The tag became the digest that the registry gave the last time it could be asked.
        LastKnownGood = "last_known_good",
        /// It had a digest.
        AlreadyPinned = "already_pinned",
        /// It had a digest, and got the one that its tag means now.
        Repinned = "repinned",
        /// It had a digest and kept it, although its tag means another one now.
        Outdated = "outdated",
        /// The tag is not mutable, or the name is ignored.
        NotCovered = "not_covered",
        /// The registry gave no digest, and the image stayed as it was.
        Unresolved = "unresolved",
        /// The registry gave no digest, and the Pod was refused.
        Denied = "denied",
    }
}

words! {
    /// What **mirror** did to one image that a rule is about.
    Mirror {
        /// Rewritten to the mirror.
        Mirrored = "mirrored",
        /// No mirror has it; the source stayed.
        Source = "source",
        /// No mirror has it; the Pod was refused.
        Denied = "denied",
    }
}

words! {
    /// What **place** did to one Pod with an image that decides where it can run.
    Place {
        /// Required affinity.
        Required = "required",
        /// A preference.
        Preferred = "preferred",
        /// The scheduling gate.
        Gated = "gated",
        /// Refused.
        Denied = "denied",
        /// Nothing could be added; the notes say why.
        Noted = "noted",
    }
}

words! {
    /// How one question to a registry ended.
    Exchange {
        /// It gave a digest.
        Found = "found",
        /// Berth may not connect to it: nothing was sent.
        NotAllowed = "not_allowed",
        /// No address, no connection, no TLS, a broken connection, 5xx.
        Unreachable = "unreachable",
        /// The deadline passed.
        TimedOut = "timed_out",
        /// 429.
        TooMany = "too_many",
        /// It was not asked: it failed a moment ago, or wants to be left alone.
        Paused = "paused",
        /// A provider of credentials failed.
        NoCredentials = "no_credentials",
        /// 401.
        Unauthorized = "unauthorized",
        /// 403, or no right for these credentials.
        Forbidden = "forbidden",
        /// 404.
        NotFound = "not_found",
        /// An answer that cannot be trusted.
        Untrusted = "untrusted",
    }
}

words! {
    /// Where the answer to a review's question came from.
    Answer {
        /// A request that was started for it.
        Asked = "asked",
        /// A request that others wait for, too.
        Joined = "joined",
        /// A digest that is younger than `pin.maxAge`.
        Remembered = "remembered",
        /// A denial that is younger than that, and than a few seconds.
        Negative = "negative",
    }
}

words! {
    /// Where the circuit breaker of a registry stands, if it is not closed.
    Breaker {
        /// The registry failed and is left alone.
        Open = "open",
        /// One question is under way to see whether it is back.
        HalfOpen = "half_open",
    }
}

words! {
    /// Why a request was shed with a 503.
    Shed {
        /// All of `limits.bodiesBytes` was taken.
        Bodies = "bodies",
        /// All of `limits.reviewsInFlight` were taken.
        Reviews = "reviews",
    }
}

words! {
    /// Why a certificate that was brought is not served.
    Refused {
        /// There is none, or no key, or it cannot be read.
        Unreadable = "unreadable",
        /// The key belongs to another certificate.
        Mismatch = "mismatch",
        /// Several leaves: which of them is meant?
        Several = "several",
        /// It is not for the name by which API servers call.
        OtherName = "other_name",
        /// Its time is over.
        Expired = "expired",
        /// Its time has not come, or the clock is wrong.
        NotYetValid = "not_yet_valid",
        /// No authority of the bundle vouches for it.
        NotVouchedFor = "not_vouched_for",
    }
}

words! {
    /// What became of an attempt to open a gate.
    Gate {
        /// It is open.
        Opened = "opened",
        /// The Pod had changed: it is looked at again.
        Changed = "changed",
        /// It is tried again.
        Failed = "failed",
    }
}

words! {
    /// What was done about a Pod that is stuck where Berth placed it.
    Stuck {
        /// An Event says so.
        Noted = "noted",
        /// It was deleted, and its owner makes it again.
        Deleted = "deleted",
        /// It could not be deleted.
        Failed = "failed",
    }
}

words! {
    /// What became of an Event.
    Event {
        /// It was written.
        Written = "written",
        /// The API server did not take it.
        Failed = "failed",
        /// Too many of its namespace were waiting.
        Dropped = "dropped",
    }
}
