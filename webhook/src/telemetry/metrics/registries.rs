//! What is counted about registries.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use crate::{
    config::Config,
    telemetry::outcome::{Answer, Breaker, Exchange},
};

/// The metrics of questions to registries. A host is a label only where the configuration names it.
#[derive(Debug)]
pub struct Registries {
    hosts: ArcSwap<Vec<String>>,
    requests: Family<HostOutcome, Counter>,
    seconds: Family<Host, Histogram, fn() -> Histogram>,
    answers: Family<Kind, Counter>,
    breakers: Family<HostState, Gauge>,
    waiting: Family<Host, Gauge>,
}

impl Registries {
    /// A configuration is in force.
    pub(super) fn configured(&self, config: &Config) {
        let host = |name: &str| name.split('/').next().unwrap_or(name).to_owned();
        let registries = config.registries.iter().map(|registry| registry.host.clone());
        let mirrors = config.mirror.rules.iter().flat_map(|rule| [host(&rule.mirror), host(&rule.source)]);
        self.hosts.store(registries.chain(mirrors).collect::<Vec<_>>().into());
    }

    /// A question for `host` was answered; it `took` so long where it was sent.
    pub fn request(&self, host: &str, outcome: Exchange, took: Option<Duration>) {
        let host = self.label(host);
        if let Some(took) = took {
            self.seconds.get_or_create(&Host { host: host.clone() }).observe(took.as_secs_f64());
        }
        self.requests.get_or_create(&HostOutcome { host, outcome: outcome.word() }).inc();
    }

    /// Somebody was told what an image means.
    pub fn answer(&self, kind: Answer) {
        self.answers.get_or_create(&Kind { kind: kind.word() }).inc();
    }

    /// The gauges of a host that is asked.
    pub fn host(&self, host: &str) -> HostGauges {
        let host = self.label(host);
        let breaker = |state: Breaker| {
            let labels = HostState { host: host.clone(), state: state.word() };
            self.breakers.get_or_create(&labels).clone()
        };
        HostGauges {
            open: breaker(Breaker::Open),
            half_open: breaker(Breaker::HalfOpen),
            waiting: self.waiting.get_or_create(&Host { host: host.clone() }).clone(),
            state: Mutex::default(),
        }
    }

    fn label(&self, host: &str) -> String {
        let matches = |known: &&String| match known.strip_prefix('*') {
            Some(suffix) => host.ends_with(suffix),
            None => host == *known,
        };
        self.hosts.load().iter().find(matches).map_or("other", String::as_str).to_owned()
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Questions to registries, by how they ended; hosts that the configuration does not name are `other`";
        registry.register("registry_requests", help, self.requests.clone());
        let help = "Time that a registry took to answer, token exchange included";
        registry.register_with_unit("registry_request", help, Unit::Seconds, self.seconds.clone());
        let help = "Images that a review asked about, by where the answer came from";
        registry.register("registry_answers", help, self.answers.clone());
        let help = "Hosts that are not asked because they failed (`open`), or asked once to see (`half_open`)";
        registry.register("registry_breakers", help, self.breakers.clone());
        let help = "Questions that wait because their host is asked too many already";
        registry.register("registry_waiting", help, self.waiting.clone());
    }
}

impl Default for Registries {
    fn default() -> Self {
        Self {
            hosts: ArcSwap::default(),
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 13))),
            answers: Family::default(),
            breakers: Family::default(),
            waiting: Family::default(),
        }
    }
}

/// The gauges of one host, until it is dropped.
#[derive(Debug)]
pub struct HostGauges {
    open: Gauge,
    half_open: Gauge,
    waiting: Gauge,
    state: Mutex<Option<Breaker>>,
}

impl HostGauges {
    /// The host's breaker is so now; none: closed.
    pub fn breaker(&self, state: Option<Breaker>) {
        let mut current = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *current == state {
            return;
        }
        if let Some(before) = std::mem::replace(&mut *current, state) {
            self.gauge(before).dec();
        }
        if let Some(after) = state {
            self.gauge(after).inc();
        }
    }

    /// A question waits until this is dropped.
    pub fn waiting(&self) -> Waiting<'_> {
        self.waiting.inc();
        Waiting { gauge: &self.waiting }
    }

    fn gauge(&self, state: Breaker) -> &Gauge {
        match state {
            Breaker::Open => &self.open,
            Breaker::HalfOpen => &self.half_open,
        }
    }
}

impl Drop for HostGauges {
    fn drop(&mut self) {
        self.breaker(None);
    }
}

/// A question that waits.
#[derive(Debug)]
pub struct Waiting<'a> {
    gauge: &'a Gauge,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Host {
    host: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct HostOutcome {
    host: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct HostState {
    host: String,
    state: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Kind {
    kind: &'static str,
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;

    use super::*;
    use crate::registry::Error;

    #[track_caller]
    fn check(registries: &Registries, lines: &[&str]) {
        let (mut registry, mut text) = (Registry::default(), String::new());
        registries.register(&mut registry);
        text::encode(&mut text, &registry).unwrap();
        for line in lines {
            assert!(text.lines().any(|found| found == *line), "no line `{line}` in:\n{text}");
        }
        assert!(!text.contains("secret") && !text.contains("evil"), "{text}");
    }

    fn registries() -> Registries {
        let registries = Registries::default();
        registries.hosts.store(vec!["*.corp".to_owned(), "localhost:5001".to_owned()].into());
        registries
    }

    #[test]
    fn a_host_is_a_label_only_where_it_is_configured() {
        let registries = registries();
        for host in ["a.corp", "b.corp", "localhost:5001", "evil.example", "xcorp"] {
            let answer: Result<(), _> = Err(Error::NotFound { host: host.to_owned(), image: "secret".to_owned() });
            registries.request(host, Exchange::from(&answer), Some(Duration::from_millis(3)));
        }
        registries.request("a.corp", Exchange::Paused, None);
        check(
            &registries,
            &[
                r#"registry_requests_total{host="*.corp",outcome="not_found"} 2"#,
                r#"registry_requests_total{host="localhost:5001",outcome="not_found"} 1"#,
                r#"registry_requests_total{host="other",outcome="not_found"} 2"#,
                r#"registry_requests_total{host="*.corp",outcome="paused"} 1"#,
                r#"registry_request_seconds_count{host="*.corp"} 2"#,
            ],
        );
    }

    #[test]
    fn breakers_are_counted_while_they_are_not_closed() {
        let registries = registries();
        let hosts = ["a.corp", "b.corp", "localhost:5001", "evil.example"].map(|host| registries.host(host));
        for host in &hosts {
            host.breaker(Some(Breaker::Open));
        }
        hosts[0].breaker(Some(Breaker::HalfOpen));
        hosts[0].breaker(Some(Breaker::HalfOpen));
        hosts[2].breaker(None);
        let waiting = [hosts[1].waiting(), hosts[1].waiting()];
        check(
            &registries,
            &[
                r#"registry_breakers{host="*.corp",state="open"} 1"#,
                r#"registry_breakers{host="*.corp",state="half_open"} 1"#,
                r#"registry_breakers{host="localhost:5001",state="open"} 0"#,
                r#"registry_breakers{host="other",state="open"} 1"#,
                r#"registry_waiting{host="*.corp"} 2"#,
            ],
        );
        drop(waiting);
        drop(hosts);
        check(
            &registries,
            &[
                r#"registry_breakers{host="*.corp",state="half_open"} 0"#,
                r#"registry_breakers{host="other",state="open"} 0"#,
                r#"registry_waiting{host="*.corp"} 0"#,
            ],
        );
    }

    #[test]
    fn answers_are_counted_by_where_they_came_from() {
        let registries = registries();
        for kind in [Answer::Asked, Answer::Joined, Answer::Joined] {
            registries.answer(kind);
        }
        check(
            &registries,
            &[r#"registry_answers_total{kind="asked"} 1"#, r#"registry_answers_total{kind="joined"} 2"#],
        );
    }
}
