//! A registry that never answers, and a crowd that asks for everything at once.

use std::{fs, time::Duration};

use berth::{
    image::Reference,
    registry::{Candidates, Error, Question, Resolve as _},
};
use berth_tests::{
    faults::{Fault, FaultProxy},
    registry::Registry,
};
use futures::future::join_all;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

use super::{HOST, bar, berth};

/// Memory and connections stay bounded, and a moment after the deadline nothing is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_never_answers_costs_a_bounded_amount() {
    let registry = Registry::start().await.unwrap();
    let proxy = FaultProxy::start(registry.endpoint(), None).unwrap();
    proxy.set(Fault::BlackHole).await.unwrap();
    let berth = berth("pin: { tags: ['*'] }", &[(HOST, &proxy.endpoint())]);
    let tags = bar(2_000, 5_000);
    let images: Vec<Reference> = (0..tags).map(|tag| format!("{HOST}/shop/app:v{tag}").parse().unwrap()).collect();
    let (anonymous, limit) = (Candidates::anonymous(), Duration::from_secs(2));
    let (tasks_before, memory_before) = (Handle::current().metrics().num_alive_tasks(), resident());
    let start = Instant::now();
    let answers = join_all(images.iter().map(|image| {
        let question = Question::new(image, &anonymous);
        let registry = &berth.registry;
        async move { registry.resolve(&question, (start + limit).into_std()).await }
    }));
    let watch = async {
        let (mut memory, mut connections) = (0, 0);
        while start.elapsed() < limit {
            memory = memory.max(resident());
            connections = connections.max(proxy.open_connections());
            sleep(Duration::from_millis(20)).await;
        }
        (memory, connections)
    };
    let (answers, (memory, connections)) = futures::future::join(answers, watch).await;
    let silent = |error: &Error| matches!(error, Error::TimedOut { .. } | Error::Paused { .. });
    assert!(answers.iter().all(|answer| answer.as_ref().is_err_and(silent)), "{:?}", answers[0]);
    sleep((start + limit + Duration::from_secs(2)) - Instant::now()).await;
    let tasks = Handle::current().metrics().num_alive_tasks().saturating_sub(tasks_before);
    let more = memory.saturating_sub(memory_before) >> 20;
    println!("{tags} tags: +{more} MiB, {connections} connections, {tasks} tasks left");
    assert!(more <= 64, "{more} MiB");
    assert!((1..=64).contains(&connections), "{connections} connections");
    // Of the proxy's own, each of its connections has one: Berth has closed them.
    assert_eq!(tasks, 0);
}

/// Resident bytes of this process, with the proxy and the crowd in it.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}
