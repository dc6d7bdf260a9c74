//! From a record to a frame: what is the same in every message of a source is encoded once.

use crate::message::wire::{put_varint, varint_len};
use crate::message::{TextHeader, uuid};
use crate::stream::{CursorRef, MAX_CURSOR_SIZE};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The headers of a source's messages.
#[derive(Clone, Debug, Default)]
pub struct Template {
    pub message_type: Vec<u8>,
    pub logger: Vec<u8>,
    pub severity: Option<i32>,
    pub env_version: Vec<u8>,
    pub hostname: Vec<u8>,
}

/// A template in encoded form: what comes before and after the payload.
#[derive(Clone, Debug)]
pub struct Encoded {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Template {
    pub fn encode(&self) -> Encoded {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        // The builder writes uuid and timestamp first; only what follows them is kept.
        let mut scratch = Vec::new();
        let mut builder = crate::message::MessageBuilder::new(&mut scratch, &[0; 16], 0);
        builder.text(TextHeader::Type, &self.message_type).text(TextHeader::Logger, &self.logger);
        if let Some(severity) = self.severity {
            builder.severity(severity);
        }
        before.extend_from_slice(&scratch[20..]);
        scratch.clear();
        let mut builder = crate::message::MessageBuilder::new(&mut scratch, &[0; 16], 0);
        if !self.env_version.is_empty() {
            builder.text(TextHeader::EnvVersion, &self.env_version);
        }
        builder.text(TextHeader::Hostname, &self.hostname);
        after.extend_from_slice(&scratch[20..]);
        Encoded { before, after }
    }
}

/// Where records come from: one file of a stream on one machine.
#[derive(Clone, Copy, Default)]
pub struct Origin(u64);

impl Encoded {
    /// The origin of the records of a file that is in a stream now.
    pub fn origin(&self, stream: &str, inode: u64) -> Origin {
        Origin(xxh3_64_with_seed(stream.as_bytes(), xxh3_64_with_seed(&self.after, inode)))
    }

    /// Appends the frame of one record, read at `timestamp` (ns). Who gets the record again, after a crash or a second reading
    /// of the file, knows it by its UUID.
    #[inline]
    pub fn put_frame(
        &self,
        buf: &mut Vec<u8>,
        timestamp: i64,
        payload: &[u8],
        cursor: Option<&CursorRef<'_>>,
        origin: Origin,
    ) {
        let message_len = 18
            + 1
            + varint_len(timestamp as u64)
            + self.before.len()
            + 1
            + varint_len(payload.len() as u64)
            + payload.len()
            + self.after.len();
        buf.reserve(message_len + MAX_CURSOR_SIZE + 32);
        let at = buf.len();
        buf.extend_from_slice(&[0x1e, 0, 0x08]);
        put_varint(buf, message_len as u64);
        let mut id = None;
        if let Some(cursor) = cursor {
            buf.push(0x7a);
            put_varint(buf, cursor.encoded_len() as u64);
            cursor.encode(buf);
            id = Some(uuid::of(u128::from(origin.0) << 64 | u128::from(cursor.sequence), payload));
        }
        buf[at + 1] = (buf.len() - at - 2) as u8;
        buf.extend_from_slice(&[0x1f, 0x0a, 16]);
        buf.extend_from_slice(&id.unwrap_or_else(uuid::new_v4));
        buf.push(0x10);
        put_varint(buf, timestamp as u64);
        buf.extend_from_slice(&self.before);
        buf.push(0x32);
        put_varint(buf, payload.len() as u64);
        buf.extend_from_slice(payload);
        buf.extend_from_slice(&self.after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Frame;

    #[test]
    fn a_record_becomes_a_message_with_its_cursor() {
        let template = Template {
            message_type: b"logfile".to_vec(),
            logger: b"access.log".to_vec(),
            severity: Some(6),
            env_version: b"1.2".to_vec(),
            hostname: b"web1".to_vec(),
        };
        let cursor = CursorRef { stream: b"/var/log/access.log", sequence: 300, position: b"pos" };
        for payload in [&b""[..], b"GET /", &[b'x'; 70_000]] {
            let mut buf = b"before".to_vec();
            template.encode().put_frame(&mut buf, 1_700_000_000_000_000_000, payload, Some(&cursor), Origin::default());
            let frame = Frame::parse(&buf[6..]).unwrap();
            let view = frame.view();
            assert_eq!(frame.header().cursor(), Some(cursor));
            assert_eq!(view.payload(), payload);
            assert_eq!(view.timestamp(), 1_700_000_000_000_000_000);
            assert_eq!(view.severity(), Some(6));
            assert_eq!(view.text(TextHeader::Hostname), Some(&b"web1"[..]));
            assert_eq!(view.text(TextHeader::EnvVersion), Some(&b"1.2"[..]));
        }
    }
}
