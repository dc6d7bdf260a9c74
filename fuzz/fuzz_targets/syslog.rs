//! Any bytes of a connection: in pieces or whole they give the same messages, and each becomes one of Heka's.

#![no_main]

use heka::message::MessageView;
use heka::source::listen::syslog::{Syslog, SyslogOptions};
use heka::source::listen::{Framing, Origin, Splitter};
use heka::stream::Frames;
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;

fn pieces(bytes: &[u8], chunk: usize) -> Vec<(Vec<u8>, bool)> {
    let mut splitter = Splitter::new(Framing::Syslog, 100);
    let mut found = Vec::new();
    for part in bytes.chunks(chunk) {
        splitter.feed(part, |piece| found.push((piece.bytes.to_vec(), piece.truncated)));
    }
    splitter.finish(false, |piece| found.push((piece.bytes.to_vec(), piece.truncated)));
    found
}

fuzz_target!(|input: (u8, bool, &[u8])| {
    let (chunk, utc, bytes) = input;
    let found = pieces(bytes, usize::MAX);
    assert_eq!(pieces(bytes, chunk as usize + 1), found);

    let zone = if utc { TimeZone::UTC } else { TimeZone::get("Europe/Berlin").unwrap() };
    let mut syslog = Syslog::new(SyslogOptions { zone, raw: true, rsyslog_names: chunk == 0 });
    syslog.at(1_795_240_800_000_000_000);
    let origin = Origin::new(&"udp:514".into(), Some([192, 0, 2, 9].into()), None);
    let mut frames = Vec::new();
    let mut number = 0;
    for (text, truncated) in found.iter().map(|(text, cut)| (&text[..], *cut)).chain([(bytes, false)]) {
        if !text.is_empty() {
            syslog.put(text, truncated, &origin, &mut frames);
            number += 1;
        }
    }
    let mut read = 0;
    for frame in Frames(&frames) {
        let view: MessageView<'_> = frame.view();
        let raw = view.field(b"raw", 0).expect("the original");
        assert_eq!(raw.values().count(), 1);
        assert!(view.severity().is_some_and(|severity| (0..8).contains(&severity)));
        read += 1;
    }
    assert_eq!(read, number);
});
