//! Writing a record.

/// Appends a header field: `|` and `\` with a backslash, line ends as `\n` and `\r`, so that a record stays one line.
pub fn put_header(buf: &mut Vec<u8>, text: &[u8]) {
    put_escaped(buf, text, b'|');
}

/// Appends a value: `=` and `\` with a backslash, line ends as `\n` and `\r`.
pub fn put_value(buf: &mut Vec<u8>, text: &[u8]) {
    put_escaped(buf, text, b'=');
}

fn put_escaped(buf: &mut Vec<u8>, text: &[u8], separator: u8) {
    const SPECIAL: [bool; 256] = {
        let mut special = [false; 256];
        special[b'\\' as usize] = true;
        special[b'\n' as usize] = true;
        special[b'\r' as usize] = true;
        special
    };
    // Most texts are of a few bytes: a look at each is faster than two calls of a search.
    let Some(first) = text.iter().position(|&byte| SPECIAL[byte as usize] | (byte == separator)) else {
        buf.extend_from_slice(text);
        return;
    };
    let (plain, rest) = text.split_at(first);
    buf.extend_from_slice(plain);
    for &byte in rest {
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
