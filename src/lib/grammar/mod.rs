//! Grammars of well-known formats, native: they take a line apart in one pass and know nothing of Lua.
//!
//! A grammar leaves what it found in [`Captures`]: for each value the place of its name in the grammar's list of
//! names, and the value as a range of the line or a number.

pub mod access_log;
pub mod date_time;
mod escapes;
pub mod ip_address;
pub mod rsyslog;
pub mod timestamp;
pub mod user_agent;

use std::rc::Rc;

/// A range of bytes of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub start: u32,
    pub end: u32,
}

impl Range {
    fn new(start: usize, end: usize) -> Range {
        Range { start: start as u32, end: end as u32 }
    }

    /// The bytes of the line; empty when the line is another than the one that was matched.
    pub fn of<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        line.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// What was found for one name.
#[derive(Clone, Debug, PartialEq)]
pub enum Captured {
    Text(Range),
    /// A text that stands for what the line has.
    Word(&'static str),
    Number(f64),
    /// Nanoseconds since 1970, more of them than a double holds.
    Time(i64),
    // Boxed: the others then need no destructor, and a list of them is thrown away for each line.
    Many(Box<Many>),
}

/// Several values in one.
#[derive(Clone, Debug, PartialEq)]
pub enum Many {
    /// A text that the line has with escapes.
    Unescaped(Vec<u8>),
    Texts(Vec<Range>),
    Numbers(Vec<f64>),
    /// Named parts.
    Record(Vec<(String, Captured)>),
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub struct Capture {
    /// Place in the grammar's list of names.
    pub name: usize,
    pub value: Captured,
    /// Empty where the format has none.
    pub representation: &'static str,
}

/// What a match found, to be used again for the next line.
#[derive(Default, Debug)]
pub struct Captures {
    pub list: Vec<Capture>,
    /// A bit for each of the first 64 names that is in the list; and whether any name may be there twice.
    seen: u64,
    repeated: bool,
    clock: date_time::ClfCache,
    /// What `list` is about: grammar, and address and length of the text; and where what was read of it ends.
    source: Option<(u32, usize, usize)>,
    pub end: usize,
}

impl Captures {
    /// Lets a grammar, known by its number, take a line apart.
    pub fn read(&mut self, grammars: &[Rc<dyn Grammar>], number: u32, line: &[u8]) -> Option<usize> {
        self.source = None;
        let end = grammars.get(number as usize)?.matches(line, self)?;
        self.source = Some((number, line.as_ptr() as usize, line.len()));
        self.end = end;
        Some(end)
    }

    /// Does it again, unless that is what was done last and nobody has called [`forget`](Self::forget) since.
    pub fn read_again(&mut self, grammars: &[Rc<dyn Grammar>], number: u32, line: &[u8]) {
        if self.source != Some((number, line.as_ptr() as usize, line.len())) {
            self.read(grammars, number, line);
        }
    }

    /// Lines that were read may be gone.
    pub fn forget(&mut self) {
        self.source = None;
    }

    /// The captures, but of those that have the same name the last one only.
    #[inline]
    pub fn last_of_each_name(&self) -> impl Iterator<Item = &Capture> {
        self.list.iter().enumerate().filter_map(|(at, capture)| {
            let again = self.repeated && self.list[at + 1..].iter().any(|later| later.name == capture.name);
            (!again).then_some(capture)
        })
    }

    /// The last capture of a name.
    pub fn last(&self, name: usize) -> Option<&Capture> {
        self.list.iter().rev().find(|capture| capture.name == name)
    }

    fn clear(&mut self) {
        self.list.clear();
        (self.seen, self.repeated) = (0, false);
    }

    #[inline]
    fn put(&mut self, name: usize, value: Captured, representation: &'static str) {
        let bit = 1u64.checked_shl(name as u32).unwrap_or(u64::MAX);
        self.repeated |= self.seen & bit != 0;
        self.seen |= bit;
        self.list.push(Capture { name, value, representation });
    }
}

/// Lines longer than this are not a line of any log; ranges hold 32 bits.
pub const MAX_LINE: usize = 1 << 30;

/// A format that has been compiled.
pub trait Grammar: Send + Sync {
    /// The names that captures refer to.
    fn names(&self) -> &[String];

    /// The place of `time` among the names: nanoseconds since 1970. One that no name has when there is none.
    fn time(&self) -> usize {
        self.names().iter().position(|name| name == "time").unwrap_or(usize::MAX)
    }

    /// Whether a text may have the format that is empty.
    fn nullable(&self) -> bool;

    /// Takes a line apart, and answers where what it read ends; `None` when the line doesn't have the format.
    fn matches(&self, line: &[u8], captures: &mut Captures) -> Option<usize>;

    /// Where a line doesn't have the format, for a person: `column 57: expected $status (a number), found "-"`.
    fn misfit(&self, _line: &[u8]) -> Option<String> {
        None
    }
}

/// Columns count from 1; of what is found there its beginning is shown.
pub fn misfit_at(line: &[u8], at: usize, expected: &str) -> String {
    const SHOWN: usize = 24;
    let rest = line.get(at..).unwrap_or_default();
    let found = match String::from_utf8_lossy(&rest[..rest.len().min(SHOWN)]) {
        _ if rest.is_empty() => "the end of the line".to_string(),
        text if rest.len() > SHOWN => format!("{text:?}…"),
        text => format!("{text:?}"),
    };
    format!("column {}: expected {expected}, found {found}", at + 1)
}

/// A format without names: it is matched, and that's all.
pub struct Plain(pub fn(&[u8]) -> Option<usize>);

impl Grammar for Plain {
    fn names(&self) -> &[String] {
        &[]
    }

    fn nullable(&self) -> bool {
        false
    }

    fn matches(&self, line: &[u8], captures: &mut Captures) -> Option<usize> {
        captures.clear();
        self.0(line)
    }
}
