//! From messages to frames.

use super::cursor::CursorRef;
use super::frame::Frame;
use crate::message::wire::{Reader, put_varint};

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

/// Appends a frame with another cursor, or none; the rest of its header and its message stay as they are.
pub fn put_frame_like(buf: &mut Vec<u8>, frame: &Frame<'_>, cursor: Option<CursorRef<'_>>) {
    let at = buf.len();
    buf.extend_from_slice(&[0x1e, 0]);
    let mut header = Reader::new(frame.header_bytes());
    while !header.is_empty() {
        let start = header.pos();
        let Some((number, wire)) = header.tag() else { break };
        if header.skip(wire).is_none() {
            break;
        }
        if number != 15 {
            buf.extend_from_slice(&frame.header_bytes()[start..header.pos()]);
        }
    }
    let room = super::MAX_HEADER_SIZE - (buf.len() - at - 2).min(super::MAX_HEADER_SIZE);
    // A header that a foreign program filled to the brim goes without.
    if let Some(cursor) = cursor.filter(|cursor| cursor.encoded_len() + 3 <= room) {
        buf.push(0x7a);
        put_varint(buf, cursor.encoded_len() as u64);
        cursor.encode(buf);
    }
    buf[at + 1] = (buf.len() - at - 2) as u8;
    buf.push(0x1f);
    buf.extend_from_slice(frame.message());
}
