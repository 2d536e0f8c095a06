//! An API server that is away: before the controller starts, and while everything runs.

use std::time::Duration;

use berth_tests::{
    berth::managed::{self, Managed},
    cluster::Cluster,
    go_between::GoBetween,
};
use kube::api::DeleteParams;
use tokio::time::{Instant, sleep};

use super::{CONTROLLER, bar, rotations, stage::Stage, timed, times, traffic::Traffic, turn};

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_waits_for_the_api_and_is_ready_soon_after() {
    let _turn = turn().await;
    let cluster = Cluster::start_with(&managed::options()).await.unwrap();
    managed::install(&cluster, 1).await.unwrap();
    let mut longest = Duration::ZERO;
    for round in 0..times(1) {
        let mut between = GoBetween::start(&cluster, CONTROLLER, &[]).unwrap();
        between.close();
        let configuration = "apiVersion: berth.dev/v1alpha1\nkind: Configuration\n";
        let mut controller = Managed::controller(&between.kubeconfig().unwrap(), configuration).await.unwrap();
        sleep(Duration::from_millis(3000 + 700 * u64::try_from(round % 10).unwrap())).await;
        assert!(controller.runs().unwrap(), "{}", controller.log());
        assert_eq!(controller.status("/livez").await.unwrap(), "alive\n");
        let ready = controller.status("/readyz").await.unwrap_err().to_string();
        assert!(ready.contains("waiting for news of nodes"), "{ready}");
        between.open().unwrap();
        let (ready, took) = timed(controller.ready(Duration::from_secs(60))).await;
        ready.unwrap();
        longest = longest.max(took);
    }
    println!("away: {} controllers without an API, ready {} ms after it was there", times(1), longest.as_millis());
    assert!(longest <= bar(BUSY, Duration::from_secs(2)), "{longest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_where_the_api_server_is_away_for_a_while() {
    let mut stage = Stage::start(OUTLIVING).await.unwrap();
    let traffic = Traffic::start(&stage.cluster, &[stage.webhook.address()], &rotations::LAGS).await.unwrap();
    for _ in 0..times(2) {
        stage.between.close();
        sleep(Duration::from_millis(1500)).await;
        stage.between.open().unwrap();
        sleep(Duration::from_millis(4500)).await;
    }
    let began = Instant::now();
    stage.cluster.restart_api_server(Duration::from_secs(5)).await.unwrap();
    stage.called().await.unwrap();
    let without = [(began - Duration::from_secs(1), Instant::now() + Duration::from_secs(1))];
    println!("away: the API server was restarted, and called the webhook {} ms later", began.elapsed().as_millis());
    sleep(Duration::from_secs(3)).await;
    let outcome = traffic.end("away").await;
    outcome.failed_only(&without);
    outcome.of("connections").none_failed(); // they do not go by the API server
    stage.secrets().await.unwrap().delete("berth-tls", &DeleteParams::default()).await.unwrap();
    let took = stage.mended("a certificate", Duration::from_secs(60)).await;
    println!("away: a deleted certificate was back after {} ms", took.as_millis());
}

/// What two seconds are where other tests run, too: before it tries again Berth waits for up to one.
const BUSY: Duration = Duration::from_secs(10);
/// A leaf is renewed 20 s before it expires: an API server is back by then, also where the machine is busy.
const OUTLIVING: &str = "caLifetime: 150s, leafLifetime: 60s, hold: 2s";
