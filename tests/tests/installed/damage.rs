//! What certificates are stored and published in is damaged while Pods are created.

use std::time::{Duration, Instant, SystemTime};

use anyhow::ensure;
use berth_cert_manager::{Authority, Leaf, service_names};
use berth_tests::wait::until;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    bed::Bed,
    certificates::{AUTHORITY, SERVING, Serving, published, secrets},
    install::kubectl,
    load::LATEST,
    rotation::shorten,
    table::Row,
};

/// What is done to a Secret.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Deleted(&'static [&'static str]),
    /// The certificate ends in the middle.
    Truncated,
    /// Another key.
    Mismatched,
    /// Everything of somebody else's, and whole.
    Swapped,
}

const ALL: [(&str, Damage); 6] = [
    ("`berth-tls` deleted", Damage::Deleted(&[SERVING])),
    ("`berth-tls` truncated", Damage::Truncated),
    ("`berth-tls` with another key", Damage::Mismatched),
    ("`berth-tls` swapped for a stranger's", Damage::Swapped),
    ("`berth-ca` deleted", Damage::Deleted(&[AUTHORITY])),
    ("both Secrets deleted", Damage::Deleted(&[SERVING, AUTHORITY])),
];

/// Each damage is repaired, and no call notices.
pub(crate) async fn secrets_damaged(bed: &Bed) -> anyhow::Result<Vec<Row>> {
    let (stranger, mut rows) = (Stranger::new()?, shorten(bed).await?);
    for (name, damage) in ALL {
        until("the leaf has a while to live", REPAIR_LIMIT, async || lasting(bed).await).await?;
        let (done, mut repaired) = (Instant::now(), Duration::ZERO);
        let row = bed.load.during(name, async {
            damage.strike(bed, &stranger).await?;
            until("it is repaired", REPAIR_LIMIT, async || whole(bed, Some(&stranger)).await).await?;
            repaired = done.elapsed();
            sleep(AFTERWARDS).await;
            Ok(())
        });
        rows.push(row.await?.remark(format!("repaired after {:.1} s", repaired.as_secs_f64())));
    }
    Ok(rows)
}

/// The bundle is wiped. Until it is back nobody can be verified: only calls of that time may fail.
pub(crate) async fn bundle_wiped(bed: &Bed) -> anyhow::Result<Vec<Row>> {
    let (began, mut back) = (Instant::now(), Duration::ZERO);
    let row = bed.load.during("`caBundle` wiped", async {
        for index in 0..published(bed.cluster()).await?.len() {
            let path = format!("/webhooks/{index}/clientConfig/caBundle");
            let wipe = json!([{ "op": "remove", "path": path }]).to_string();
            let command = ["patch", "mutatingwebhookconfiguration", "zz-berth.dev", "--type=json", "-p", &wipe];
            kubectl(bed.cluster(), &command).await?;
        }
        until("the bundle is back", BACK_LIMIT, async || whole(bed, None).await).await?;
        back = began.elapsed();
        sleep(AFTERWARDS).await;
        Ok(())
    });
    let row = row.await?;
    let unavoidable = bed.load.failures(began, began + back + HEARD, None);
    Ok(vec![
        row.allowing(unavoidable).remark(format!("back {:.1} s after the first of it was wiped", back.as_secs_f64())),
    ])
}

impl Damage {
    async fn strike(self, bed: &Bed, stranger: &Stranger) -> anyhow::Result<()> {
        let secrets = secrets(bed.cluster()).await?;
        let now = Serving::read(bed.cluster()).await?;
        let change = match self {
            Self::Deleted(names) => {
                for name in names {
                    secrets.delete(name, &DeleteParams::default()).await?;
                }
                return Ok(());
            }
            Self::Truncated => json!({ "tls.crt": now.leaf.certificate_pem.get(..300) }),
            Self::Mismatched => json!({ "tls.key": stranger.leaf.key_pem }),
            Self::Swapped => {
                let Stranger { authority, leaf } = stranger;
                json!({ "tls.crt": leaf.certificate_pem, "tls.key": leaf.key_pem, "ca.crt": authority })
            }
        };
        let patch: Value = json!({ "stringData": change });
        secrets.patch(SERVING, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)?;
        Ok(())
    }
}

/// Another authority, and its certificate for the same Service.
struct Stranger {
    authority: String,
    leaf: Leaf,
}

impl Stranger {
    fn new() -> anyhow::Result<Self> {
        let (now, day) = (SystemTime::now(), Duration::from_secs(24 * 60 * 60));
        let authority = Authority::issue("stranger", now, day)?;
        let leaf = authority.issue_leaf(&service_names("berth-webhook", "berth-system"), now, day)?;
        Ok(Self { authority: authority.certificate_pem().trim().to_owned(), leaf })
    }
}

/// Whether the leaf lives for so long that nobody needs another one meanwhile: replicas whose leaf has expired, and who
/// are given no other, cannot serve.
async fn lasting(bed: &Bed) -> anyhow::Result<()> {
    let left = Serving::read(bed.cluster()).await?.verify()?;
    ensure!(left >= LASTING, "it expires in {left:?}");
    Ok(())
}

/// Whether both Secrets are there, the leaf is verified by its bundle, and every webhook has at least that bundle, and
/// nothing of the stranger's.
async fn whole(bed: &Bed, stranger: Option<&Stranger>) -> anyhow::Result<()> {
    secrets(bed.cluster()).await?.get(AUTHORITY).await?;
    let serving = Serving::read(bed.cluster()).await?;
    serving.verify()?;
    for bundle in published(bed.cluster()).await? {
        for authority in serving.authorities() {
            ensure!(bundle.contains(&authority), "a webhook lacks an authority of the bundle");
        }
        let strange = stranger.is_some_and(|stranger| bundle.contains(&stranger.authority));
        ensure!(!strange, "a stranger is trusted");
    }
    Ok(())
}

/// At most half of the life of a leaf; a new CA takes five seconds to its first one.
const LASTING: Duration = Duration::from_secs(15);
const REPAIR_LIMIT: Duration = Duration::from_secs(60);
/// The bar for a bundle.
const BACK_LIMIT: Duration = Duration::from_secs(5);
const AFTERWARDS: Duration = Duration::from_secs(6);
/// The latest API server of the load hears of a bundle this much later, and a call takes a moment.
const HEARD: Duration = LATEST.saturating_add(Duration::from_secs(1));
