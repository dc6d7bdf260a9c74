//! Decoders: a chain of scripts, each of which gets what the one before made.

use super::lasting::{Lasting, quote};
use super::{Outcome, Settings, Terminated, Usage};
use crate::message::{MessageBuilder, MessageView, encode_canonical};

/// What became of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded {
    /// Nothing was changed: pass the original on.
    Unchanged,
    /// So many messages are in the output.
    Messages(usize),
    /// Rejected, with the runner's words.
    Failed(String),
}

/// A chain of scripts.
pub struct Decoder {
    scripts: Vec<Lasting>,
    /// What one script has made, for the next one, and what that one makes.
    made: [Messages; 2],
}

/// Messages one after the other, and where each ends.
#[derive(Default)]
struct Messages {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Messages {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn push(&mut self, message: &[u8]) {
        self.bytes.extend_from_slice(message);
        self.ends.push(self.bytes.len());
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).filter_map(|(start, &end)| self.bytes.get(start..end))
    }
}

impl Decoder {
    /// Loads every script.
    ///
    /// # Errors
    /// Lua's words, with file and line.
    pub fn new(chain: &[Settings]) -> Result<Decoder, String> {
        Ok(Decoder { scripts: chain.iter().map(Lasting::new).collect::<Result<_, _>>()?, made: Default::default() })
    }

    /// Runs a message through the chain and calls `emit` for each that comes out, with whether it is the last one.
    /// A message that any script rejects fails as a whole: then nothing has been emitted.
    #[inline]
    pub fn decode(
        &mut self,
        message: MessageView<'_>,
        emit: &mut dyn FnMut(&[u8], bool),
    ) -> Result<Decoded, Terminated> {
        if let [script] = &mut self.scripts[..] {
            return run(script, message, emit);
        }
        self.decode_chain(message, emit)
    }

    fn decode_chain(
        &mut self,
        message: MessageView<'_>,
        emit: &mut dyn FnMut(&[u8], bool),
    ) -> Result<Decoded, Terminated> {
        let [current, next] = &mut self.made;
        current.clear();
        current.push(message.bytes());
        let mut changed = false;
        for script in &mut self.scripts {
            next.clear();
            for message in current.iter() {
                let Some(message) = MessageView::new(message) else { continue };
                match run(script, message, &mut |made, _| next.push(made))? {
                    Decoded::Unchanged => next.push(message.bytes()),
                    Decoded::Messages(_) => changed = true,
                    failed => return Ok(failed),
                }
            }
            std::mem::swap(current, next);
        }
        if !changed {
            return Ok(Decoded::Unchanged);
        }
        let count = current.ends.len();
        for (place, made) in current.iter().enumerate() {
            emit(made, place + 1 == count);
        }
        Ok(Decoded::Messages(count))
    }

    /// What each script has used, with its name.
    pub fn usage(&self) -> impl Iterator<Item = (&str, Usage)> {
        self.scripts.iter().map(|script| (script.name(), script.sandbox().usage()))
    }

    /// The original with two more fields that tell why it was not decoded.
    pub fn put_failure(message: &[u8], error: &str, out: &mut Vec<u8>) {
        // As Heka: at most 500 bytes.
        let text = &error.as_bytes()[..error.floor_char_boundary(500)];
        match MessageView::new(message) {
            Some(view) => encode_canonical(&view, out),
            None => out.extend_from_slice(message),
        }
        MessageBuilder::more(out).bool_field(b"decode_failure", true, b"").string_field(b"decode_error", text, b"");
    }
}

#[inline]
fn run(
    script: &mut Lasting,
    message: MessageView<'_>,
    emit: &mut dyn FnMut(&[u8], bool),
) -> Result<Decoded, Terminated> {
    let outcome = match script.process(message)? {
        Ok(outcome) => outcome,
        Err(words) => return Ok(Decoded::Failed(words)),
    };
    let sandbox = script.sandbox();
    if let Outcome::Rejected { words, status } = outcome {
        let words = words.filter(|words| !words.is_empty());
        let (name, words) = (script.name(), words.unwrap_or_else(|| format!("process_message() answered {status}")));
        if sandbox.injected_count() > 0 {
            return Ok(Decoded::Failed(format!("{name}: Failed after a successful inject_message call: {words}")));
        }
        return Ok(Decoded::Failed(format!("{name}: Failed parsing: {words} {}", quote(message.payload()))));
    }
    let count = sandbox.injected_count();
    if count == 0 {
        let Some(edited) = sandbox.edited() else { return Ok(Decoded::Unchanged) };
        emit(edited, true);
        return Ok(Decoded::Messages(1));
    }
    for (place, made) in sandbox.injected().enumerate() {
        emit(made, place + 1 == count);
    }
    Ok(Decoded::Messages(count))
}
