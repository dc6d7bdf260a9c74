//! Checkpoint files: how far each stream has been delivered.
//!
//! ```json
//! {"streams":{"/var/log/nginx/access.log":{"sequence":90210,"position":"…base64…"}}}
//! ```
//!
//! Written whole to a temporary name, synced, renamed: a crash leaves the old one or the new one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::durable::{remove_leftovers, write_whole};
use super::lock::{Lock, target_of};
use super::output::describe;
use super::{Failure, Output};
use crate::stream::{CursorRef, Frame};

/// A committed cursor, without its stream's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    pub sequence: u64,
    pub position: Vec<u8>,
}

impl Mark {
    /// The cursor of a stream.
    pub fn cursor<'a>(&'a self, stream: &'a [u8]) -> CursorRef<'a> {
        CursorRef { stream, sequence: self.sequence, position: &self.position }
    }
}

/// The file and what it holds. Streams that are not advanced keep their entries.
pub struct Checkpoint {
    path: PathBuf,
    marks: BTreeMap<String, Mark>,
    changed: bool,
    /// Of a file that is written, not only read.
    lock: Option<Lock>,
}

impl Checkpoint {
    /// A file that is not there yet is an empty checkpoint.
    ///
    /// # Errors
    /// When it can't be read, or isn't a checkpoint: going on would repeat or lose data.
    pub fn load(path: &Path) -> Result<Checkpoint, Failure> {
        let marks = match fs::read(path) {
            Ok(bytes) => parse(&bytes).ok_or_else(|| {
                let words = "not a checkpoint file, or one of a later version; move it away to start anew";
                Failure::failed(format!("{}: {words}", path.display()))
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(Failure::failed(format!("{}: {}", path.display(), describe(&error)))),
        };
        Ok(Checkpoint { path: path.to_path_buf(), marks, changed: false, lock: None })
    }

    /// Loads a file to be written: no other process has it meanwhile, an older run can't put its older marks over newer
    /// ones. It is written at once, so that a disk that refuses it is known before anything is delivered.
    ///
    /// # Errors
    /// As [`Checkpoint::load`], and when another process uses the file or it can't be written.
    pub fn open(path: &Path) -> Result<Checkpoint, Failure> {
        let lock = Lock::beside(&target_of(path))?;
        remove_leftovers(path);
        let mut checkpoint = Checkpoint::load(path)?;
        checkpoint.lock = Some(lock);
        checkpoint.changed = true;
        checkpoint.save()?;
        Ok(checkpoint)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The streams that it has marks of.
    pub fn streams(&self) -> impl Iterator<Item = &str> {
        self.marks.keys().map(String::as_str)
    }

    pub fn mark(&self, stream: &str) -> Option<&Mark> {
        self.marks.get(stream)
    }

    /// Notes that everything of the stream up to this cursor is delivered. An older one changes nothing.
    pub fn advance(&mut self, cursor: &CursorRef<'_>) {
        let stream = String::from_utf8_lossy(cursor.stream);
        if let Some(mark) = self.marks.get_mut(stream.as_ref()) {
            if cursor.sequence > mark.sequence {
                mark.sequence = cursor.sequence;
                mark.position.clear();
                mark.position.extend_from_slice(cursor.position);
                self.changed = true;
            }
            return;
        }
        let mark = Mark { sequence: cursor.sequence, position: cursor.position.to_vec() };
        self.marks.insert(stream.into_owned(), mark);
        self.changed = true;
    }

    /// Writes the file if anything changed since the last time.
    pub fn save(&mut self) -> Result<(), Failure> {
        if !self.changed {
            return Ok(());
        }
        let streams: serde_json::Map<String, Json> = self
            .marks
            .iter()
            .map(|(stream, mark)| {
                (stream.clone(), json!({"sequence": mark.sequence, "position": STANDARD.encode(&mark.position)}))
            })
            .collect();
        write_whole(&self.path, format!("{}\n", json!({"streams": streams})).as_bytes())
            .map_err(|error| Failure::failed(format!("{}: {}", self.path.display(), describe(&error))))?;
        self.changed = false;
        Ok(())
    }
}

fn parse(bytes: &[u8]) -> Option<BTreeMap<String, Mark>> {
    let json: Json = serde_json::from_slice(bytes).ok()?;
    // There is no other version yet; one that is named is a later one.
    if json.get("version").is_some_and(|version| version != 1) {
        return None;
    }
    let mut marks = BTreeMap::new();
    for (stream, mark) in json.get("streams")?.as_object()? {
        let position = STANDARD.decode(mark.get("position")?.as_str()?).ok()?;
        marks.insert(stream.clone(), Mark { sequence: mark.get("sequence")?.as_u64()?, position });
    }
    Some(marks)
}

/// How often a checkpoint is written while messages keep coming.
pub const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// Commits cursors for a sink that delivers in order by writing to standard output.
pub struct Committer {
    checkpoint: Checkpoint,
    saved: Instant,
}

impl Committer {
    pub fn new(checkpoint: Checkpoint) -> Committer {
        Committer { checkpoint, saved: Instant::now() }
    }

    /// Notes a message whose output has been handed to `out`.
    pub fn delivered(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<(), Failure> {
        if let Some(cursor) = frame.header().cursor() {
            self.checkpoint.advance(&cursor);
        }
        if self.saved.elapsed() >= COMMIT_EVERY { self.commit(out) } else { Ok(()) }
    }

    /// Everything noted is written out, then committed.
    pub fn commit(&mut self, out: &mut Output) -> Result<(), Failure> {
        out.flush()?;
        self.saved = Instant::now();
        self.checkpoint.save()
    }
}
