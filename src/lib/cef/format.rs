//! Writing a record.

use memchr::{memchr, memchr3};

/// Appends a header field: `|` and `\` with a backslash, line ends as `\n` and `\r`, so that a record stays one line.
pub fn put_header(buf: &mut Vec<u8>, text: &[u8]) {
    put_escaped(buf, text, b'|');
}

/// Appends a value: `=` and `\` with a backslash, line ends as `\n` and `\r`.
pub fn put_value(buf: &mut Vec<u8>, text: &[u8]) {
    put_escaped(buf, text, b'=');
}

fn put_escaped(buf: &mut Vec<u8>, text: &[u8], separator: u8) {
    if memchr3(separator, b'\\', b'\n', text).is_none() && memchr(b'\r', text).is_none() {
        buf.extend_from_slice(text);
        return;
    }
    for &byte in text {
        match byte {
            b'\n' => buf.extend_from_slice(b"\\n"),
            b'\r' => buf.extend_from_slice(b"\\r"),
            b'\\' => buf.extend_from_slice(b"\\\\"),
            byte if byte == separator => buf.extend_from_slice(&[b'\\', byte]),
            byte => buf.push(byte),
        }
    }
}

/// Appends ` key=value`, without the blank at the extension's beginning.
pub fn put_pair(buf: &mut Vec<u8>, first: bool, key: &[u8], value: &[u8]) {
    if !first {
        buf.push(b' ');
    }
    buf.extend_from_slice(key);
    buf.push(b'=');
    put_value(buf, value);
}
