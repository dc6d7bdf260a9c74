//! Encoders: scripts that make the bytes that leave.

use super::{Outcome, Sandbox, Settings, Terminated, Usage};
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
    sandbox: Sandbox,
    name: String,
}

/// The status that says so.
const NOTHING_TO_SEND: i64 = -2;

impl Encoder {
    /// # Errors
    /// Lua's words, with file and line.
    pub fn new(settings: &Settings) -> Result<Encoder, String> {
        Ok(Encoder { sandbox: Sandbox::new(settings)?, name: settings.script.name.clone() })
    }

    /// The bytes of a message: the last injection, or the message itself with the script's changes.
    ///
    /// # Errors
    /// The outer one: the script is terminated. The inner one: it rejects the message.
    pub fn encode<'a>(&'a mut self, message: MessageView<'a>) -> Result<Result<Encoded<'a>, String>, Terminated> {
        let outcome = self.sandbox.process(message);
        let name = &self.name;
        match outcome.map_err(|Terminated(reason)| Terminated(format!("{name}: {reason}")))? {
            Outcome::Rejected { status: NOTHING_TO_SEND, .. } => Ok(Ok(Encoded::Nothing)),
            Outcome::Rejected { words, .. } => {
                Ok(Err(format!("{name}: Failed serializing: {}", words.unwrap_or_default())))
            }
            Outcome::Done => {
                let sandbox = &self.sandbox;
                let bytes = sandbox.injected().last().or(sandbox.edited()).unwrap_or(message.bytes());
                Ok(Ok(Encoded::Bytes(bytes)))
            }
        }
    }

    pub fn usage(&self) -> Usage {
        self.sandbox.usage()
    }
}
