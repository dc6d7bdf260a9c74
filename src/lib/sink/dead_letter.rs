//! Messages that are given up on, kept as a stream that can be sent later.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::message::{MessageBuilder, encode_canonical, now_ns};
use crate::pipeline::{Failure, describe, report_once};
use crate::stream::{Frame, Frames, put_frame};

/// What can't be delivered, in the file of `--backup` or, if there is none, only counted.
pub struct DeadLetters {
    /// Who gives up: the beginning of the fields' names.
    sink: &'static str,
    path: Option<PathBuf>,
    /// In a directory it is made when there is something to keep.
    file: Option<File>,
}

impl DeadLetters {
    /// A file is appended to; in a directory each run makes a file of its own, if it has to.
    ///
    /// # Errors
    /// When the file can't be opened.
    pub fn open(backup: Option<&Path>, sink: &'static str) -> Result<DeadLetters, Failure> {
        let mut letters = DeadLetters { sink, path: backup.map(Path::to_path_buf), file: None };
        if let Some(path) = backup.filter(|path| !path.is_dir()) {
            letters.file = Some(append_to(path)?);
        }
        Ok(letters)
    }

    /// Whether they are kept.
    pub fn are_kept(&self) -> bool {
        self.path.is_some()
    }

    /// Keeps messages, with the reason in them; when it returns they are safe. Answers how many there were.
    ///
    /// # Errors
    /// When the backup can't be written.
    pub fn bury(&mut self, frames: &[u8], attempts: u32, reason: &str) -> Result<u64, Failure> {
        let mut out = Vec::with_capacity(frames.len() + 256);
        let mut count = 0;
        for frame in Frames(frames) {
            count += 1;
            put_dead_letter(&frame, self.sink, attempts, reason, &mut out);
        }
        let Some(path) = &self.path else {
            let words = || format!("{reason}; the message was left out (--backup FILE would keep it)");
            report_once("messages that are left out", words);
            return Ok(count);
        };
        report_once("messages that went to the backup", || format!("{reason}; the message went to the backup"));
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
                let name = format!("{}-{now}-{}.hpb", self.sink, std::process::id());
                self.file.insert(append_to(&path.join(name))?)
            }
        };
        let written = file.write_all(&out).and_then(|()| file.sync_data());
        written.map_err(|error| Failure::failed(format!("--backup {}: {}", path.display(), describe(&error))))?;
        Ok(count)
    }
}

fn append_to(path: &Path) -> Result<File, Failure> {
    let opened = fs::OpenOptions::new().create(true).append(true).open(path);
    opened.map_err(|error| Failure::failed(format!("--backup {}: {}", path.display(), describe(&error))))
}

/// Appends the message as it was read, with the reason, the attempts and the time in three more fields: SINK_error,
/// SINK_attempts, SINK_time. It keeps no cursor: it is delivered to the backup.
fn put_dead_letter(frame: &Frame<'_>, sink: &str, attempts: u32, reason: &str, out: &mut Vec<u8>) {
    let mut message = Vec::new();
    encode_canonical(&frame.view(), &mut message);
    let name = |part: &str| format!("{sink}_{part}").into_bytes();
    MessageBuilder::more(&mut message)
        .string_field(&name("error"), reason.as_bytes(), b"")
        .integer_field(&name("attempts"), attempts.into(), b"")
        .integer_field(&name("time"), now_ns(), b"");
    put_frame(out, None, &message);
}
