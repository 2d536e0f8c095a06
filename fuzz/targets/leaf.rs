//! The Secret that the webhook serves with: three PEM texts, one after the other, with a per cent sign between them.
#![no_main]

use std::time::{Duration, SystemTime};

use berth_cert_manager::{Bundle, Served};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(3, |byte| *byte == b'%');
    let mut part = || parts.next().unwrap_or_default();
    let (certificate, key, bundle) = (part(), part(), part());
    // When the certificates of the seeds count.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_798_000_000);
    match Served::from_parts(certificate, key, bundle, "berth-webhook.berth-system.svc", now) {
        Ok(served) => assert!(served.validity().covers(now) && !served.authorities().is_empty()),
        Err(error) => {
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
    // What was read is written in a form that is read as the same.
    let read = Bundle::read(bundle);
    assert!(Bundle::read(read.to_pem().as_bytes()).is(&read));
});
