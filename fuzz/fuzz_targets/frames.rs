//! Any bytes, over and over: each byte is in a frame or passed over, and what is looked at in vain stays in proportion to
//! their number.

#![no_main]

use heka::stream::{Effort, Scanned, scan};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &[u8])| {
    let (times, unit) = input;
    let bytes = unit.repeat(times as usize % 4096 + 1);
    for max_message in [1_000, 4 << 20] {
        let mut effort = Effort::new(max_message);
        let (mut at, mut frames) = (0, 0);
        loop {
            let (skipped, found) = scan(&bytes[at..], max_message, &mut effort);
            at += skipped;
            match found {
                Scanned::Frame(frame) => {
                    assert!(frame.message().len() <= max_message);
                    at += frame.raw().len();
                    frames += 1;
                }
                Scanned::Incomplete => break,
            }
        }
        assert!(at <= bytes.len() && frames <= bytes.len() / 4);
        assert!(effort.spent() <= effort.bound(bytes.len()), "{} of {}", effort.spent(), bytes.len());
    }
});
