//! From bytes to frames: finds records, resynchronises after garbage, says what was skipped.
//!
//! [`Deframer`] does no I/O: its owner reads into [`Deframer::space`] and asks for the next [`Step`].
//! A frame is taken only if its header parses and its message is one (shallowly), so a record whose
//! length byte was hit by chance inside garbage does not swallow good ones.

use super::cursor::CursorRef;
use crate::message::wire::{LEN, Reader, VARINT};
use crate::message::{MessageView, Shape};

/// What every record begins with.
const RECORD_SEPARATOR: u8 = 0x1e;
const UNIT: u8 = 0x1f;
const BUFFER: usize = 256 * 1024;

/// The fields of a frame's header, read in place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header<'a> {
    pub message_length: usize,
    /// 0 MD5, 1 SHA1.
    pub hash_function: u64,
    pub signer: Option<&'a [u8]>,
    pub key_version: u32,
    pub hmac: Option<&'a [u8]>,
    pub(super) cursor: Option<&'a [u8]>,
}

/// Whether content that begins so is a stream: a separator, a header that can be read, and a message that begins with its Uuid.
pub fn begins_record(content: &[u8]) -> bool {
    let [RECORD_SEPARATOR, len, rest @ ..] = content else { return false };
    let Some((header, rest)) = rest.split_at_checked(*len as usize) else { return false };
    Header::parse(header).is_some() && rest.starts_with(&[UNIT, 0x0a, 16])
}

impl<'a> Header<'a> {
    /// `None` unless all of it parses and `message_length` comes first, as every reader needs it.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        if bytes.first() != Some(&0x08) {
            return None;
        }
        let mut header = Header::default();
        let mut reader = Reader::new(bytes);
        reader.take(0x08);
        header.message_length = usize::try_from(reader.varint()?).ok()?;
        // Nearly all have nothing more, or a cursor.
        header.cursor = reader.element(15 << 3 | LEN);
        while !reader.is_empty() {
            match reader.tag()? {
                (1, VARINT) => header.message_length = usize::try_from(reader.varint()?).ok()?,
                (3, VARINT) => header.hash_function = reader.varint()?,
                (4, LEN) => header.signer = Some(reader.bytes()?),
                (5, VARINT) => header.key_version = reader.varint()? as u32,
                (6, LEN) => header.hmac = Some(reader.bytes()?),
                (15, LEN) => header.cursor = Some(reader.bytes()?),
                (1 | 3..=6 | 15, _) => return None,
                (_, wire) => reader.skip(wire)?,
            }
        }
        Some(header)
    }

    /// Whether there is one, well-formed or not.
    pub fn has_cursor(&self) -> bool {
        self.cursor.is_some()
    }

    pub fn cursor(&self) -> Option<CursorRef<'a>> {
        CursorRef::parse(self.cursor?)
    }
}

/// One record, as it stands in the reader's buffer.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    raw: &'a [u8],
    header_len: usize,
    shape: Shape,
}

impl<'a> Frame<'a> {
    /// Takes apart a slice that holds exactly one frame.
    pub fn parse(raw: &'a [u8]) -> Option<Self> {
        let header_len = *raw.get(1)? as usize;
        let header = Header::parse(raw.get(2..2 + header_len)?)?;
        let message = raw.get(3 + header_len..)?;
        if raw[0] != RECORD_SEPARATOR || raw[2 + header_len] != UNIT || message.len() != header.message_length {
            return None;
        }
        Some(Frame { raw, header_len, shape: Shape::of(message)? })
    }

    /// The whole record, to be passed on byte for byte.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    pub fn header_bytes(&self) -> &'a [u8] {
        &self.raw[2..2 + self.header_len]
    }

    pub fn header(&self) -> Header<'a> {
        Header::parse(self.header_bytes()).unwrap_or_default()
    }

    pub fn message(&self) -> &'a [u8] {
        &self.raw[3 + self.header_len..]
    }

    #[inline]
    pub fn view(&self) -> MessageView<'a> {
        MessageView::with_shape(self.message(), self.shape)
    }
}

/// The frames of a buffer that holds whole frames, one after the other, and nothing else.
pub struct Frames<'a>(pub &'a [u8]);

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        if self.0.first() != Some(&RECORD_SEPARATOR) {
            return None;
        }
        // They were found by a deframer: each is whole.
        let mut effort = Effort::new(self.0.len());
        let Head::Complete { header_len, total, shape } = examine(self.0, usize::MAX / 2, &mut effort) else {
            return None;
        };
        let (raw, rest) = self.0.split_at(total);
        self.0 = rest;
        Some(Frame { raw, header_len, shape })
    }
}

/// Bytes between records that are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Where it begins in the input.
    pub offset: u64,
    pub bytes: u64,
    pub reason: GapReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// No record begins there.
    Garbage,
    /// A record announces a message of that many bytes, more than the limit.
    TooLarge(u64),
    /// The input ended inside a record.
    Truncated,
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Gap { offset, bytes, reason } = self;
        match reason {
            GapReason::Garbage => write!(f, "skipped {bytes} bytes at offset {offset}: not a Heka record"),
            GapReason::TooLarge(size) => write!(
                f,
                "skipped {bytes} bytes at offset {offset}: a message of {size} bytes is over --max-message-size"
            ),
            GapReason::Truncated => {
                write!(
                    f,
                    "the input ends inside a record: the last {bytes} bytes, from offset {offset}, are incomplete"
                )
            }
        }
    }
}

/// What comes next in the buffer.
pub enum Step<'a> {
    Frame(Frame<'a>),
    /// Reported once per gap, when it has ended.
    Gap(Gap),
    /// Nothing more without further bytes.
    Incomplete,
}

enum Head {
    Complete {
        header_len: usize,
        total: usize,
        shape: Shape,
    },
    Partial,
    Bad(GapReason),
    /// Not looked at: there is not effort enough.
    Unexamined,
}

/// How much looking at what is no record is worth: each byte that passes allows for some elements of messages that fail.
///
/// Bytes can be made in which a record seems to begin at every tenth, each as long as all that follows and wrong only at
/// its end: without a limit the search takes the square of their length, 45 s for 4 MB. With it, what is left unexamined
/// is passed over with the rest; that can only be a record right behind so many false ones.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    left: usize,
    most: usize,
    /// Up to where the input's bytes have counted.
    counted: u64,
    /// Elements that were looked at in vain.
    spent: usize,
}

/// Elements a byte.
const EFFORT: usize = 4;
/// What can be saved up at least.
const LEAST_EFFORT: usize = 1 << 16;

impl Effort {
    /// For messages up to such a length, each of which can be looked at to its end.
    pub fn new(max_message: usize) -> Effort {
        let most = max_message.max(LEAST_EFFORT);
        Effort { left: most, most, counted: 0, spent: 0 }
    }

    /// Elements that were looked at in vain: of `len` bytes at most [`Effort::bound`].
    pub fn spent(&self) -> usize {
        self.spent
    }

    /// What may be spent on so many bytes.
    pub fn bound(&self, len: usize) -> usize {
        self.most + EFFORT * len
    }

    #[inline]
    fn pass(&mut self, bytes: usize) {
        self.left = self.left.saturating_add(bytes.saturating_mul(EFFORT)).min(self.most);
    }

    /// The input has passed up to there. Good records are not counted one by one, but when it matters.
    fn pass_to(&mut self, offset: u64) {
        let bytes = offset.saturating_sub(self.counted);
        self.counted = offset;
        self.pass(usize::try_from(bytes).unwrap_or(usize::MAX));
    }

    /// An element has two bytes at least.
    #[inline]
    fn allows(&self, message: usize) -> bool {
        message / 2 <= self.left
    }

    fn spend(&mut self, elements: usize) {
        self.left = self.left.saturating_sub(elements);
        self.spent += elements;
    }
}

/// What bytes hold besides those that are none of a record.
pub enum Scanned<'a> {
    Frame(Frame<'a>),
    /// Nothing more without further bytes.
    Incomplete,
}

/// The first frame of some bytes, and how many stand before it that are none of a record.
pub fn scan<'a>(bytes: &'a [u8], max_message: usize, effort: &mut Effort) -> (usize, Scanned<'a>) {
    let mut at = 0;
    while let Some(skip) = memchr::memchr(RECORD_SEPARATOR, &bytes[at..]) {
        at += skip;
        effort.pass(skip + 1);
        match examine(&bytes[at..], max_message, effort) {
            Head::Complete { header_len, total, shape } => {
                effort.pass(total);
                return (at, Scanned::Frame(Frame { raw: &bytes[at..at + total], header_len, shape }));
            }
            Head::Partial => return (at, Scanned::Incomplete),
            Head::Bad(_) | Head::Unexamined => at += 1,
        }
    }
    (bytes.len(), Scanned::Incomplete)
}

/// Finds frames in a stream of bytes.
pub struct Deframer {
    buf: Vec<u8>,
    start: usize,
    end: usize,
    /// Offset in the input of `buf[start]`.
    offset: u64,
    max_message: usize,
    gap: Option<Gap>,
    at_end: bool,
    effort: Effort,
}

impl Deframer {
    /// Messages longer than `max_message` bytes are skipped as a gap.
    pub fn new(max_message: usize) -> Self {
        let effort = Effort::new(max_message);
        Deframer { buf: vec![0; BUFFER], start: 0, end: 0, offset: 0, max_message, gap: None, at_end: false, effort }
    }

    /// Room to read into; then say how much with [`Deframer::filled`]. Grows only as far as one frame needs.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buf.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buf.len() {
            // Only a frame whose header has been seen gets here, and its length has been checked.
            let wanted = (self.buf.len() * 2).min(self.max_message + BUFFER);
            self.buf.resize(wanted.max(self.end + 1), 0);
        }
        &mut self.buf[self.end..]
    }

    pub fn filled(&mut self, bytes: usize) {
        self.end = (self.end + bytes).min(self.buf.len());
    }

    /// Bytes that were read and not yet handed on.
    pub fn buffered(&self) -> usize {
        self.end - self.start
    }

    /// No more bytes will come: what is left is searched to its end and then reported.
    pub fn finish(&mut self) {
        self.at_end = true;
    }

    /// Begins another input in the same buffer.
    pub fn restart(&mut self) {
        (self.start, self.end, self.offset, self.gap, self.at_end) = (0, 0, 0, None, false);
        self.effort.counted = 0;
    }

    /// The next frame or gap in the buffer.
    #[inline]
    pub fn step(&mut self) -> Step<'_> {
        loop {
            let window = &self.buf[self.start..self.end];
            if window.is_empty() {
                return match self.at_end.then(|| self.gap.take()).flatten() {
                    Some(gap) => Step::Gap(gap),
                    None => Step::Incomplete,
                };
            }
            if window[0] != RECORD_SEPARATOR {
                let skip = memchr::memchr(RECORD_SEPARATOR, window).unwrap_or(window.len());
                self.skip(skip, GapReason::Garbage);
                continue;
            }
            match examine(window, self.max_message, &mut self.effort) {
                Head::Complete { header_len, total, shape } => {
                    if let Some(gap) = self.gap.take() {
                        return Step::Gap(gap);
                    }
                    let at = self.start;
                    self.start += total;
                    self.offset += total as u64;
                    return Step::Frame(Frame { raw: &self.buf[at..at + total], header_len, shape });
                }
                Head::Partial if !self.at_end => return Step::Incomplete,
                // A false record at the end may hide good ones behind it, so the search goes on inside.
                Head::Partial => self.skip(1, GapReason::Truncated),
                Head::Bad(reason) => self.skip(1, reason),
                // Good records may have passed since it was counted last.
                Head::Unexamined if self.effort.counted < self.offset => self.effort.pass_to(self.offset),
                Head::Unexamined => self.skip(1, GapReason::Garbage),
            }
        }
    }

    fn skip(&mut self, bytes: usize, reason: GapReason) {
        let gap = self.gap.get_or_insert(Gap { offset: self.offset, bytes: 0, reason });
        gap.bytes += bytes as u64;
        self.start += bytes;
        self.offset += bytes as u64;
        self.effort.pass_to(self.offset);
    }
}

/// Looks at a window that begins with a record separator.
#[inline]
fn examine(window: &[u8], max_message: usize, effort: &mut Effort) -> Head {
    let Some(&header_len) = window.get(1) else { return Head::Partial };
    let header_len = header_len as usize;
    match window.get(2 + header_len) {
        None => return Head::Partial,
        Some(&UNIT) => {}
        Some(_) => return Head::Bad(GapReason::Garbage),
    }
    let Some(header) = Header::parse(&window[2..2 + header_len]) else { return Head::Bad(GapReason::Garbage) };
    if header.message_length == 0 {
        return Head::Bad(GapReason::Garbage);
    }
    if header.message_length > max_message {
        return Head::Bad(GapReason::TooLarge(header.message_length as u64));
    }
    let total = 3 + header_len + header.message_length;
    match window.get(3 + header_len..total) {
        None => Head::Partial,
        Some(message) if effort.allows(message.len()) => match Shape::try_of(message) {
            Ok(shape) => Head::Complete { header_len, total, shape },
            Err(elements) => {
                effort.spend(elements);
                Head::Bad(GapReason::Garbage)
            }
        },
        Some(_) => Head::Unexamined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The specification's smallest record: 33 bytes of message, 38 in all.
    fn good() -> Vec<u8> {
        let mut record = vec![0x1e, 2, 8, 0x21, 0x1f, 0x0a, 0x10];
        record.extend(0xa0..=0xaf);
        record.extend([0x10, 0x80, 0x80, 0xa8, 0xb1, 0xe3, 0x9f, 0xe7, 0xcb, 0x17]);
        record.extend([0x1a, 3, b'c', b't', b'l']);
        record
    }

    /// Units in which a record seems to begin, as long as all that follows and wrong at its end: an unknown field of eight
    /// bytes, which hold a header.
    fn hostile(len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 10);
        while bytes.len() < len {
            let left = (len - bytes.len() + 3).min((4 << 20) - 1);
            let size =
                [left as u8 | 0x80, (left >> 7) as u8 | 0x80, (left >> 14) as u8 | 0x80, (left >> 21) as u8 & 0x7f];
            bytes.extend([0x5a, 8, RECORD_SEPARATOR, 5, 8]);
            bytes.extend(size);
            bytes.push(UNIT);
        }
        bytes
    }

    #[test]
    fn hostile_bytes_take_time_in_proportion() {
        let mut each = Vec::new();
        for megabytes in [1, 4, 16] {
            let mut input = hostile(megabytes << 20);
            input.extend(good());
            let mut deframer = Deframer::new(4 << 20);
            let (mut rest, mut frames, mut ended) = (&input[..], 0, false);
            loop {
                match deframer.step() {
                    Step::Frame(_) => frames += 1,
                    Step::Gap(_) => {}
                    Step::Incomplete if ended => break,
                    Step::Incomplete if rest.is_empty() => {
                        deframer.finish();
                        ended = true;
                    }
                    Step::Incomplete => {
                        let space = deframer.space();
                        let part = space.len().min(rest.len());
                        space[..part].copy_from_slice(&rest[..part]);
                        deframer.filled(part);
                        rest = &rest[part..];
                    }
                }
            }
            // The honest record behind them is found.
            assert_eq!(frames, 1, "{megabytes} MB");
            each.push(deframer.effort.spent as f64 / input.len() as f64);
        }
        assert!(each.iter().all(|elements| *elements <= EFFORT as f64 + 4.0), "{each:?} elements a byte");
        // What a connection sends.
        let input = hostile(1 << 20);
        let mut effort = Effort::new(64 << 10);
        let (skipped, _) = scan(&input, 64 << 10, &mut effort);
        assert!(skipped > 0 && effort.spent < 5 * input.len(), "{}", effort.spent);
    }

    /// Everything that a deframer says of `input`, fed in chunks: (frames, skipped bytes, gaps).
    fn run(input: &[u8], chunk: usize, max: usize) -> (Vec<Vec<u8>>, u64, usize) {
        let mut deframer = Deframer::new(max);
        let (mut frames, mut skipped, mut gaps) = (Vec::new(), 0, 0);
        let mut chunks = input.chunks(chunk.max(1));
        loop {
            match deframer.step() {
                Step::Frame(frame) => frames.push(frame.raw().to_vec()),
                Step::Gap(gap) => {
                    skipped += gap.bytes;
                    gaps += 1;
                }
                Step::Incomplete => match chunks.next() {
                    Some(part) => {
                        let space = deframer.space();
                        space[..part.len()].copy_from_slice(part);
                        deframer.filled(part.len());
                    }
                    None if deframer.at_end => return (frames, skipped, gaps),
                    None => deframer.finish(),
                },
            }
        }
    }

    #[test]
    fn garbage_is_skipped_and_counted_once_per_gap() {
        let g = good();
        let too_large = [0x1e, 4, 8, 0x81, 0x80, 4, 0x1f];
        let cases: [(&[u8], u64); 7] = [
            (b"abc\x1e\x02xyz", 8),
            (&[0x1e, 2, 8, 0x3e, 0xff], 5),
            (&[0x1e, 0, 0x1f], 3),
            (&[0x1e, 2, 8, 0, 0x1f], 5),
            (&too_large, 7),
            (&[0x1e, 2, 8, 10, 0x1f], 5),
            (b"hello", 5),
        ];
        for (garbage, expected) in cases {
            for chunk in [1, 7, 4096] {
                let input = [garbage, &g, &g].concat();
                let (frames, skipped, gaps) = run(&input, chunk, 65_536);
                assert_eq!((frames.len(), skipped, gaps), (2, expected, 1), "{garbage:?} by {chunk}");
            }
        }
    }

    #[test]
    fn a_cut_last_record_is_reported_and_hides_nothing() {
        let g = good();
        assert_eq!(run(&[&g[..], &g[..20]].concat(), 9, 65_536), (vec![g.clone()], 20, 1));
        // A false head that announces far more than there is, in front of a good record.
        let input = [&[0x1e, 4, 8, 0x80, 0x80, 2, 0x1f][..], &g].concat();
        assert_eq!(run(&input, 9, 65_536), (vec![g], 7, 1));
    }

    #[test]
    fn the_limit_is_exact() {
        let g = good();
        assert_eq!(run(&g, 5, 33).0.len(), 1);
        assert_eq!(run(&g, 5, 32).0.len(), 0);
    }

    #[test]
    fn a_megabyte_of_separators_costs_linear_time() {
        let input = vec![0x1e; 1 << 20];
        let (frames, skipped, gaps) = run(&input, 65_536, 65_536);
        assert_eq!((frames.len(), skipped, gaps), (0, 1 << 20, 1));
    }

    proptest! {
        #[test]
        fn every_byte_is_in_a_frame_or_a_gap(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just(good()),
                    proptest::collection::vec(any::<u8>(), 0..40),
                    proptest::collection::vec(prop_oneof![Just(0x1eu8), Just(0x1f), Just(8), 0u8..20], 0..40),
                ],
                0..12,
            ),
            chunk in 1usize..200,
        ) {
            let input = parts.concat();
            let (frames, skipped, _) = run(&input, chunk, 65_536);
            let in_frames: usize = frames.iter().map(Vec::len).sum();
            prop_assert_eq!(in_frames as u64 + skipped, input.len() as u64);
            prop_assert_eq!(&frames, &run(&input, input.len().clamp(1, 4096), 65_536).0);
        }
    }
}
