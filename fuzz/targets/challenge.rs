//! What a registry asks for, up to the first zero byte, and what its token service then says.
#![no_main]

use berth::registry::strangers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (challenge, token) = data.split_at(data.iter().position(|byte| *byte == 0).unwrap_or(data.len()));
    if let Some(service) = strangers::token_service(challenge) {
        assert!(service.starts_with("https://"), "{service}");
        assert!(!service.split('/').nth(2).unwrap_or_default().contains('@'), "{service}");
    }
    if let Some(header) = strangers::token(token.get(1..).unwrap_or_default()) {
        assert!(header.starts_with("Bearer ") && header[7..].bytes().all(|byte| byte.is_ascii_graphic()));
    }
});
