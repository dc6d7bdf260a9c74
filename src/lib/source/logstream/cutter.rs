//! From content to frames: records with their headers, or the frames that are in it.

use std::io;

use super::content::Content;
use super::splitter::{Cut, Records, Splitter, Tail};
use super::text::Text;
use crate::message::now_ns;
use crate::message::wire::put_varint;
use crate::pipeline::{Failure, Output, report_gap, report_once};
use crate::source::Signed;
use crate::source::template::{Encoded, Origin};
use crate::stream::{CursorRef, Deframer, MAX_HEADER_SIZE, Step};

/// How content becomes records.
#[derive(Clone)]
pub enum Cutting {
    Records {
        splitter: Splitter,
        max: usize,
        keep_truncated: bool,
        text: Text,
    },
    /// Framed Heka messages, which go out as they are, with our cursor in their header.
    Frames {
        max_message: usize,
        signed: Signed,
    },
}

/// What the frames of a stream have in common.
pub struct Stamp<'a> {
    /// In errors.
    pub place: &'a str,
    pub template: &'a Encoded,
    /// In cursors.
    pub stream: &'a str,
    pub origin: Origin,
    /// Bytes of the stream in earlier files.
    pub base: u64,
    /// An encoded position without its offset; `None` for what can't be read again.
    pub rest: Option<&'a [u8]>,
}

impl Stamp<'_> {
    /// The cursor of a record that ends at an offset of the file at hand.
    #[inline]
    pub fn cursor<'a>(&'a self, end: u64, position: &'a mut Vec<u8>) -> Option<CursorRef<'a>> {
        let rest = self.rest?;
        position.clear();
        put_varint(position, end);
        position.extend_from_slice(rest);
        Some(CursorRef { stream: self.stream.as_bytes(), sequence: self.base + end, position })
    }
}

/// How many records came out, and how many were dropped.
#[derive(Clone, Copy, Default)]
pub struct Counted {
    pub records: u64,
    pub dropped: u64,
}

impl std::ops::AddAssign for Counted {
    fn add_assign(&mut self, other: Counted) {
        self.records += other.records;
        self.dropped += other.dropped;
    }
}

/// Cuts the content of one file after the other.
pub enum Cutter {
    Records(Box<Records>),
    Frames { deframer: Box<Deframer>, offset: u64, signed: Signed },
}

impl Cutter {
    pub fn new(cutting: &Cutting) -> Cutter {
        match cutting {
            Cutting::Records { splitter, max, keep_truncated, text } => {
                Cutter::Records(Box::new(Records::new(splitter.clone(), *max, *keep_truncated).with_text(*text)))
            }
            Cutting::Frames { max_message, signed } => {
                let deframer = Box::new(Deframer::new(*max_message));
                Cutter::Frames { deframer, offset: 0, signed: signed.clone() }
            }
        }
    }

    /// Begins content at an offset; what was left of other content is forgotten. `head`: what it begins with, as far as that
    /// is known.
    pub fn restart(&mut self, at: u64, head: &[u8]) {
        match self {
            Cutter::Records(records) => records.restart(at, head),
            Cutter::Frames { deframer, offset, .. } => {
                deframer.restart();
                *offset = at;
            }
        }
    }

    /// Offset of the content up to which it has been read.
    pub fn read_offset(&self) -> u64 {
        match self {
            Cutter::Records(records) => records.read_offset(),
            Cutter::Frames { offset, .. } => *offset,
        }
    }

    /// Reads a block and hands its bytes to `seen`, which says whether they are what they seem; if not, they are
    /// forgotten, and the answer is `None`. No bytes are the end.
    pub fn read(
        &mut self,
        content: &mut Content,
        block: &mut Vec<u8>,
        seen: impl FnOnce(&Content, &[u8]) -> bool,
    ) -> io::Result<Option<usize>> {
        match self {
            Cutter::Records(records) => {
                records.borrow_block(block);
                let bytes = records.read(content)?;
                let count = bytes.len();
                if !seen(content, bytes) {
                    return Ok(None);
                }
                records.accept();
                Ok(Some(count))
            }
            Cutter::Frames { deframer, offset, .. } => {
                let space = deframer.space();
                let count = io::Read::read(content, space)?;
                if !seen(content, &space[..count]) {
                    return Ok(None);
                }
                *offset += count as u64;
                deframer.filled(count);
                Ok(Some(count))
            }
        }
    }

    /// Begins content after a hole in the file.
    pub fn begin_after_hole(&mut self, len: u64) {
        if let Cutter::Records(records) = self {
            records.begin_after_hole(len);
        }
    }

    /// Whether holes at the beginning of files are left out.
    pub fn skips_holes(&self) -> bool {
        matches!(self, Cutter::Records(records) if records.is_tidy())
    }

    /// Gives the block back that others read into too.
    pub fn give_back(&mut self, block: &mut Vec<u8>) {
        if let Cutter::Records(records) = self {
            records.give_back(block);
        }
    }

    /// What has been read and is not a record yet.
    pub fn pending(&self) -> &[u8] {
        match self {
            Cutter::Records(records) => records.pending(),
            Cutter::Frames { .. } => &[],
        }
    }

    /// How many bytes that is.
    pub fn pending_len(&self) -> usize {
        match self {
            Cutter::Records(records) => records.pending().len(),
            Cutter::Frames { deframer, .. } => deframer.buffered(),
        }
    }

    /// Writes a frame for each record. `sent` becomes the offset after the last one.
    pub fn cut(
        &mut self,
        tail: Tail,
        stamp: &Stamp<'_>,
        sent: &mut Option<u64>,
        out: &mut Output,
    ) -> Result<Counted, Failure> {
        let mut counted = Counted::default();
        let mut position = Vec::with_capacity(64);
        match self {
            Cutter::Records(records) => {
                let timestamp = now_ns();
                loop {
                    match records.next(tail) {
                        Cut::Record { payload, end } => {
                            let cursor = stamp.cursor(end, &mut position);
                            stamp.template.put_frame(out.buf(), timestamp, payload, cursor.as_ref(), stamp.origin);
                            out.filled()?;
                            *sent = Some(end);
                            counted.records += 1;
                        }
                        Cut::Dropped { bytes, end } => {
                            report_once("records over --max-record", || {
                                format!("{}: a record of {bytes} bytes, over --max-record, was dropped", stamp.place)
                            });
                            *sent = Some(end);
                            counted.dropped += 1;
                        }
                        Cut::Incomplete => break,
                    }
                }
                if let Some(nuls) = records.take_nuls() {
                    report_once("files that begin with NULs", || {
                        format!(
                            "{}: {nuls} NULs at its beginning are left out: a writer went on at its old place after the file was \
                             truncated (it should open it for appending)",
                            stamp.place
                        )
                    });
                }
                Ok(counted)
            }
            Cutter::Frames { deframer, signed, .. } => {
                if tail == Tail::End {
                    deframer.finish();
                }
                loop {
                    match deframer.step() {
                        Step::Frame(frame) => {
                            let end = frame_end(frame.raw().len(), sent);
                            if !signed.passes(&frame) {
                                counted.dropped += 1;
                                continue;
                            }
                            let cursor = stamp.cursor(end, &mut position);
                            put_passed_frame(out.buf(), frame.header_bytes(), frame.message(), cursor);
                            out.filled()?;
                            counted.records += 1;
                        }
                        Step::Gap(gap) => {
                            frame_end(gap.bytes as usize, sent);
                            report_gap(stamp.place, &gap);
                        }
                        Step::Incomplete => return Ok(counted),
                    }
                }
            }
        }
    }
}

/// Frames follow each other without a gap of their own: the end of one is the end of the last plus its length.
fn frame_end(len: usize, sent: &mut Option<u64>) -> u64 {
    let end = sent.unwrap_or(0) + len as u64;
    *sent = Some(end);
    end
}

/// A frame with its header kept (signatures stay valid) and our cursor after it, where there is room.
fn put_passed_frame(buf: &mut Vec<u8>, header: &[u8], message: &[u8], cursor: Option<CursorRef<'_>>) {
    let at = buf.len();
    buf.extend_from_slice(&[0x1e, 0]);
    buf.extend_from_slice(header);
    if let Some(cursor) = cursor.filter(|cursor| header.len() + cursor.encoded_len() + 3 <= MAX_HEADER_SIZE) {
        buf.push(0x7a);
        put_varint(buf, cursor.encoded_len() as u64);
        cursor.encode(buf);
    }
    buf[at + 1] = (buf.len() - at - 2) as u8;
    buf.push(0x1f);
    buf.extend_from_slice(message);
}
