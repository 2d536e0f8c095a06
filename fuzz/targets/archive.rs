//! Archives of images, whole and as the content of the files that describe one.
#![no_main]

use berth::{image::Reference, load::archive::Archive};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let wanted: Reference = "app:1".parse().unwrap();
    // Bytes as they are seldom get behind a header's checksum: so they are also put behind good ones.
    let described = |name: &str| [entry(name, data), entry("oci-layout", b"{}"), entry("b", data)].concat();
    let manifest = [entry("manifest.json", data), entry("c.json", data)].concat();
    for archive in [data, &described("index.json"), &described("blobs/sha256/a"), &manifest] {
        let Ok(read) = Archive::read(archive) else { continue };
        assert!(read.needed <= archive.len() as u64);
        match read.builds(&wanted) {
            Ok(builds) => assert!(builds.iter().all(|build| build.architecture.is_ascii())),
            Err(error) => assert!(error.to_string().len() < 8_192 && !error.to_string().contains(char::is_control)),
        }
    }
});

fn entry(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    header[156] = b'0';
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let padding = content.len().wrapping_neg() % 512;
    [&header, content, &vec![0; padding]].concat()
}
