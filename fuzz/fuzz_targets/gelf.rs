//! Any bytes, compressed or not, strict or not: each becomes one message, and none longer than what is allowed.

#![no_main]

use heka::source::listen::Origin;
use heka::source::listen::gelf::{Gelf, GelfOptions};
use heka::stream::Frames;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, &[u8])| {
    let (strict, bytes) = input;
    let mut gelf = Gelf::new(GelfOptions { strict, raw: !strict, max_message: 1000 });
    gelf.at(1_795_240_800_000_000_000);
    let origin = Origin::new(&"udp:12201".into(), Some([192, 0, 2, 9].into()), None);
    let mut frames = Vec::new();
    let good = gelf.put(bytes, false, &origin, &mut frames);
    let error = |frame: &heka::stream::Frame<'_>| frame.view().field(b"gelf_error", 0).is_some();
    let found: Vec<_> = Frames(&frames).collect();
    assert_eq!(found.len(), 1);
    // A field of that name may have been sent.
    assert!(good || error(&found[0]));
    frames.clear();
    gelf.put_compressed(bytes, &origin, &mut frames);
    let found: Vec<_> = Frames(&frames).collect();
    assert_eq!(found.len(), 1);
    assert!(found[0].view().payload().len() <= 1000 * 3);
});
