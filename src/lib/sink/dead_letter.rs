//! Messages that are given up on, kept as a stream that can be sent later.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::message::{MessageBuilder, encode_canonical, now_ns};
use crate::pipeline::{Failure, describe, report, report_once, sync_directory};
use crate::stream::{Deframer, Frame, Frames, Step, put_frame};

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
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
                let name = format!("{}-{now}-{}.hpb", self.sink, std::process::id());
                self.file.insert(append_to(&path.join(name))?)
            }
        };
        append_whole(file, &out).map_err(|error| failed(path, &error))?;
        report_once("messages that went to the backup", || format!("{reason}; the message went to the backup"));
        Ok(count)
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("--backup {}: {}", path.display(), describe(error)))
}

/// Appends and syncs. What can't be written whole is taken back: a record that is appended later must not stand behind
/// half of one.
fn append_whole(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    let before = file.metadata()?.len();
    file.write_all(bytes).and_then(|()| file.sync_data()).inspect_err(|_| {
        let _ = file.set_len(before);
    })
}

/// Opens a stream to be appended to. A record that was cut at its end (by a full disk, or a crash) is cut off.
fn append_to(path: &Path) -> Result<File, Failure> {
    let mut options = fs::OpenOptions::new();
    let opened = options.create(true).read(true).append(true).mode(0o600).open(path);
    let mut file = opened.map_err(|error| failed(path, &error))?;
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    if !is_file {
        return Ok(file);
    }
    let end = end_of_records(&mut file).map_err(|error| failed(path, &error))?;
    match end {
        End::Whole => {}
        End::NoStream => {
            let words = format!("--backup {}: it is no stream of Heka messages", path.display());
            return Err(Failure::usage(words));
        }
        End::Cut { at, bytes } => {
            file.set_len(at).and_then(|()| file.sync_data()).map_err(|error| failed(path, &error))?;
            report(&format!(
                "--backup {}: its last record was cut short; its {bytes} bytes are removed",
                path.display()
            ));
        }
    }
    sync_directory(path).map_err(|error| failed(path, &error))?;
    Ok(file)
}

/// How a file of records ends.
enum End {
    Whole,
    /// Inside a record, which begins there.
    Cut {
        at: u64,
        bytes: u64,
    },
    NoStream,
}

fn end_of_records(file: &mut File) -> io::Result<End> {
    file.seek(SeekFrom::Start(0))?;
    let mut deframer = Deframer::new(usize::MAX >> 1);
    let (mut records, mut last, mut ended) = (0u64, None, false);
    loop {
        match deframer.step() {
            Step::Frame(_) => (records, last) = (records + 1, None),
            Step::Gap(gap) => last = Some(gap),
            Step::Incomplete if ended => break,
            Step::Incomplete => {
                let count = file.read(deframer.space())?;
                if count == 0 {
                    deframer.finish();
                    ended = true;
                }
                deframer.filled(count);
            }
        }
    }
    Ok(match last {
        None => End::Whole,
        Some(gap) if records > 0 || matches!(gap.reason, crate::stream::GapReason::Truncated) => {
            End::Cut { at: gap.offset, bytes: gap.bytes }
        }
        Some(_) => End::NoStream,
    })
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
