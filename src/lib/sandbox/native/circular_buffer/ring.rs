//! The ring itself: what the userdata holds, and where a time's row is.

use std::mem::size_of;

pub const NAME: usize = 15;
pub const UNIT: usize = 7;
pub const NS: f64 = 1e9;

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Aggregation {
    Sum,
    Min,
    Max,
    None,
}

impl Aggregation {
    pub const ALL: [(&'static str, Aggregation); 4] =
        [("sum", Aggregation::Sum), ("min", Aggregation::Min), ("max", Aggregation::Max), ("none", Aggregation::None)];

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, aggregation)| *aggregation == self).map_or("sum", |(name, _)| name)
    }
}

#[repr(C)]
pub struct Column {
    pub name: [u8; NAME + 1],
    pub unit: [u8; UNIT + 1],
    pub aggregation: Aggregation,
}

/// A text of at most so many bytes, the rest zeros.
pub fn text_of(text: &[u8]) -> &[u8] {
    &text[..text.iter().position(|byte| *byte == 0).unwrap_or(text.len())]
}

pub fn put_text<const N: usize>(slot: &mut [u8; N], text: &[u8], allowed: impl Fn(u8) -> bool) {
    *slot = [0; N];
    for (to, from) in slot[..N - 1].iter_mut().zip(text) {
        *to = if allowed(*from) { *from } else { b'_' };
    }
}

#[repr(C)]
pub struct Head {
    pub rows: usize,
    pub columns: usize,
    pub seconds: i64,
    /// The start of the newest row, in seconds since 1970.
    pub newest: i64,
    /// Its place in the ring.
    pub newest_row: usize,
    pub delta: bool,
    /// Print deltas instead of the window.
    pub as_delta: bool,
}

/// What a buffer consists of.
pub struct Buffer<'a> {
    pub head: &'a mut Head,
    pub columns: &'a mut [Column],
    pub values: &'a mut [f64],
}

pub const fn values_offset(columns: usize) -> usize {
    (size_of::<Head>() + columns * size_of::<Column>()).next_multiple_of(8)
}

/// A time without its fraction. Far away ones are cut, so that nothing overflows.
pub fn whole_seconds(seconds: f64) -> i64 {
    const FARTHEST: f64 = 1e15;
    seconds.clamp(-FARTHEST, FARTHEST) as i64
}

impl Buffer<'_> {
    /// # Safety
    /// `head` is a buffer that `new` or `from_string` wrote; it stays reachable, and there is one `Buffer` of it at a
    /// time.
    pub unsafe fn of<'a>(head: *mut Head) -> Buffer<'a> {
        // SAFETY: laid out so by `new`.
        unsafe {
            let (rows, columns) = ((*head).rows, (*head).columns);
            let base = head.cast::<u8>();
            Buffer {
                columns: std::slice::from_raw_parts_mut(base.add(size_of::<Head>()).cast(), columns),
                values: std::slice::from_raw_parts_mut(base.add(values_offset(columns)).cast(), rows * columns),
                head: &mut *head,
            }
        }
    }

    /// The start of the oldest row.
    pub fn oldest(&self) -> i64 {
        self.head.newest - self.head.seconds * (self.head.rows as i64 - 1)
    }

    /// The start of the row that a time belongs to.
    pub fn row_time(&self, ns: f64) -> i64 {
        let seconds = whole_seconds(ns / NS);
        seconds - seconds % self.head.seconds
    }

    /// The place in the ring of the row that begins at a time; `None` outside of the window.
    pub fn row(&self, time: i64) -> Option<usize> {
        if time > self.head.newest || time < self.oldest() {
            return None;
        }
        let back = ((self.head.newest - time) / self.head.seconds) as usize;
        Some((self.head.newest_row + self.head.rows - back) % self.head.rows)
    }

    /// The same; a time beyond the newest row moves the window on.
    pub fn row_or_advance(&mut self, time: i64) -> Option<usize> {
        if time > self.head.newest {
            let steps = ((time - self.head.newest) / self.head.seconds) as usize;
            let (rows, columns) = (self.head.rows, self.head.columns);
            for step in 1..=steps.min(rows) {
                let row = (self.head.newest_row + step) % rows;
                self.values[row * columns..(row + 1) * columns].fill(f64::NAN);
            }
            self.head.newest_row = (self.head.newest_row + steps % rows) % rows;
            self.head.newest = time;
        }
        self.row(time)
    }

    pub fn cell(&mut self, row: usize, column: usize) -> &mut f64 {
        &mut self.values[row * self.head.columns + column]
    }

    /// The values of a column from one time to another, both included.
    pub fn range(&self, column: usize, start: i64, end: i64) -> Option<impl Iterator<Item = f64> + Clone> {
        let first = self.row(start)?;
        self.row(end)?;
        let count = ((end - start) / self.head.seconds + 1).max(0) as usize;
        let (rows, columns) = (self.head.rows, self.head.columns);
        let values: &[f64] = self.values;
        Some((0..count).map(move |step| values[(first + step) % rows * columns + column]))
    }
}
