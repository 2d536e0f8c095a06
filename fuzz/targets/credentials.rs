//! A Docker configuration.
#![no_main]

use berth::registry::Keyring;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut keyring = Keyring::default();
    if let Err(reason) = keyring.add(data) {
        assert!(!reason.contains(char::is_control) && !reason.contains("hunter2"), "{reason}");
    }
    assert!(!format!("{keyring:?}").contains("hunter2"));
});
