//! The replicas of a Deployment, and the API servers that call them at a steady rate, whether or not answers come.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use berth_cert_manager::Authority;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    caller::{Call, Caller},
    connection::Trust,
    replica::{Replica, authority},
};

/// Replicas and API servers.
pub(crate) struct Fleet {
    authority: Authority,
    configuration: String,
    pub(crate) trust: Trust,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) callers: Vec<Arc<Caller>>,
}

impl Fleet {
    /// Three of each; the replicas are ready.
    pub(crate) async fn start(configuration: &str) -> Self {
        let authority = authority();
        let trust = Trust::new(&authority);
        let mut fleet =
            Self { authority, configuration: configuration.to_owned(), trust, replicas: vec![], callers: vec![] };
        for _ in 0..3 {
            let replica = fleet.replica().await;
            fleet.replicas.push(replica);
        }
        let endpoints: Vec<_> = fleet.replicas.iter().map(|replica| replica.reviews).collect();
        let caller = |seed| Arc::new(Caller::new(fleet.trust.clone(), &endpoints, seed));
        fleet.callers = (1..=3).map(caller).collect();
        fleet
    }

    /// One more replica, ready, that nobody knows yet.
    pub(crate) async fn replica(&self) -> Replica {
        let replica = Replica::alone(&self.authority, &self.configuration).await;
        replica.ready().await;
        replica
    }

    /// Makes `endpoint` known to all.
    pub(crate) fn add(&self, endpoint: SocketAddr) {
        self.callers.iter().for_each(|caller| caller.add(endpoint));
    }

    /// Lets each API server learn in its own time that `endpoint` is gone; the last one after `latest`.
    pub(crate) fn remove(&self, endpoint: SocketAddr, latest: Duration, tasks: &mut JoinSet<()>) {
        let steps = u32::try_from(self.callers.len()).unwrap() - 1;
        for (caller, step) in self.callers.iter().cloned().zip(0..) {
            tasks.spawn(async move {
                sleep(latest * step / steps).await;
                caller.remove(endpoint);
            });
        }
    }

    /// Calls the webhook about Pods with `image`, so many times a second.
    pub(crate) fn load(&self, image: &'static str, a_second: u32) -> Load {
        let (callers, ends, mut task) = (self.callers.clone(), Arc::new(AtomicBool::new(false)), JoinSet::new());
        let ended = ends.clone();
        task.spawn(async move {
            let mut ticks = interval(Duration::from_secs(1) / a_second);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut calls = JoinSet::new();
            for caller in callers.iter().cycle() {
                ticks.tick().await;
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let caller = caller.clone();
                calls.spawn(async move { caller.call(image).await });
            }
            calls.join_all().await
        });
        Load { ends, task }
    }
}

/// Calls at a steady rate, each at its time, whether or not those before have their answers.
pub(crate) struct Load {
    ends: Arc<AtomicBool>,
    task: JoinSet<Vec<Call>>,
}

impl Load {
    /// Sends no more, waits for the last answer, and returns what became of all.
    pub(crate) async fn end(mut self) -> Vec<Call> {
        self.ends.store(true, Ordering::Relaxed);
        self.task.join_next().await.unwrap().unwrap()
    }
}

/// Those that failed.
pub(crate) fn failed(calls: &[Call]) -> Vec<&Call> {
    calls.iter().filter(|call| call.outcome.is_err()).collect()
}
