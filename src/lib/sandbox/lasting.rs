//! A script that one message does not end: decoders and encoders, which keep nothing between messages that is worth a pipe
//! that stands still. Filters do, so an error ends those.

use super::{Cause, Outcome, Sandbox, Settings, Terminated};
use crate::message::MessageView;

/// Bytes of a payload that an error quotes.
const QUOTED: usize = 100;

/// How an error ends, and which option is about it.
const OPTIONS: [(&str, &str); 3] = [
    ("output_limit exceeded", "--output-limit"),
    ("instruction_limit exceeded", "--instruction-limit"),
    ("not enough memory", "--memory-limit"),
];

/// A sandbox, and what makes another one like it.
pub(super) struct Lasting {
    sandbox: Sandbox,
    settings: Settings,
    in_a_row: u64,
}

impl Lasting {
    /// # Errors
    /// Lua's words, with file and line.
    pub fn new(settings: &Settings) -> Result<Lasting, String> {
        Ok(Lasting { sandbox: Sandbox::new(settings)?, settings: settings.clone(), in_a_row: 0 })
    }

    pub fn name(&self) -> &str {
        &self.settings.script.name
    }

    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// Gives the script a message. The inner error: the script failed on it, and goes on with the next one.
    ///
    /// # Errors
    /// The script wants to end (a status above 0), or it has failed too many times in a row.
    #[inline]
    pub fn process(&mut self, message: MessageView<'_>) -> Result<Result<Outcome, String>, Terminated> {
        match self.sandbox.process(message) {
            Ok(outcome) => {
                self.in_a_row = 0;
                Ok(Ok(outcome))
            }
            Err(Terminated(reason)) => self.failed(message, reason).map(Err),
        }
    }

    #[cold]
    fn failed(&mut self, message: MessageView<'_>, reason: String) -> Result<String, Terminated> {
        let name = self.name();
        if self.sandbox.cause() == Cause::Fatal {
            return Err(Terminated(format!("{name}: {reason}")));
        }
        let option = OPTIONS.iter().find(|(words, _)| reason.ends_with(words));
        let hint = option.map_or(String::new(), |(_, option)| format!(" (see {option})"));
        let words = format!("{name}: {reason}{hint}, at {}", quote(message.payload()));
        self.in_a_row += 1;
        if self.settings.max_failures > 0 && self.in_a_row >= self.settings.max_failures {
            let times = self.in_a_row;
            return Err(Terminated(format!("{words}; it has failed {times} times in a row (--max-failures)")));
        }
        self.sandbox.resume(&self.settings).map_err(|error| Terminated(format!("{words}; then: {error}")))?;
        Ok(words)
    }
}

/// A payload's length and beginning, to know it by.
pub(super) fn quote(payload: &[u8]) -> String {
    let shown = &payload[..payload.len().min(QUOTED)];
    let text: String = String::from_utf8_lossy(shown).chars().filter(|c| *c != '\0').collect();
    match payload.len() {
        len if len <= QUOTED => format!("payload: {text}"),
        len => format!("payload of {len} bytes: {text}…"),
    }
}
