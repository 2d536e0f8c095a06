//! A rolling update costs no call, although endpoints are removed late and connections are idle for long (R1).

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    Dice, bar,
    caller::{Call, Caller},
    connection::{Connection, Trust},
    fleet::{Fleet, failed},
    replica::Replica,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_update_costs_no_call() {
    let mut fleet = Fleet::start("").await;
    let load = fleet.load(ANY, bar(60, 160));
    let told = Arc::new(Told { ends: Mutex::default(), rest: watch::Sender::new(false) });
    let mut sleepers = JoinSet::new();
    for seed in 0..bar(12, 90) {
        let caller = fleet.callers[usize::try_from(seed % 3).unwrap()].clone();
        sleepers.spawn(sleep_and_call(caller, fleet.trust.clone(), told.clone(), seed));
    }

    let (mut leaving, mut lateness) = (JoinSet::new(), JoinSet::new());
    sleep(bar(Duration::from_secs(3), Duration::from_secs(60))).await; // until there are connections of any age
    for _ in 0..bar(1, 20) {
        for slot in 0..fleet.replicas.len() {
            let new = fleet.replica().await;
            fleet.add(new.reviews);
            let old = std::mem::replace(&mut fleet.replicas[slot], new);
            told.tell(&old);
            fleet.remove(old.reviews, LATEST_REMOVAL, &mut lateness);
            leaving.spawn(leave(old));
            sleep(bar(Duration::from_secs(2), Duration::from_secs(5))).await;
        }
    }
    lateness.join_all().await;
    let calls = load.end().await;
    told.rest.send_replace(true);
    fleet.callers.iter().for_each(|caller| caller.rest());
    let slept = sleepers.join_all().await;
    leaving.join_all().await;

    let broken: Vec<_> = slept.iter().filter_map(|slept| slept.as_ref().err()).collect();
    let woken: usize = slept.iter().filter_map(|slept| slept.as_ref().ok()).sum();
    let draining = calls.iter().filter(|call| told.before(call.peer, call.sent).is_some()).count();
    println!(
        "{} calls, {draining} of them to replicas that were told to end, and {woken} on connections that were idle: \
         {} failed",
        calls.len(),
        failed(&calls).len() + broken.len()
    );
    assert!(draining > 0 && woken > 0, "the test must meet what it is about");
    assert_eq!(broken, [] as [&String; 0]);
    assert!(failed(&calls).is_empty(), "{:?}", failed(&calls));
    let late = |call: &&Call| told.before(call.peer, call.sent) > Some(NOTICED);
    let kept: Vec<_> = calls.iter().filter(late).filter(|call| call.outcome == Ok(false)).collect();
    assert!(kept.is_empty(), "answers in the drain without `Connection: close`: {kept:?}");
}

/// Calls on a connection of its own, with long pauses, until told to rest. How often that went well.
///
/// The connection is open until an answer says that it ends, whoever else may have closed it.
async fn sleep_and_call(caller: Arc<Caller>, trust: Trust, told: Arc<Told>, seed: u64) -> Result<usize, String> {
    let (mut dice, mut woken) = (Dice::new(seed + 1), 0);
    while !*told.rest.borrow() {
        let peer = caller.endpoint();
        let failed = |why| format!("{why:?} at {peer}, told {:?} ago", told.before(peer, Instant::now()));
        let mut connection = Connection::dial(peer, &trust).await.map_err(failed)?;
        while !connection.review(ANY).await.map_err(failed)? && !*told.rest.borrow() {
            told.pause(bar(dice.seconds(2, 12), dice.seconds(20, 89))).await;
            woken += 1;
        }
    }
    Ok(woken)
}

/// Ends, as a Pod does that is deleted.
async fn leave(mut replica: Replica) {
    let began = Instant::now();
    replica.terminate();
    assert_eq!(replica.ended(Duration::from_secs(110)).await.code(), Some(0), "{}", replica.log());
    assert!(began.elapsed() >= Duration::from_secs(10), "endpoints are removed late");
    assert!(!replica.log().contains("panicked"), "{}", replica.log());
}

/// Which replicas were told to end, and when; and whether the test is over.
struct Told {
    ends: Mutex<BTreeMap<SocketAddr, Instant>>,
    rest: watch::Sender<bool>,
}

impl Told {
    fn tell(&self, replica: &Replica) {
        self.ends.lock().unwrap().insert(replica.reviews, Instant::now());
    }

    /// How long before `sent` the replica was told; none: it was not.
    fn before(&self, peer: SocketAddr, sent: Instant) -> Option<Duration> {
        self.ends.lock().unwrap().get(&peer).and_then(|told| sent.checked_duration_since(*told))
    }

    /// Waits, unless the test is over.
    async fn pause(&self, pause: Duration) {
        let mut rest = self.rest.subscribe();
        let _over = timeout(pause, rest.wait_for(|rest| *rest)).await;
    }
}

/// An image that is noted without asking anybody.
const ANY: &str = "Not an image";
/// How late the last API server learns that an endpoint is gone.
const LATEST_REMOVAL: Duration = Duration::from_secs(5);
/// A signal takes its time on a busy machine.
const NOTICED: Duration = Duration::from_secs(1);
