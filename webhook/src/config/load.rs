//! File → checked [`Config`](super::Config). (being written)
use super::*;
impl Default for Config {
    fn default() -> Self {
        Self {
            pin: Pin {
                tags: vec!["latest".parse().unwrap()],
                ignore: vec![],
                keep_tag: true,
                max_age: std::time::Duration::ZERO,
                on_failure: OnFailure::Admit,
            },
            mirror: Mirror::default(),
            place: Place {
                local: vec![],
                infer_local: false,
                strategy: Strategy::Prefer,
                on_missing: OnMissing::Wait,
                pull_policy: PullPolicyChange::Keep,
                list_limit: 50,
                max_stale: std::time::Duration::from_secs(300),
            },
            registries: vec![],
            credentials: vec![],
            skip_owners: vec![],
            tenants: Tenants { may_skip: Steps { pin: true, mirror: true, place: true } },
            limits: Limits {
                registry_timeout: std::time::Duration::from_secs(3),
                reviews_in_flight: 256,
                body_bytes: 20 << 20,
                bodies_bytes: 128 << 20,
            },
        }
    }
}
