//! Secrets that somebody deleted, cut, mixed up or replaced: what was good stays in service, and the rest is made anew.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use berth_cert_manager::{Authority, Leaf, service_names};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::{
    SYSTEM,
    rotations::LAGS,
    stage::{Stage, entry},
    times,
    traffic::Traffic,
};

/// What is done to a Secret.
struct Harm {
    secret: &'static str,
    what: &'static str,
    /// What its entries become; null: it is deleted.
    change: fn(&Before) -> anyhow::Result<Value>,
    /// Words of what is said about it; none where nothing is left that could be refused.
    said: Option<&'static str>,
}

/// Both Secrets, before anything is done to them.
struct Before {
    authorities: Secret,
    serving: Secret,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_served_is_refused_in_words_and_made_anew() {
    let stage = Stage::start("hold: 2s").await.unwrap();
    let traffic = Traffic::start(&stage.cluster, &[stage.webhook.address()], &LAGS).await.unwrap();
    let mut longest = BTreeMap::new();
    for round in 0..times(1) {
        for harm in HARMS {
            do_to(&stage, harm).await.unwrap_or_else(|error| panic!("{}: {error:#}", harm.what));
            let took = stage.mended(harm.what, Duration::from_secs(60)).await;
            let most: &mut Duration = longest.entry([harm.secret, " ", harm.what].concat()).or_default();
            *most = took.max(*most);
            if let (Some(words), 0) = (harm.said, round) {
                stage.said(SYSTEM, harm.secret, "CertificateRefused", &[words]).await.unwrap();
            }
        }
    }
    println!("broken: {} Secrets; until all was good again, at the longest: {longest:?}", times(1) * HARMS.len());
    traffic.end("broken").await.none_failed();
}

async fn do_to(stage: &Stage, harm: &Harm) -> anyhow::Result<()> {
    let before = Before { authorities: stage.secret("berth-ca").await?, serving: stage.secret("berth-tls").await? };
    let (changes, secrets) = ((harm.change)(&before)?, stage.secrets().await?);
    if changes.is_null() {
        secrets.delete(harm.secret, &DeleteParams::default()).await?;
    } else {
        let patch = Patch::Merge(json!({ "data": changes }));
        secrets.patch(harm.secret, &PatchParams::default(), &patch).await?;
    }
    Ok(())
}

const HARMS: &[Harm] = &[
    tls("deleted", None, |_| Ok(Value::Null)),
    tls("cut", Some("no readable certificate"), |before| {
        Ok(entries(&[("tls.crt", &half(&entry(&before.serving, "tls.crt")?))]))
    }),
    tls("garbage", Some("no readable certificate"), |_| Ok(entries(&[("tls.crt", "garbage"), ("tls.key", "garbage")]))),
    tls("with an empty key", Some("no readable private key"), |_| Ok(entries(&[("tls.key", "")]))),
    tls("mixed up", Some("no readable certificate"), |before| {
        let [certificate, key] = ["tls.crt", "tls.key"].map(|name| entry(&before.serving, name));
        Ok(entries(&[("tls.crt", &key?), ("tls.key", &certificate?)]))
    }),
    tls("with another's key", Some("does not belong to the certificate"), |_| {
        Ok(entries(&[("tls.key", &stranger()?.1.key_pem)]))
    }),
    tls("a stranger's", Some("no CA of the bundle has signed"), |_| {
        let (authority, leaf) = stranger()?;
        Ok(entries(&[
            ("tls.crt", &leaf.certificate_pem),
            ("tls.key", &leaf.key_pem),
            ("ca.crt", authority.certificate_pem()),
        ]))
    }),
    tls("expired", Some("expired at"), |before| {
        signed(before, "berth-webhook", SystemTime::now() - HOUR / 2, Duration::from_secs(60))
    }),
    tls("of tomorrow", Some("not valid before"), |before| {
        signed(before, "berth-webhook", SystemTime::now() + 24 * HOUR, HOUR)
    }),
    tls("for another name", Some("not for the name"), |before| signed(before, "other", SystemTime::now(), HOUR)),
    tls("twice", Some("two certificates"), |before| {
        let leaves = [entry(&before.serving, "tls.crt")?, stranger()?.1.certificate_pem].concat();
        Ok(entries(&[("tls.crt", &leaves)]))
    }),
    tls("without a bundle", None, |_| Ok(entries(&[("ca.crt", "")]))),
    ca("deleted", None, |_| Ok(Value::Null)),
    ca("garbage", Some("the CA cannot sign"), |before| Ok(every(&before.authorities, |_| "garbage".to_owned()))),
    ca("cut", Some("the CA cannot sign"), |before| Ok(every(&before.authorities, half))),
    ca("with another's key", Some("does not belong to the certificate"), |_| {
        Ok(entries(&[("ca.key", &stranger()?.0.key_pem())]))
    }),
    ca("expired", Some("the CA cannot sign: the certificate expired at"), |_| {
        authority(["ca.crt", "ca.key"], SystemTime::now() - 48 * HOUR)
    }),
    ca("of tomorrow", Some("the CA cannot sign: the certificate is not valid before"), |_| {
        authority(["ca.crt", "ca.key"], SystemTime::now() + 24 * HOUR)
    }),
    ca("with an expired one that is coming", Some("that is coming cannot sign: the certificate expired at"), |_| {
        authority(["coming.crt", "coming.key"], SystemTime::now() - 48 * HOUR)
    }),
];

const fn tls(what: &'static str, said: Option<&'static str>, change: fn(&Before) -> anyhow::Result<Value>) -> Harm {
    Harm { secret: "berth-tls", what, change, said }
}

const fn ca(what: &'static str, said: Option<&'static str>, change: fn(&Before) -> anyhow::Result<Value>) -> Harm {
    Harm { secret: "berth-ca", what, change, said }
}

/// A leaf by the CA that signs, made `then`.
fn signed(before: &Before, service: &str, then: SystemTime, lifetime: Duration) -> anyhow::Result<Value> {
    let [certificate, key] = ["ca.crt", "ca.key"].map(|name| entry(&before.authorities, name));
    let authority = Authority::from_pem(&certificate?, &key?)?;
    let leaf = authority.issue_leaf(&service_names(service, SYSTEM), then, lifetime)?;
    Ok(entries(&[("tls.crt", &leaf.certificate_pem), ("tls.key", &leaf.key_pem)]))
}

/// A CA in two entries, made `then` for a day.
fn authority([certificate, key]: [&str; 2], then: SystemTime) -> anyhow::Result<Value> {
    let authority = Authority::issue("another time", then, 24 * HOUR)?;
    Ok(entries(&[(certificate, authority.certificate_pem()), (key, &authority.key_pem())]))
}

/// A CA that nobody knows, and a leaf of it.
fn stranger() -> anyhow::Result<(Authority, Leaf)> {
    let now = SystemTime::now();
    let authority = Authority::issue("stranger", now, 24 * HOUR)?;
    let leaf = authority.issue_leaf(&service_names("berth-webhook", SYSTEM), now, HOUR)?;
    Ok((authority, leaf))
}

fn entries(entries: &[(&str, &str)]) -> Value {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    json!(entries.iter().map(|(name, text)| (*name, bytes(text))).collect::<BTreeMap<_, _>>())
}

/// Every entry, changed.
fn every(secret: &Secret, change: fn(&str) -> String) -> Value {
    let changed = |ByteString(bytes): &ByteString| ByteString(change(&String::from_utf8_lossy(bytes)).into_bytes());
    json!(secret.data.iter().flatten().map(|(name, bytes)| (name, changed(bytes))).collect::<BTreeMap<_, _>>())
}

fn half(text: &str) -> String {
    text.get(..text.len() / 2).unwrap_or_default().to_owned()
}

const HOUR: Duration = Duration::from_secs(3600);
