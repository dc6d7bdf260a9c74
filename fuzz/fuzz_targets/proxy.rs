//! Any bytes: what is a header stays one with more behind it, and what may become one asks for more than is there.

#![no_main]

use heka::source::listen::{Proxy, parse_proxy_header};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (kind, rest) = input;
    const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
    let begin: &[u8] = match kind % 4 {
        0 => b"",
        1 => b"PROXY ",
        2 => SIGNATURE,
        _ => b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x14",
    };
    let bytes = [begin, rest].concat();
    match parse_proxy_header(&bytes) {
        Proxy::Header { len, sender } => {
            assert!(len <= bytes.len());
            assert_eq!(parse_proxy_header(&bytes[..len]), Proxy::Header { len, sender });
            for part in 0..len {
                assert!(matches!(parse_proxy_header(&bytes[..part]), Proxy::Incomplete(more) if more > part));
            }
        }
        Proxy::Incomplete(more) => assert!(more > bytes.len()),
        Proxy::Invalid => {}
    }
});
