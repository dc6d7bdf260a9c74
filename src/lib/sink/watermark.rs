//! How far cursors may be committed when messages are delivered in groups, out of order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::pipeline::{Checkpoint, Mark};
use crate::stream::CursorRef;

/// The newest cursor of each stream.
#[derive(Clone, Debug, Default)]
pub struct Marks(BTreeMap<Vec<u8>, Mark>);

impl Marks {
    /// Notes a message's cursor; without allocating when the stream is known.
    pub fn note(&mut self, cursor: &CursorRef<'_>) {
        let mark = match self.0.get_mut(cursor.stream) {
            Some(mark) => mark,
            None => self.0.entry(cursor.stream.to_vec()).or_default(),
        };
        mark.sequence = cursor.sequence;
        mark.position.clear();
        mark.position.extend_from_slice(cursor.position);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn into_vec(self) -> Vec<(Vec<u8>, Mark)> {
        self.0.into_iter().collect()
    }

    /// Everything up to them is delivered.
    pub fn commit(&self, checkpoint: &mut Checkpoint) {
        for (stream, mark) in &self.0 {
            checkpoint.advance(&mark.cursor(stream));
        }
    }
}

/// Numbers messages as they come, and knows the lowest that isn't safe: what comes before it may be committed.
#[derive(Default)]
pub struct Watermark {
    messages: u64,
    marks: Marks,
    /// The first message of each group that isn't safe.
    unsafe_from: BTreeSet<u64>,
    /// Where the cursors stood after so many messages.
    snapshots: VecDeque<(u64, Marks)>,
}

impl Watermark {
    /// A message has come; answers its number.
    pub fn message(&mut self, cursor: Option<CursorRef<'_>>) -> u64 {
        self.messages += 1;
        if let Some(cursor) = cursor {
            self.marks.note(&cursor);
        }
        self.messages
    }

    /// A group begins with that message.
    pub fn begin(&mut self, first: u64) {
        self.unsafe_from.insert(first);
    }

    /// A group is full: this is a place where cursors may be committed later.
    pub fn end(&mut self) {
        if !self.marks.is_empty() && self.snapshots.back().is_none_or(|(messages, _)| *messages < self.messages) {
            self.snapshots.push_back((self.messages, self.marks.clone()));
        }
    }

    /// The group that began with that message is safe.
    pub fn safe(&mut self, first: u64, checkpoint: Option<&mut Checkpoint>) {
        self.unsafe_from.remove(&first);
        let lowest = self.unsafe_from.first().copied().unwrap_or(u64::MAX);
        let mut newest = None;
        while self.snapshots.front().is_some_and(|(messages, _)| *messages < lowest) {
            newest = self.snapshots.pop_front();
        }
        if let (Some((_, marks)), Some(checkpoint)) = (newest, checkpoint) {
            marks.commit(checkpoint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_committed_before_what_came_earlier_is_safe() {
        let directory = tempfile::tempdir().unwrap();
        let mut checkpoint = Checkpoint::load(&directory.path().join("c")).unwrap();
        let committed = |checkpoint: &Checkpoint| checkpoint.mark("s").map(|mark| mark.sequence);
        let mut watermark = Watermark::default();
        let message = |watermark: &mut Watermark, sequence| {
            watermark.message(Some(CursorRef { stream: b"s", sequence, position: b"" }))
        };
        // Two groups, their messages in turn.
        let a = message(&mut watermark, 10);
        watermark.begin(a);
        let b = message(&mut watermark, 11);
        watermark.begin(b);
        message(&mut watermark, 12);
        watermark.end();
        watermark.safe(b, Some(&mut checkpoint));
        assert_eq!(committed(&checkpoint), None);
        let c = message(&mut watermark, 13);
        watermark.begin(c);
        watermark.end();
        watermark.safe(a, Some(&mut checkpoint));
        assert_eq!(committed(&checkpoint), Some(12));
        watermark.safe(c, Some(&mut checkpoint));
        assert_eq!(committed(&checkpoint), Some(13));
    }
}
