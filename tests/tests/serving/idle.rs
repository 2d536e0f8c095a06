//! An idle connection lives longer than any API server keeps it, and a stingy one dies soon (R2). The same with a clock
//! that runs faster is in `webhook/src/server/tests/connections.rs`.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use crate::{
    Dice, bar,
    connection::{Connection, Trust},
    replica::{Replica, authority},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_on_an_idle_connection_is_answered() {
    let authority = authority();
    let replica = Arc::new(Replica::alone(&authority, "").await);
    let trust = Trust::new(&authority);
    let mut trials = JoinSet::new();
    for seed in 0..bar(200, 2_000) {
        let (replica, trust) = (replica.clone(), trust.clone());
        trials.spawn(async move {
            let mut dice = Dice::new(seed);
            sleep(Duration::from_millis(20 * seed)).await; // not all at once
            let mut connection = Connection::dial(replica.reviews, &trust).await.unwrap();
            for _ in 0..bar(1, 5) {
                let idle = bar(dice.seconds(1, 32), dice.seconds(1, 100));
                sleep(idle).await; // the first time before any request
                let answered = connection.review("Not an image").await;
                assert_eq!(answered, Ok(false), "after {idle:?}");
            }
        });
    }
    let mut stingy = JoinSet::new();
    for _ in 0..bar(5, 100) {
        let mut connection = Connection::dial(replica.reviews, &trust).await.unwrap();
        stingy.spawn(async move { connection.dribble().await });
    }
    let longest = stingy.join_all().await.into_iter().max().unwrap();
    assert!(longest < Duration::from_secs(10), "a dribbled header was borne for {longest:?}");
    let trials = trials.join_all().await.len() * bar(1, 5);
    println!("{trials} requests on idle connections, none failed; dribbled headers were borne for {longest:?} at most");
}
