//! Any text: what is read as a CEF record becomes fields, and what the fields make is read again the same.

#![no_main]

use heka::cef::{FieldOptions, Parsed, RecordOptions, put_fields, put_record};
use heka::message::{MessageBuilder, MessageView};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut parsed = Parsed::default();
    if parsed.parse(bytes).is_err() {
        return;
    }
    for options in [FieldOptions { labels: true, typed: true }, FieldOptions::default()] {
        let mut message = Vec::new();
        put_fields(&mut MessageBuilder::new(&mut message, &[1; 16], 1), bytes, &parsed, options);
        let view = MessageView::new(&message).expect("a message");
        let mut record = Vec::new();
        if put_record(&mut record, &view, &RecordOptions::default()).is_err() || options.labels {
            continue;
        }
        let mut again = Parsed::default();
        again.parse(&record).expect("a record");
        let keys = |parsed: &Parsed, text: &[u8]| {
            let mut keys: Vec<Vec<u8>> = parsed.pairs.iter().map(|pair| text[pair.key.clone()].to_vec()).collect();
            // What messages of the client have beside a record.
            keys.retain(|key| !key.starts_with(b"cef_meta.") && key != b"cef_error");
            keys.sort();
            keys
        };
        assert_eq!(keys(&again, &record), keys(&parsed, bytes));
    }
});
