//! The API server ends and comes back while Pods are created. Only what it takes counts as a call of its own.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::{
    bed::{Bed, full},
    table::Row,
};

/// Without a word, and in order.
pub(crate) async fn restarts(bed: &Bed) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let ways = [("API server killed and started", Duration::ZERO), ("API server restarted", GRACE)];
    for (name, grace) in ways.into_iter().take(if full() { 2 } else { 1 }) {
        let began = Instant::now();
        let mut ready = began;
        let row = bed.load.during(name, async {
            bed.cluster().restart_api_server(grace).await?;
            ready = Instant::now();
            sleep(AFTERWARDS).await;
            Ok(())
        });
        // It takes requests before it is ready, which is before it knows of Services: then it calls nobody behind one.
        rows.push(row.await?.allowing(bed.load.let_in(began, ready)));
    }
    Ok(rows)
}

const GRACE: Duration = Duration::from_secs(15);
const AFTERWARDS: Duration = Duration::from_secs(5);
