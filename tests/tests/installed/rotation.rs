//! Certificates of seconds: CAs and leaves follow each other while Pods are created, also where controllers die.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::ensure;
use berth_tests::wait::until;
use kube::{ResourceExt as _, api::DeleteParams};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    bed::{Bed, CONTROLLER, SYSTEM, WEBHOOK, full},
    certificates::{AUTHORITY, Serving, secrets},
    install::kubectl,
    table::Row,
};

/// What has been served and trusted so far.
#[derive(Default)]
struct Seen {
    leaves: BTreeSet<String>,
    authorities: BTreeSet<String>,
    /// Authorities at the first look: one signs, others are coming or retired.
    known: usize,
}

impl Seen {
    async fn look(&mut self, bed: &Bed) -> anyhow::Result<()> {
        let serving = Serving::read(bed.cluster()).await?;
        self.authorities.extend(serving.authorities());
        if self.leaves.is_empty() {
            self.known = self.authorities.len();
        }
        self.leaves.insert(serving.leaf.certificate_pem);
        Ok(())
    }

    /// After the first ones.
    fn rotations(&self) -> (usize, usize) {
        (self.authorities.len() - self.known, self.leaves.len().saturating_sub(1))
    }
}

/// Gives certificates a life of seconds where they have none yet.
pub(crate) async fn shorten(bed: &Bed) -> anyhow::Result<Vec<Row>> {
    if bed.settings().configuration.get("certificates").is_some() {
        return Ok(Vec::new());
    }
    Ok(vec![live(bed, short()).await?])
}

/// Gives certificates other lives: an upgrade of its own. The CA that lives for longer is lost on the way.
async fn live(bed: &Bed, lives: Value) -> anyhow::Result<Row> {
    let row = bed.load.during("certificates with lives of seconds: a configuration rolls out", async {
        bed.change(|settings| settings.configuration["certificates"] = lives).await?;
        bed.rolled_out(CONTROLLER).await?;
        bed.rolled_out(WEBHOOK).await?;
        secrets(bed.cluster()).await?.delete(AUTHORITY, &DeleteParams::default()).await.map(drop)?;
        Ok(())
    });
    row.await
}

/// The hold is longer than the latest API server takes to learn of a bundle.
fn short() -> Value {
    json!({ "caLifetime": "45s", "leafLifetime": "30s", "hold": "6s" })
}

/// When a leaf is renewed, it counts for twenty seconds more: controllers that were killed, each time before they could
/// renew it, take a while to start.
fn longer() -> Value {
    json!({ "caLifetime": "75s", "leafLifetime": "60s", "hold": "6s" })
}

/// CA and leaf are replaced again and again.
pub(crate) async fn rotations(bed: &Bed) -> anyhow::Result<Vec<Row>> {
    let rows = shorten(bed).await?;
    let wanted = if full() { (20, 100) } else { (1, 3) };
    let mut seen = Seen::default();
    let row = bed.load.during("CA and leaf rotations", async {
        let began = Instant::now();
        while seen.rotations().0 < wanted.0 || seen.rotations().1 < wanted.1 {
            ensure!(began.elapsed() < limit(wanted), "only {:?} rotations of CA and leaf", seen.rotations());
            seen.look(bed).await?;
            sleep(LOOK_EVERY).await;
        }
        sleep(AFTERWARDS).await;
        Ok(())
    });
    let row = row.await?;
    let (authorities, leaves) = seen.rotations();
    let row = row.remark(format!("{authorities} CA rotations, {leaves} leaf rotations"));
    Ok(rows.into_iter().chain([row]).collect())
}

/// The same while controllers are killed, one or both, at any moment.
pub(crate) async fn dying_controllers(bed: &Bed) -> anyhow::Result<Vec<Row>> {
    let lives = live(bed, longer()).await?;
    // What comes of the configuration is no rotation yet.
    until("the leaf lives for as long", LIFE_LIMIT, async || {
        let left = Serving::read(bed.cluster()).await?.verify()?.as_secs();
        ensure!((31..=60).contains(&left), "it expires in {left} s");
        Ok(())
    })
    .await?;
    let wanted = if full() { 6 } else { 1 };
    let (mut seen, mut killed) = (Seen::default(), 0);
    let row = bed.load.during("controllers killed during rotations", async {
        let began = Instant::now();
        while seen.rotations().0 < wanted {
            ensure!(began.elapsed() < limit((wanted, 0)), "only {:?} rotations of CA and leaf", seen.rotations());
            seen.look(bed).await?;
            let pods = bed.pods(CONTROLLER).await?;
            for pod in pods.iter().take(killed % 2 + 1) {
                let kill = ["delete", "pod", &pod.name_any(), "-n", SYSTEM, "--grace-period=0", "--force"];
                // It may be gone by itself.
                let _ = kubectl(bed.cluster(), &kill).await;
                killed += 1;
            }
            // No multiple of anything, so that each step of a rotation is met.
            sleep(KILL_EVERY).await;
        }
        Ok(())
    });
    let row = row.await?;
    bed.complete(CONTROLLER).await?;
    let (authorities, leaves) = seen.rotations();
    let row = row.remark(format!("{killed} controllers killed, {authorities} CA rotations, {leaves} leaf rotations"));
    Ok(vec![lives, row])
}

/// For so many rotations of CA and leaf, of which each takes half of that; a machine may be slow.
fn limit((authorities, leaves): (usize, usize)) -> Duration {
    let times = |each, rotations: usize| Duration::from_secs(each) * u32::try_from(rotations + 2).unwrap();
    times(100, authorities).max(times(40, leaves))
}

const LOOK_EVERY: Duration = Duration::from_millis(250);
const KILL_EVERY: Duration = Duration::from_millis(7300);
const LIFE_LIMIT: Duration = Duration::from_secs(60);
const AFTERWARDS: Duration = Duration::from_secs(5);
