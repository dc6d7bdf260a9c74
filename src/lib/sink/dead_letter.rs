//! Messages that are given up on, kept as a stream that can be sent later.

use std::fs::File;
use std::path::Path;

use crate::message::{MessageBuilder, encode_canonical, now_ns};
use crate::pipeline::{Failure, describe};
use crate::stream::{Frame, put_frame};

/// Opens the file of `--backup`, if there is one, to append to it.
pub fn open_backup(path: Option<&Path>) -> Result<Option<File>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let opened = File::options().create(true).append(true).open(path);
    opened.map(Some).map_err(|error| Failure::failed(format!("--backup {}: {}", path.display(), describe(&error))))
}

/// Appends the message as it was read, with the reason, the attempts and the time in three more fields: SINK_error,
/// SINK_attempts, SINK_time. It keeps no cursor: it is delivered to the backup.
pub fn put_dead_letter(frame: &Frame<'_>, sink: &str, attempts: u32, reason: &str, out: &mut Vec<u8>) {
    let mut message = Vec::new();
    encode_canonical(&frame.view(), &mut message);
    let name = |part: &str| format!("{sink}_{part}").into_bytes();
    MessageBuilder::more(&mut message)
        .string_field(&name("error"), reason.as_bytes(), b"")
        .integer_field(&name("attempts"), attempts.into(), b"")
        .integer_field(&name("time"), now_ns(), b"");
    put_frame(out, None, &message);
}
