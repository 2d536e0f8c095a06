//! Names to addresses, as the machine is set up, and without a thread that a stalled name server could hold.
//!
//! `getaddrinfo` cannot be cancelled: behind a stalled name server each question would leave a thread. What is here is
//! dropped with the question.

use std::{fmt, net::IpAddr, pin::pin, time::Duration};

use futures::{
    future,
    stream::{FuturesOrdered, StreamExt as _},
};
use hickory_resolver::{
    Hosts, TokioResolver,
    config::{ResolveHosts, ResolverConfig, ResolverOpts},
    lookup::Lookup,
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::Query,
        rr::{Name, RecordType},
    },
    system_conf::read_system_conf,
};
use tokio::time;

use super::Reach;

/// The machine's way to look up names: `/etc/hosts` and `/etc/resolv.conf`, as they are at the start.
pub(in crate::registry) struct Names {
    /// Or why there is none.
    resolver: Result<TokioResolver, String>,
    hosts: Hosts,
    /// Domains in which a short name is looked for.
    search: Vec<Name>,
    /// How many dots make a name be looked up as it is first.
    ndots: usize,
    /// How long the names that a host may stand for are asked one after the other.
    hurry: Duration,
}

impl Names {
    /// As this machine does; a look-up gets by with `limit`, also where a packet is lost.
    pub(in crate::registry) fn of_machine(limit: Duration) -> Self {
        let hosts = Hosts::from_system().unwrap_or_default();
        match read_system_conf() {
            Ok((config, options)) => Self::new(&config, options, hosts, limit),
            Err(error) => Self::unusable(format!("/etc/resolv.conf: {error}"), hosts),
        }
    }

    pub(super) fn new(config: &ResolverConfig, mut options: ResolverOpts, hosts: Hosts, limit: Duration) -> Self {
        let (search, ndots) = (config.search().to_vec(), options.ndots);
        options.use_hosts_file = ResolveHosts::Never; // asked here, before any question is sent
        options.timeout = options.timeout.min(limit * 2 / 5); // twice, and a rest to hurry and to connect
        options.attempts = 1; // after the first
        options.cache_size = REMEMBERED;
        options.positive_max_ttl = Some(LONGEST);
        options.negative_max_ttl = Some(LONGEST_WITHOUT);
        // The search list is walked here, so the resolver is asked for whole names only.
        let servers = ResolverConfig::from_parts(None, Vec::new(), config.name_servers().to_vec());
        let builder = TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default());
        let resolver = builder.with_options(options).build().map_err(|error| error.to_string());
        Self { resolver, hosts, search, ndots, hurry: limit / 10 }
    }

    /// Where no name server can be asked, and why.
    fn unusable(reason: String, hosts: Hosts) -> Self {
        Self { resolver: Err(reason), hosts, search: Vec::new(), ndots: 1, hurry: Duration::ZERO }
    }

    /// The addresses of `host`, IPv4 first.
    pub(super) async fn addresses(&self, host: &str, reach: Reach) -> Result<Vec<IpAddr>, Unresolved> {
        let unusable = |reason: String| Unresolved::Unusable { host: host.to_owned(), reason };
        let name = Name::from_ascii(host).map_err(|error| unusable(error.to_string()))?;
        let found = self.in_hosts(&name);
        if !found.is_empty() {
            return Ok(found);
        }
        let resolver = self.resolver.as_ref().map_err(|reason| unusable(reason.clone()))?;
        let failed = match self.first_known(resolver, self.whole(name, reach)).await {
            Ok(found) => return Ok(found),
            Err(None) => return Err(Unresolved::Missing { host: host.to_owned() }),
            Err(Some(error)) => error,
        };
        Err(match failed {
            NetError::Timeout => Unresolved::Silent { host: host.to_owned() },
            NetError::Dns(DnsError::ResponseCode(code)) => unusable(format!("the name server answers {code}")),
            error => unusable(error.to_string()),
        })
    }

    /// The addresses of the first of `names` that has any, or the first failure, if none of them has.
    ///
    /// They are asked one after the other, but one that is long in coming holds up none of those behind it: then all
    /// are asked, and an answer counts as soon as those before it have told that there is nothing, or have failed.
    ///
    /// # Source
    /// As glibc and Go do, a name server that fails for one name is asked for the next: a cluster's own knows the
    /// cluster's names also where nobody tells it others.
    async fn first_known(&self, resolver: &TokioResolver, names: Vec<Name>) -> Result<Vec<IpAddr>, Option<NetError>> {
        let mut failed = None;
        let mut unasked = names.into_iter().map(|name| both(resolver, name));
        let mut asked = FuturesOrdered::new();
        let mut hurry = pin!(time::sleep(self.hurry));
        loop {
            if asked.is_empty() {
                let Some(next) = unasked.next() else { return Err(failed) };
                asked.push_back(next);
            }
            tokio::select! {
                Some(answer) = asked.next() => match answer {
                    Ok(found) if !found.is_empty() => return Ok(found),
                    Ok(_) => {}
                    Err(error) if error.is_no_records_found() => {}
                    Err(error) => failed = failed.or(Some(error)),
                },
                () = &mut hurry, if !hurry.is_elapsed() => asked.extend(unasked.by_ref()),
            }
        }
    }

    /// What `/etc/hosts` says; then no name server is asked, as everywhere.
    fn in_hosts(&self, name: &Name) -> Vec<IpAddr> {
        let of = |kind| self.hosts.lookup_static_host(&Query::query(name.clone(), kind));
        let found = [RecordType::A, RecordType::AAAA].into_iter().filter_map(of);
        found.flat_map(|lookup| addresses(&lookup)).collect()
    }

    /// The whole names that `name` may stand for, in the order in which they are looked up.
    ///
    /// A host that nobody has configured stands for itself only: in the search list of a Pod, whoever may create a
    /// Service `ghcr` in a Namespace `io` would be `ghcr.io`.
    fn whole(&self, mut name: Name, reach: Reach) -> Vec<Name> {
        let given_whole = name.is_fqdn() || reach == Reach::Public;
        let in_domains = self.search.iter().filter_map(|domain| name.clone().append_domain(domain).ok());
        let mut names: Vec<Name> = if given_whole { Vec::new() } else { in_domains.collect() };
        let dots = usize::from(name.num_labels()).saturating_sub(1);
        let place = if dots >= self.ndots { 0 } else { names.len() };
        name.set_fqdn(true);
        names.insert(place, name);
        for name in &mut names {
            name.set_fqdn(true);
        }
        names
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Names")
            .field("search", &self.search)
            .field("ndots", &self.ndots)
            .finish_non_exhaustive()
    }
}

/// Asks for both families at once. Where one has answered, the other is waited for a little longer only.
async fn both(resolver: &TokioResolver, name: Name) -> Result<Vec<IpAddr>, NetError> {
    let one = async |kind| resolver.lookup(name.clone(), kind).await.map(|found| addresses(&found));
    let (four, six) = (Box::pin(one(RecordType::A)), Box::pin(one(RecordType::AAAA)));
    let (first, other) = future::select(four, six).await.factor_first();
    let second: Result<Vec<IpAddr>, NetError> = match &first {
        Ok(found) if !found.is_empty() => time::timeout(PATIENCE, other).await.unwrap_or_else(|_| Ok(Vec::new())),
        _ => other.await,
    };
    match (first, second) {
        (Ok(first), Ok(second)) => {
            let mut found = [first, second].concat();
            found.sort_by_key(IpAddr::is_ipv6);
            Ok(found)
        }
        (Ok(found), Err(_)) | (Err(_), Ok(found)) if !found.is_empty() => Ok(found),
        // That there are no addresses is proven only where both families say so.
        (Err(error), _) if !error.is_no_records_found() => Err(error),
        (_, Err(error)) | (Err(error), _) => Err(error),
    }
}

fn addresses(lookup: &Lookup) -> Vec<IpAddr> {
    lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect()
}

/// Why a name has no address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Unresolved {
    /// It does not exist, or has no address.
    #[error("cannot be resolved: check name and DNS: {host}")]
    Missing { host: String },
    /// No name server answered in time.
    #[error("no answer from DNS: check its servers: {host}")]
    Silent { host: String },
    /// There is no name server, or it failed.
    #[error("DNS failed: check its servers: {host}: {reason}")]
    Unusable { host: String, reason: String },
}

/// Names that are remembered.
const REMEMBERED: u64 = 1024;
/// How long a name is remembered, whatever its name server allows.
const LONGEST: Duration = Duration::from_secs(300);
/// How long it is remembered that there is none: a Service may be created any moment.
const LONGEST_WITHOUT: Duration = Duration::from_secs(2);
/// How long the second family is waited for where the first has an address; more than the 50 ms of RFC 8305, because
/// in a cluster without IPv4 the address of the other family is of no use.
const PATIENCE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests;
