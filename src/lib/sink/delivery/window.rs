//! Which batches are delivered, and how far the cursors may be committed.
//!
//! Batches are delivered in any order; a cursor is committed when everything before it is delivered.

use std::collections::VecDeque;

use crate::pipeline::{Checkpoint, Failure, Mark};

/// Names a batch in its window; a later one has a greater ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

struct Entry {
    /// Parts of the batch that are not delivered; it may have been split.
    outstanding: usize,
    /// Some of it was given up: nothing after it may be committed.
    lost: bool,
    /// The newest cursor of each stream.
    marks: Vec<(Vec<u8>, Mark)>,
    /// Where the batch lies until all of it is delivered.
    file: Option<String>,
}

/// The batches under way, oldest first.
#[derive(Default)]
pub struct Window {
    entries: VecDeque<Entry>,
    /// Ticket of the oldest entry.
    first: u64,
}

impl Window {
    /// A new batch of one part.
    pub fn open(&mut self, marks: Vec<(Vec<u8>, Mark)>) -> Ticket {
        self.push(Entry { outstanding: 1, lost: false, marks, file: None })
    }

    /// A batch of one part that lies in a file of a spool.
    pub fn open_file(&mut self, file: String) -> Ticket {
        self.push(Entry { outstanding: 1, lost: false, marks: Vec::new(), file: Some(file) })
    }

    fn push(&mut self, entry: Entry) -> Ticket {
        self.entries.push_back(entry);
        Ticket(self.first + self.entries.len() as u64 - 1)
    }

    /// Where a batch lies.
    pub fn file(&mut self, ticket: Ticket) -> Option<&str> {
        self.entry(ticket)?.file.as_deref()
    }

    fn entry(&mut self, ticket: Ticket) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(ticket.0.checked_sub(self.first)?).ok()?)
    }

    /// The batch has one more part.
    pub fn split(&mut self, ticket: Ticket) {
        if let Some(entry) = self.entry(ticket) {
            entry.outstanding += 1;
        }
    }

    /// A part is delivered, or safe in a dead-letter file. Answers the batch's file when it was the last part.
    pub fn delivered(&mut self, ticket: Ticket, checkpoint: Option<&mut Checkpoint>) -> Option<String> {
        let file = self.entry(ticket).and_then(|entry| {
            entry.outstanding = entry.outstanding.saturating_sub(1);
            if entry.outstanding == 0 && !entry.lost { entry.file.take() } else { None }
        });
        let mut checkpoint = checkpoint;
        while let Some(entry) = self.entries.front().filter(|entry| entry.outstanding == 0 && !entry.lost) {
            if let Some(checkpoint) = &mut checkpoint {
                for (stream, mark) in &entry.marks {
                    checkpoint.advance(&mark.cursor(stream));
                }
            }
            self.entries.pop_front();
            self.first += 1;
        }
        file
    }

    /// A part was given up.
    pub fn lost(&mut self, ticket: Ticket) {
        if let Some(entry) = self.entry(ticket) {
            entry.lost = true;
            entry.outstanding = entry.outstanding.saturating_sub(1);
        }
    }

    /// Whether no part is under way any more, or held.
    pub fn is_idle(&self) -> bool {
        self.entries.iter().all(|entry| entry.outstanding == 0)
    }
}

/// Writes a checkpoint that may not be there.
pub fn save(checkpoint: &mut Option<Checkpoint>) -> Result<(), Failure> {
    checkpoint.as_mut().map_or(Ok(()), Checkpoint::save)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_committed_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let mut checkpoint = Checkpoint::load(&directory.path().join("c")).unwrap();
        let mut window = Window::default();
        let mark = |sequence| vec![(b"s".to_vec(), Mark { sequence, position: Vec::new() })];
        let tickets: Vec<Ticket> = (1..=4).map(|sequence| window.open(mark(sequence))).collect();
        let committed = |checkpoint: &Checkpoint| checkpoint.mark("s").map(|mark| mark.sequence);

        window.split(tickets[0]);
        window.delivered(tickets[1], Some(&mut checkpoint));
        window.delivered(tickets[0], Some(&mut checkpoint));
        assert_eq!(committed(&checkpoint), None);
        window.delivered(tickets[0], Some(&mut checkpoint));
        assert_eq!(committed(&checkpoint), Some(2));
        window.lost(tickets[2]);
        window.delivered(tickets[3], Some(&mut checkpoint));
        assert_eq!(committed(&checkpoint), Some(2));
        assert!(window.is_idle());
    }
}
