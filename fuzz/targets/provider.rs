//! What a provider of credentials answers.
#![no_main]

use berth::registry::strangers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for told in strangers::provider(data) {
        let shown = told.unwrap_or_else(|reason| {
            assert!(!reason.contains(char::is_control), "{reason}");
            reason
        });
        assert!(!shown.contains("hunter2"), "{shown}");
    }
});
