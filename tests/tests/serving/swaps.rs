//! A certificate that is swapped a hundred times costs no call and no connection (R4).

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{task::JoinSet, time::sleep};

use crate::{
    api::Api,
    bar,
    connection::{Connection, Trust},
    replica::{Replica, authority},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_leaves_come_and_go_unnoticed() {
    let (mut api, authority) = (Api::absent(), authority());
    api.come().await;
    api.issue(&authority);
    let replica = Replica::in_cluster(api.address, "").await;
    replica.ready().await;
    let (peer, trust) = (replica.reviews, Trust::new(&authority));

    let (over, mut old) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    for _ in 0..20 {
        let mut connection = Connection::dial(peer, &trust).await.unwrap();
        let over = over.clone();
        old.spawn(async move {
            let mut calls = 0;
            while !over.load(Ordering::Relaxed) {
                assert_eq!(connection.review("Not an image").await, Ok(false), "on a connection from before");
                calls += 1;
                sleep(Duration::from_millis(100)).await;
            }
            calls
        });
    }
    let (mut seen, mut dialled) = (HashSet::new(), 0);
    for _ in 0..100 {
        api.issue(&authority);
        for _ in 0..bar(4, 200) {
            let mut connection = Connection::try_dial(peer, &trust).await.expect("a handshake in the middle of a swap");
            seen.insert(connection.certificate());
            assert_eq!(connection.review("Not an image").await, Ok(false));
            dialled += 1;
        }
    }
    over.store(true, Ordering::Relaxed);
    let calls: usize = old.join_all().await.into_iter().sum();
    println!("{dialled} new connections saw {} leaves, none failed; {calls} calls on 20 open ones", seen.len());
    assert!(seen.len() > 50, "the leaves were not swapped: {} were seen", seen.len());
    let refused = replica.status("/metrics").await.unwrap().1;
    assert!(!refused.contains("berth_certificate_refused_total{"), "{refused}");
}
