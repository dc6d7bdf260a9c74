//! Messages in the bytes of a connection.
//!
//! Syslog's two framings (RFC 6587: octet counting and a line's end, RFC 5425: the first) are told apart message by
//! message; GELF's messages end with a zero byte; Heka's records are found by their separators.

use memchr::{memchr, memchr2};

use crate::stream::{Effort, Scanned, scan};

/// A count of ten digits, a blank, and a PRI of three.
const LONGEST_COUNT: usize = 16;

/// How messages are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Syslog,
    /// Up to a zero byte.
    Nul,
    /// Up to a zero byte or a line's end.
    NulOrLine,
    /// Up to a line's end.
    Line,
    /// Framed Heka messages.
    Heka,
}

/// A message of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    pub bytes: &'a [u8],
    /// More came, or was announced, than is there.
    pub truncated: bool,
}

/// What is passed over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Skip {
    Nothing,
    /// The rest of a counted message that is over the limit.
    Bytes(u64),
    /// The rest of a line that is over the limit.
    Line,
    /// The same, which another counted message may end, too.
    Lost,
}

/// The messages of one connection, in pieces as they are received.
pub struct Splitter {
    framing: Framing,
    limit: usize,
    pending: Vec<u8>,
    /// Bytes of `pending` that hold no end of a line.
    searched: usize,
    skip: Skip,
    /// Counted messages have come; and what comes now is none, though it should be: a count was wrong.
    counts: bool,
    lost: bool,
    /// Messages that came so, by the next count or a line's end.
    pub miscounted: u64,
    /// Bytes between Heka's records.
    pub garbage: u64,
    effort: Effort,
}

impl Splitter {
    /// No message gets longer than `limit` bytes.
    pub fn new(framing: Framing, limit: usize) -> Splitter {
        Splitter {
            framing,
            limit: limit.max(1),
            pending: Vec::new(),
            searched: 0,
            skip: Skip::Nothing,
            counts: false,
            lost: false,
            miscounted: 0,
            garbage: 0,
            effort: Effort::new(limit),
        }
    }

    /// Bytes of a message that isn't whole.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// What they take.
    pub fn kept(&self) -> usize {
        self.pending.capacity()
    }

    /// Takes bytes in, hands whole messages out.
    pub fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(Piece<'_>)) {
        if self.pending.is_empty() {
            let used = self.cut(bytes, &mut take);
            self.pending.extend_from_slice(&bytes[used..]);
            return;
        }
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(bytes);
        let used = self.cut(&pending, &mut take);
        pending.drain(..used);
        // An idle connection holds no memory, and one that was busy only what it needs.
        pending.shrink_to(2 * pending.len());
        self.pending = pending;
    }

    /// The connection has ended, or is `cut`: what is there is a message, though maybe not all of it.
    pub fn finish(&mut self, cut: bool, mut take: impl FnMut(Piece<'_>)) {
        let pending = std::mem::take(&mut self.pending);
        let lost = self.lost && self.searched > 0;
        self.searched = 0;
        if pending.is_empty() || self.skip != Skip::Nothing {
            return;
        }
        match self.framing {
            Framing::Heka => self.garbage += pending.len() as u64,
            Framing::Syslog if lost => self.hand_over_lost(&pending, cut, &mut take),
            Framing::Syslog => match counted(&pending) {
                Count::Octets { prefix, .. } => take(Piece { bytes: &pending[prefix..], truncated: true }),
                Count::Unknown | Count::None => self.hand_over(&pending, cut, &mut take),
            },
            Framing::Nul | Framing::NulOrLine | Framing::Line => self.hand_over(&pending, cut, &mut take),
        }
    }

    /// Hands out the messages of `bytes`; answers how many bytes are done.
    fn cut(&mut self, bytes: &[u8], take: &mut impl FnMut(Piece<'_>)) -> usize {
        let mut at = 0;
        if self.framing == Framing::Heka {
            loop {
                match scan(&bytes[at..], self.limit, &mut self.effort) {
                    (skipped, Scanned::Frame(frame)) => {
                        self.garbage += skipped as u64;
                        at += skipped + frame.raw().len();
                        take(Piece { bytes: frame.raw(), truncated: false });
                    }
                    (skipped, Scanned::Incomplete) => {
                        self.garbage += skipped as u64;
                        return at + skipped;
                    }
                }
            }
        }
        loop {
            let rest = &bytes[at..];
            match self.skip {
                Skip::Nothing => {}
                Skip::Bytes(left) => {
                    let passed = left.min(rest.len() as u64);
                    at += passed as usize;
                    self.skip = if passed < left { Skip::Bytes(left - passed) } else { Skip::Nothing };
                    if passed < left {
                        return at;
                    }
                    continue;
                }
                Skip::Line => match self.end_of_line(rest) {
                    None => return bytes.len(),
                    Some(end) => {
                        (at, self.skip) = (at + end + 1, Skip::Nothing);
                        continue;
                    }
                },
                Skip::Lost => match self.end_of_lost(rest, 0) {
                    // A count may have begun.
                    None => return bytes.len() - rest.len().min(LONGEST_COUNT),
                    Some((end, next)) => {
                        (at, self.skip) = (at + end.max(next), Skip::Nothing);
                        continue;
                    }
                },
            }
            if self.searched == 0 && self.framing == Framing::Syslog {
                // Between messages: some senders end counted ones with a line's end, too.
                at += rest.iter().take_while(|byte| b"\n\0\r".contains(byte)).count();
            }
            let rest = &bytes[at..];
            if rest.is_empty() {
                return at;
            }
            let count = if self.framing == Framing::Syslog && self.searched == 0 { counted(rest) } else { Count::None };
            match count {
                Count::Unknown => return at,
                Count::Octets { prefix, octets } => {
                    self.counts = true;
                    let wanted = octets.min(self.limit as u64) as usize;
                    let Some(message) = rest.get(prefix..prefix + wanted) else { return at };
                    let truncated = octets > wanted as u64;
                    // Some senders count a line's end in.
                    take(Piece { bytes: if truncated { message } else { trimmed(message) }, truncated });
                    at += prefix + wanted;
                    if octets > wanted as u64 {
                        self.skip = Skip::Bytes(octets - wanted as u64);
                    }
                }
                Count::None => {
                    if self.searched == 0 {
                        self.lost = self.counts && rest.first() != Some(&b'<');
                    }
                    if self.lost {
                        let from = self.searched.saturating_sub(LONGEST_COUNT);
                        if let Some((end, next)) = self.end_of_lost(rest, from) {
                            self.hand_over_lost(&rest[..end], false, take);
                            at += next;
                        } else if rest.len() > self.limit + 1 + LONGEST_COUNT {
                            self.hand_over_lost(rest, true, take);
                            self.skip = Skip::Lost;
                            return bytes.len() - LONGEST_COUNT;
                        } else {
                            self.searched = rest.len();
                            return at;
                        }
                        continue;
                    }
                    match self.end_of_line(&rest[self.searched..]) {
                        Some(end) => {
                            let end = self.searched + end;
                            self.searched = 0;
                            self.hand_over(&rest[..end], false, take);
                            at += end + 1;
                        }
                        // One more may be the "\r" of its end.
                        None if rest.len() > self.limit + 1 => {
                            self.searched = 0;
                            self.hand_over(rest, true, take);
                            self.skip = Skip::Line;
                            return bytes.len();
                        }
                        None => {
                            self.searched = rest.len();
                            return at;
                        }
                    }
                }
            }
        }
    }

    /// Where what a wrong count has left ends, and where the next message begins: at a line's end, or at the next count. There is
    /// none before `from`.
    fn end_of_lost(&self, rest: &[u8], from: usize) -> Option<(usize, usize)> {
        let line = self.end_of_line(&rest[from..]).map(|end| from + end);
        let text = &rest[..line.unwrap_or(rest.len())];
        let next = memchr::memmem::find_iter(&text[from..], b" <").map(|blank| from + blank).find_map(|blank| {
            let digits = text[..blank].iter().rev().take(10).take_while(|byte| byte.is_ascii_digit()).count();
            let digits = &text[blank - digits..blank];
            let start = blank - digits.len() + digits.iter().take_while(|byte| **byte == b'0').count();
            (start > 0 && matches!(counted(&text[start..]), Count::Octets { .. })).then_some(start)
        });
        next.map(|start| (start, start)).or(line.map(|end| (end, end + 1)))
    }

    /// What was left, without a count that was none.
    fn hand_over_lost(&mut self, piece: &[u8], cut: bool, take: &mut impl FnMut(Piece<'_>)) {
        self.searched = 0;
        self.miscounted += 1;
        let digits = piece.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let piece = match &piece[digits..] {
            [b' ', message @ ..] if message.first() == Some(&b'<') => message,
            _ => piece,
        };
        self.hand_over(piece, cut, take);
    }

    fn end_of_line(&self, bytes: &[u8]) -> Option<usize> {
        match self.framing {
            Framing::Nul => memchr(0, bytes),
            Framing::Line => memchr(b'\n', bytes),
            _ => memchr2(b'\n', 0, bytes),
        }
    }

    fn hand_over(&self, line: &[u8], cut: bool, take: &mut impl FnMut(Piece<'_>)) {
        let line = if self.framing == Framing::Nul { line } else { line.strip_suffix(b"\r").unwrap_or(line) };
        let bytes = line.get(..self.limit).unwrap_or(line);
        if !bytes.is_empty() {
            take(Piece { bytes, truncated: cut || bytes.len() < line.len() });
        }
    }
}

/// A message without the line's end or the zero byte that may stand behind it.
pub fn trimmed(message: &[u8]) -> &[u8] {
    let end = message.iter().rposition(|byte| !b"\n\r\0".contains(byte)).map_or(0, |last| last + 1);
    message.get(..end).unwrap_or(message)
}

enum Count {
    /// A message of so many octets comes after the prefix.
    Octets {
        prefix: usize,
        octets: u64,
    },
    /// It takes more bytes to know.
    Unknown,
    None,
}

/// `LEN SP`, at most ten digits, before a `<PRI>` that is within so many octets: every message begins with one that is sent
/// so. A line of text may begin `54 <1 minute`.
fn counted(bytes: &[u8]) -> Count {
    if !matches!(bytes.first(), Some(b'1'..=b'9')) {
        return Count::None;
    }
    let digits_from = |at: usize, most: usize| bytes[at..].iter().take(most).take_while(|b| b.is_ascii_digit()).count();
    let len = digits_from(0, 11);
    match (bytes.get(len), bytes.get(len + 1)) {
        _ if len > 10 => return Count::None,
        (None, _) | (Some(b' '), None) => return Count::Unknown,
        (Some(b' '), Some(b'<')) => {}
        _ => return Count::None,
    }
    let pri = digits_from(len + 2, 4);
    match bytes.get(len + 2 + pri) {
        None if pri < 4 => Count::Unknown,
        Some(b'>') if (1..=3).contains(&pri) => {
            let octets = bytes[..len].iter().fold(0, |sum, digit| sum * 10 + (digit - b'0') as u64);
            if octets < pri as u64 + 2 { Count::None } else { Count::Octets { prefix: len + 1, octets } }
        }
        _ => Count::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The messages of a connection that is received in pieces of `chunk` bytes; a `+` marks truncated ones.
    fn split(framing: Framing, limit: usize, bytes: &[u8], chunk: usize) -> Vec<String> {
        let mut splitter = Splitter::new(framing, limit);
        let mut found = Vec::new();
        let mut take = |piece: Piece<'_>| {
            found.push(String::from_utf8_lossy(piece.bytes).into_owned() + if piece.truncated { "+" } else { "" });
        };
        for part in bytes.chunks(chunk) {
            splitter.feed(part, &mut take);
        }
        splitter.finish(false, &mut take);
        assert_eq!(splitter.pending(), 0);
        found
    }

    #[test]
    fn both_framings_are_told_apart_message_by_message() {
        let cases: [(&str, &[&str]); 27] = [
            ("6 <13>a5 <13>b5 <13>c5 <13>d", &["<13>a5", "<13>b", "<13>c", "<13>d"]),
            ("9 <13>hell10 <13>world!10 <13>again!", &["<13>hell1", "<13>world!", "<13>again!"]),
            ("5 <13>ab\n5 <13>c", &["<13>a", "b", "<13>c"]),
            ("54 <1 minute elapsed\n<13>b\n", &["54 <1 minute elapsed", "<13>b"]),
            ("3 <13>a\n5 <13>b", &["3 <13>a", "<13>b"]),
            ("9 <1234>a\n", &["9 <1234>a"]),
            ("<13>a\n<13>b\n", &["<13>a", "<13>b"]),
            ("<13>a\r\n<13>b\r\n", &["<13>a", "<13>b"]),
            ("<13>a\0<13>b\n", &["<13>a", "<13>b"]),
            ("<13>a\0<13>b\r\n<13>c", &["<13>a", "<13>b", "<13>c"]),
            ("5 <13>a5 <13>b", &["<13>a", "<13>b"]),
            ("5 <13>a\n5 <13>b\n", &["<13>a", "<13>b"]),
            ("29 <13>1 - - - - - - hello worldx\n", &["<13>1 - - - - - - hello world", "x"]),
            ("9 <13>a\nb\nc", &["<13>a\nb\nc"]),
            ("6 <13>a\n5 <13>b", &["<13>a", "<13>b"]),
            ("50 <13>short", &["<13>short+"]),
            ("005 <13>a\n", &["005 <13>a"]),
            ("1_0 <13>hello!\n", &["1_0 <13>hello!"]),
            ("0 <13>a\n", &["0 <13>a"]),
            ("91: Jan\n<13>x\n", &["91: Jan", "<13>x"]),
            ("2019 is a year\n<13>x\n", &["2019 is a year", "<13>x"]),
            ("1000000000000000000 <13>a\n<13>b\n", &["1000000000000000000 <13>a", "<13>b"]),
            ("\n\r\n\0", &[]),
            ("12\n<13>a\n", &["12", "<13>a"]),
            ("12", &["12"]),
            ("12 ", &["12 "]),
            ("<13>", &["<13>"]),
        ];
        for (bytes, wanted) in cases {
            for chunk in [1, 2, 3, 7, 1000] {
                assert_eq!(split(Framing::Syslog, 100, bytes.as_bytes(), chunk), wanted, "{bytes:?} by {chunk}");
            }
        }
    }

    #[test]
    fn what_is_over_the_limit_is_cut_and_the_rest_passed_over() {
        let long = "z".repeat(70);
        for chunk in [1, 9, 1000] {
            let counted = format!("74 <13>{long}5 <13>a");
            let kept = format!("<13>{}+", "z".repeat(46));
            assert_eq!(split(Framing::Syslog, 50, counted.as_bytes(), chunk), [kept.as_str(), "<13>a"]);
            let line = format!("<13>{long}\n<13>a\n");
            assert_eq!(split(Framing::Syslog, 50, line.as_bytes(), chunk), [kept.as_str(), "<13>a"], "{chunk}");
            let endless = format!("9999999999 <13>{long}");
            assert_eq!(split(Framing::Syslog, 50, endless.as_bytes(), chunk), [kept.as_str()]);
        }
    }

    #[test]
    fn gelf_ends_with_a_zero_byte() {
        assert_eq!(split(Framing::Nul, 50, b"{\n}\0{}\0\0{", 2), ["{\n}", "{}", "{"]);
        assert_eq!(split(Framing::NulOrLine, 50, b"{}\n{}\0\n", 2), ["{}", "{}"]);
    }

    proptest! {
        #[test]
        fn pieces_don_t_matter(bytes in "([0-9]{1,3} |<|<13>|[a-c\\n\\r\\x00]){0,60}", chunk in 1usize..20, limit in 1usize..40) {
            for framing in [Framing::Syslog, Framing::Nul, Framing::NulOrLine, Framing::Line, Framing::Heka] {
                let whole = split(framing, limit, bytes.as_bytes(), usize::MAX);
                prop_assert_eq!(split(framing, limit, bytes.as_bytes(), chunk), whole);
            }
        }
    }
}
