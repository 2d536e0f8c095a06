//! The headers of a manifest: its digest, up to the first zero byte, and its type.
#![no_main]

use berth::registry::strangers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (digest, kind) = data.split_at(data.iter().position(|byte| *byte == 0).unwrap_or(data.len()));
    match strangers::manifest_headers(digest, kind.get(1..).unwrap_or_default()) {
        Ok(Some(digest)) => {
            let hexadecimal = digest.as_str().strip_prefix("sha256:").unwrap();
            assert!(hexadecimal.len() == 64 && hexadecimal.bytes().all(|byte| b"0123456789abcdef".contains(&byte)));
        }
        Ok(None) => assert!(digest.is_empty()),
        Err(reason) => assert!(reason.len() < 1500 && !reason.contains(char::is_control), "{reason}"),
    }
});
