use std::{path::Path, sync::Arc};

use berth_cert_manager::{Error as Refused, Leaf};
use tempfile::TempDir;

use super::{
    super::tests::{HOUR, leaf},
    *,
};

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
    let refused = async |certificate: &str, key: &str| match load(certificate, key).await {
        Err(Error::Refused(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(load(&good.certificate_pem, &good.key_pem).await.is_ok());
    assert!(matches!(refused(&good.certificate_pem, &other.key_pem).await, Refused::KeyMismatch));
    assert!(matches!(refused("", &good.key_pem).await, Refused::NoCertificate));
    assert!(matches!(refused(&good.certificate_pem, "").await, Refused::NoKey));
    assert!(matches!(refused(&good.certificate_pem[..100], &good.key_pem).await, Refused::NoCertificate));
    let nowhere = Files { certificate: "/nowhere/tls.crt".into(), key: "/nowhere/tls.key".into() };
    assert!(matches!(nowhere.load().await, Err(Error::Unreadable { path, .. }) if path.ends_with("tls.crt")));
}

/// Follows the files for three looks after `change`: the end of what was served before and is after, and the metrics.
async fn served_after(change: impl FnOnce(&Files)) -> (SystemTime, SystemTime, String) {
    let directory = TempDir::new().unwrap();
    let files = write(directory.path(), &leaf(HOUR));
    let (tls, metrics) = (Tls::new(files.load().await.unwrap(), Arc::default()).unwrap(), Metrics::default());
    let end = || tls.validity().unwrap().not_after;
    let before = end();
    let follow = async {
        tokio::select! { never = files.follow(&tls, &metrics) => match never {}, () = time::sleep(4 * LOOK_EVERY) => () }
    };
    let changing = async {
        time::sleep(LOOK_EVERY / 2).await;
        change(&files);
    };
    tokio::join!(follow, changing);
    let text = metrics.encode().unwrap();
    let expiry = end().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!(text.contains(&format!("berth_certificate_expiry_timestamp_seconds {expiry}\n")), "{text}");
    (before, end(), text)
}

#[tokio::test(start_paused = true)]
async fn a_new_certificate_is_served_without_a_restart() {
    let (before, after, text) = served_after(|files| drop(write(files.key.parent().unwrap(), &leaf(5 * HOUR)))).await;
    assert!(after > before + 3 * HOUR);
    assert!(!text.contains("berth_certificate_refused_total{"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_broken_one_leaves_the_old_one_in_place_and_is_counted_once() {
    let half = |files: &Files| std::fs::write(&files.certificate, leaf(5 * HOUR).certificate_pem).unwrap();
    let gone = |files: &Files| std::fs::remove_file(&files.key).unwrap();
    let noise = |files: &Files| std::fs::write(&files.certificate, b"\xff\xfe").unwrap();
    for (change, reason) in [(half as fn(&Files), "mismatch"), (gone, "unreadable"), (noise, "unreadable")] {
        let (before, after, text) = served_after(change).await;
        assert_eq!(before, after);
        let counted = format!("berth_certificate_refused_total{{reason=\"{reason}\"}} 1\n");
        assert!(text.contains(&counted), "{text}");
    }
}
