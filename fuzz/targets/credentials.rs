//! A Docker configuration, in both formats.
#![no_main]

use berth::registry::{Format, Keyring};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for format in [Format::Config, Format::Legacy] {
        let mut keyring = Keyring::default();
        if let Err(reason) = keyring.add(data, format) {
            assert!(!reason.contains(char::is_control) && !reason.contains("hunter2"), "{reason}");
        }
        assert!(!format!("{keyring:?}").contains("hunter2"));
    }
});
