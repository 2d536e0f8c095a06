use std::path::Path;

use berth_cert_manager::{Authority, Leaf};
use tempfile::TempDir;

use super::*;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// A leaf for `localhost`.
fn leaf(lifetime: Duration) -> Leaf {
    let now = SystemTime::now();
    let authority = Authority::issue("test", now, 24 * HOUR).unwrap();
    authority.issue_leaf(&["localhost".to_owned()], now, lifetime).unwrap()
}

fn identity(leaf: &Leaf) -> Identity {
    Identity::from_pem(&leaf.certificate_pem, &leaf.key_pem).unwrap()
}

fn tls(identity: Identity) -> Tls {
    Tls::new(identity, Arc::default()).unwrap()
}

pub(in crate::server) fn tls_until(end: SystemTime) -> Arc<Tls> {
    Arc::new(tls(identity(&leaf(end.duration_since(SystemTime::now()).unwrap()))))
}

fn write(directory: &Path, leaf: &Leaf) -> Files {
    let files = Files { certificate: directory.join("tls.crt"), key: directory.join("tls.key") };
    std::fs::write(&files.certificate, &leaf.certificate_pem).unwrap();
    std::fs::write(&files.key, &leaf.key_pem).unwrap();
    files
}

#[tokio::test]
async fn what_cannot_be_served_is_told_apart() {
    let directory = TempDir::new().unwrap();
    let (good, other) = (leaf(HOUR), leaf(HOUR));
    let load = async |certificate: &str, key: &str| {
        let leaf = Leaf { certificate_pem: certificate.to_owned(), key_pem: key.to_owned() };
        write(directory.path(), &leaf).load().await
    };
    assert!(load(&good.certificate_pem, &good.key_pem).await.is_ok());
    assert!(matches!(load(&good.certificate_pem, &other.key_pem).await, Err(Error::Rejected(_))));
    assert!(matches!(load("", &good.key_pem).await, Err(Error::NoCertificate)));
    assert!(matches!(load(&good.certificate_pem, "").await, Err(Error::NoKey)));
    assert!(matches!(load(&good.certificate_pem[..100], &good.key_pem).await, Err(Error::NoCertificate)));
    let nowhere = Files { certificate: "/nowhere/tls.crt".into(), key: "/nowhere/tls.key".into() };
    assert!(matches!(nowhere.load().await, Err(Error::Unreadable { path, .. }) if path.ends_with("tls.crt")));
}

/// Follows the files for three looks after `change`, and returns the end of what is then served.
async fn served_after(change: impl FnOnce(&Files)) -> (SystemTime, SystemTime) {
    let directory = TempDir::new().unwrap();
    let first = leaf(HOUR);
    let files = write(directory.path(), &first);
    let (tls, metrics) = (tls(files.load().await.unwrap()), Metrics::default());
    let before = tls.validity().not_after;
    let follow = async {
        tokio::select! { never = files.follow(&tls, &metrics) => match never {}, () = time::sleep(4 * LOOK_EVERY) => () }
    };
    let changing = async {
        time::sleep(LOOK_EVERY / 2).await;
        change(&files);
    };
    tokio::join!(follow, changing);
    let now = metrics.encode().unwrap();
    let expiry = tls.validity().not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!(now.contains(&format!("berth_certificate_expiry_timestamp_seconds {expiry}\n")), "{now}");
    (before, tls.validity().not_after)
}

#[tokio::test(start_paused = true)]
async fn a_new_certificate_is_served_without_a_restart() {
    let (before, after) = served_after(|files| drop(write(files.key.parent().unwrap(), &leaf(5 * HOUR)))).await;
    assert!(after > before + 3 * HOUR);
}

#[tokio::test(start_paused = true)]
async fn a_broken_one_leaves_the_old_one_in_place() {
    let half = |files: &Files| std::fs::write(&files.certificate, leaf(5 * HOUR).certificate_pem).unwrap();
    let gone = |files: &Files| std::fs::remove_file(&files.key).unwrap();
    let noise = |files: &Files| std::fs::write(&files.certificate, b"\xff\xfe").unwrap();
    for change in [half as fn(&Files), gone, noise] {
        let (before, after) = served_after(change).await;
        assert_eq!(before, after);
    }
}

#[test]
fn an_expired_one_does_not_replace_a_valid_one() {
    let tls = tls(identity(&leaf(HOUR)));
    let expired = identity(&leaf(Duration::ZERO));
    let later = SystemTime::now() + Duration::from_secs(1);
    assert!(matches!(tls.replace(expired, later), Err(Error::NotValidNow)));
    let after_both = SystemTime::now() + 2 * HOUR;
    tls.replace(identity(&leaf(Duration::ZERO)), after_both).unwrap(); // neither counts: what the files say
}
