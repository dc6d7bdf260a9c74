//! From messages to frames.

use super::cursor::CursorRef;
use super::frame::Frame;
use crate::message::wire::{Reader, put_varint, varint_len};

/// Appends one unsigned frame around an encoded message. A cursor that is too long for a header, which no source makes, is
/// left out.
#[inline]
pub fn put_frame(buf: &mut Vec<u8>, cursor: Option<CursorRef<'_>>, message: &[u8]) {
    let cursor = cursor.map(|cursor| (cursor.encoded_len(), cursor));
    put_frame_with(buf, cursor.map_or(0, |(len, _)| len), message, |buf| {
        if let Some((_, cursor)) = cursor {
            cursor.encode(buf);
        }
    });
}

/// Appends one unsigned frame around a message that was made of another frame's, with that one's cursor.
#[inline]
pub fn put_frame_from(buf: &mut Vec<u8>, source: &Frame<'_>, message: &[u8]) {
    let cursor = source.header().cursor.unwrap_or_default();
    put_frame_with(buf, cursor.len(), message, |buf| buf.extend_from_slice(cursor));
}

/// `len`: of the encoded cursor, which `put_cursor` appends; 0 is none.
#[inline(always)]
fn put_frame_with(buf: &mut Vec<u8>, len: usize, message: &[u8], put_cursor: impl FnOnce(&mut Vec<u8>)) {
    let mut header_len = 1 + varint_len(message.len() as u64);
    let with_cursor = header_len + 1 + varint_len(len as u64) + len;
    let has_cursor = len > 0 && with_cursor <= super::MAX_HEADER_SIZE;
    if has_cursor {
        header_len = with_cursor;
    }
    buf.reserve(3 + header_len + message.len());
    buf.extend_from_slice(&[0x1e, header_len as u8, 0x08]);
    put_varint(buf, message.len() as u64);
    if has_cursor {
        buf.push(0x7a);
        put_varint(buf, len as u64);
        put_cursor(buf);
    }
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
