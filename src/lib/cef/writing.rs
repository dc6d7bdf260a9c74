//! A stage that writes: fields in, records in payloads out.

use super::convert::{is_about_the_record, put_record};
use super::{FieldOptions, Parsed, RecordOptions, put_fields};
use crate::message::{FieldView, MessageBuilder, MessageView, TextHeader, Value, put_value_text};
use crate::pipeline::{Failure, Flow, Output, Stage, Stats, report_once};
use crate::sandbox::{Encoded, Encoder, Terminated};
use crate::stream::{Frame, put_frame_from};

/// Makes records of messages.
#[derive(Default)]
pub struct FormatStage {
    options: RecordOptions,
    encoder: Option<Encoder>,
    parsed: Parsed,
    record: Vec<u8>,
    /// What the payload's own fields are.
    own: Vec<u8>,
    message: Vec<u8>,
    records: u64,
    /// Messages that made none.
    pub failed: u64,
}

impl FormatStage {
    /// `encoder`: makes the records instead of the options.
    pub fn new(options: RecordOptions, encoder: Option<Encoder>) -> FormatStage {
        FormatStage { options, encoder, ..FormatStage::default() }
    }

    /// Makes the record. Answers whether there is one, and what is wrong if it can't be made.
    fn make(&mut self, view: &MessageView<'_>) -> Result<Result<bool, String>, Failure> {
        self.record.clear();
        let Some(encoder) = &mut self.encoder else {
            return Ok(put_record(&mut self.record, view, &self.options).map(|no_keys| {
                if no_keys > 0 {
                    report_once("messages with names that can't be keys", || {
                        "a field was left out: its name can't be a key; see --map".into()
                    });
                }
                true
            }));
        };
        match encoder.encode(*view) {
            Err(Terminated(reason)) => Err(Failure::failed(reason)),
            Ok(Err(reason)) => Ok(Err(reason)),
            Ok(Ok(Encoded::Nothing)) => Ok(Ok(false)),
            Ok(Ok(Encoded::Bytes(bytes))) => {
                self.record.extend_from_slice(bytes);
                Ok(self.parsed.parse(bytes).map(|()| true).map_err(|error| format!("what the encoder made: {error}")))
            }
        }
    }

    /// Whether the payload is the record, to the last blank: the fields are those that reading it gives, or there are none.
    fn is_unchanged(&mut self, view: &MessageView<'_>) -> bool {
        let text = view.payload();
        if self.encoder.is_some() || !self.options.map.is_empty() || self.parsed.parse(text).is_err() {
            return false;
        }
        let is_other = |name: &[u8]| !is_about_the_record(name);
        let mut fields = view.fields_called(is_other).peekable();
        if fields.peek().is_none() {
            return true;
        }
        self.own.clear();
        let _ = MessageBuilder::new(&mut self.own, view.uuid(), view.timestamp());
        let fields_at = self.own.len();
        put_fields(&mut MessageBuilder::more(&mut self.own), text, &self.parsed, FieldOptions::default());
        // As reading leaves them: to compare each field more than doubles the time that a message takes.
        if let Some(before) = view.bytes().strip_suffix(&self.own[fields_at..])
            && MessageView::new(before).is_some_and(|view| view.fields_called(is_other).next().is_none())
        {
            return true;
        }
        let Some(own) = MessageView::new(&self.own) else { return false };
        let mut own = own.fields();
        fields.all(|field| own.next().is_some_and(|own| are_same(&field, &own))) && own.next().is_none()
    }
}

/// Whether two fields make the same text of a record.
fn are_same(a: &FieldView<'_>, b: &FieldView<'_>) -> bool {
    let (mut of_a, mut of_b) = (a.values(), b.values());
    a.name == b.name
        && std::iter::from_fn(|| Some((of_a.next(), of_b.next())).filter(|pair| *pair != (None, None))).all(|pair| {
            match pair {
                (Some(Value::String(a)), Some(Value::String(b))) => a == b,
                (Some(a), Some(b)) => {
                    let (mut text_a, mut text_b) = (Vec::new(), Vec::new());
                    put_value_text(&mut text_a, a);
                    put_value_text(&mut text_b, b);
                    text_a == text_b
                }
                _ => false,
            }
        })
}

impl Stage for FormatStage {
    fn message(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<Flow, Failure> {
        let view = frame.view();
        let unchanged = self.is_unchanged(&view);
        // Only the dictionary can have something against a record that is there already.
        let made = if unchanged && !self.options.strict { Ok(true) } else { self.make(&view)? };
        match made {
            Ok(false) => return Ok(Flow::Continue),
            Ok(true) if unchanged => {
                self.records += 1;
                out.push(frame.raw())?;
                return Ok(Flow::Continue);
            }
            Ok(true) => {
                self.records += 1;
                self.message.clear();
                let mut builder = MessageBuilder::new(&mut self.message, view.uuid(), view.timestamp());
                builder.text(TextHeader::Type, b"cef");
                for header in [TextHeader::Logger, TextHeader::EnvVersion, TextHeader::Hostname] {
                    if let Some(text) = view.text(header) {
                        builder.text(header, text);
                    }
                }
                builder.severity(view.severity().unwrap_or(6)).text(TextHeader::Payload, &self.record);
                if let Some(pid) = view.pid() {
                    builder.pid(pid);
                }
                for field in view.fields_called(|name| name.starts_with(b"cef_meta.")) {
                    builder.copy_field(&field);
                }
            }
            Err(wrong) => {
                self.failed += 1;
                report_once("messages that make no record", || format!("a message makes no record: {wrong}"));
                self.message.clear();
                self.message.extend_from_slice(frame.message());
                MessageBuilder::more(&mut self.message).string_field(b"cef_error", wrong.as_bytes(), b"");
            }
        }
        put_frame_from(out.buf(), frame, &self.message);
        out.filled()?;
        Ok(Flow::Continue)
    }

    fn stats(&self, stats: &mut Stats) {
        stats.set("messages_out", self.records + self.failed).set("cef_errors", self.failed);
    }
}
