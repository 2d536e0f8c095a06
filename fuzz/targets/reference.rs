//! An image's name.
#![no_main]

use berth::image::{Digest, Reference};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(image) = text.parse::<Reference>() else { return };
    assert_eq!(image.to_string(), text);
    assert_eq!(image.target().parse::<Reference>().unwrap().target(), image.target());
    let pinned = image.pinned(&Digest::of(b"content"), true);
    assert_eq!(pinned.to_string().parse::<Reference>().unwrap(), pinned);
    assert_eq!((pinned.name(), pinned.tag()), (image.name(), image.tag()));
});
