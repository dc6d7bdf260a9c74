//! Encoders: scripts that make the bytes that leave.

use super::lasting::{Lasting, quote};
use super::{Outcome, Settings, Terminated, Usage};
use crate::message::MessageView;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Encoded<'a> {
    Bytes(&'a [u8]),
    /// The script has nothing to send, and that is no failure (status -2).
    Nothing,
}

/// A script that encodes.
pub struct Encoder {
    script: Lasting,
}

/// The status that says so.
const NOTHING_TO_SEND: i64 = -2;

impl Encoder {
    /// # Errors
    /// Lua's words, with file and line.
    pub fn new(settings: &Settings) -> Result<Encoder, String> {
        Ok(Encoder { script: Lasting::new(settings)? })
    }

    /// The bytes of a message: the last injection, or the message itself with the script's changes.
    ///
    /// # Errors
    /// The outer one: the script has ended. The inner one: it rejects the message, or failed on it.
    pub fn encode<'a>(&'a mut self, message: MessageView<'a>) -> Result<Result<Encoded<'a>, String>, Terminated> {
        let outcome = match self.script.process(message)? {
            Ok(outcome) => outcome,
            Err(words) => return Ok(Err(words)),
        };
        match outcome {
            Outcome::Rejected { status: NOTHING_TO_SEND, .. } => Ok(Ok(Encoded::Nothing)),
            Outcome::Rejected { words, .. } => {
                let words = words.filter(|words| !words.is_empty()).unwrap_or_else(|| quote(message.payload()));
                Ok(Err(format!("{}: Failed serializing: {words}", self.script.name())))
            }
            Outcome::Done => {
                let sandbox = self.script.sandbox();
                let bytes = sandbox.injected().last().or(sandbox.edited()).unwrap_or(message.bytes());
                Ok(Ok(Encoded::Bytes(bytes)))
            }
        }
    }

    /// The media type of what it made last, by the type that the script gave its payload.
    pub fn content_type(&self) -> &'static str {
        match self.script.sandbox().payload_kind() {
            b"json" => "application/json",
            b"csv" => "text/csv; charset=utf-8",
            b"html" => "text/html; charset=utf-8",
            // A message as it is.
            b"" => "application/octet-stream",
            _ => "text/plain; charset=utf-8",
        }
    }

    pub fn usage(&self) -> Usage {
        self.script.sandbox().usage()
    }
}
