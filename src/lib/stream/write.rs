//! From messages to frames.

use super::cursor::CursorRef;
use crate::message::wire::put_varint;

/// Appends one unsigned frame around an encoded message.
#[inline]
pub fn put_frame(buf: &mut Vec<u8>, cursor: Option<CursorRef<'_>>, message: &[u8]) {
    let at = buf.len();
    buf.extend_from_slice(&[0x1e, 0, 0x08]);
    put_varint(buf, message.len() as u64);
    if let Some(cursor) = cursor {
        buf.push(0x7a);
        put_varint(buf, cursor.encoded_len() as u64);
        cursor.encode(buf);
    }
    // Cursors are held to 160 bytes by their makers, so a header always fits into its one length byte.
    let header_len = buf.len() - at - 2;
    debug_assert!(header_len <= super::MAX_HEADER_SIZE);
    buf[at + 1] = header_len as u8;
    buf.push(0x1f);
    buf.extend_from_slice(message);
}
