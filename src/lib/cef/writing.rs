//! A stage that writes: fields in, records in payloads out.

use super::{FieldOptions, Parsed, RecordOptions, put_fields, put_record};
use crate::message::{MessageBuilder, MessageView, TextHeader};
use crate::pipeline::{Failure, Flow, Output, Stage, Stats, report_once};
use crate::sandbox::{Encoded, Encoder, Terminated};
use crate::stream::{Frame, put_frame};

/// Makes records of messages.
#[derive(Default)]
pub struct FormatStage {
    options: RecordOptions,
    encoder: Option<Encoder>,
    parsed: Parsed,
    record: Vec<u8>,
    /// What the payload's own fields are, and the record that they would make.
    own: Vec<u8>,
    own_record: Vec<u8>,
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
    fn make(&mut self, frame: &Frame<'_>, view: &MessageView<'_>) -> Result<Result<bool, String>, Failure> {
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
        match encoder.encode(frame.message(), view.index()) {
            Err(Terminated(reason)) => Err(Failure::failed(reason)),
            Ok(Err(reason)) => Ok(Err(reason)),
            Ok(Ok(Encoded::Nothing)) => Ok(Ok(false)),
            Ok(Ok(Encoded::Bytes(bytes))) => {
                self.record.extend_from_slice(bytes);
                Ok(self.parsed.parse(bytes).map(|()| true).map_err(|error| format!("what the encoder made: {error}")))
            }
        }
    }

    /// Whether the fields are those of the record in the payload: then that is the record, to the last blank.
    fn is_unchanged(&mut self, view: &MessageView<'_>) -> bool {
        let text = view.payload();
        if self.encoder.is_some() || !self.options.map.is_empty() || self.parsed.parse(text).is_err() {
            return false;
        }
        self.own.clear();
        let mut own = MessageBuilder::new(&mut self.own, view.uuid(), view.timestamp());
        put_fields(&mut own, text, &self.parsed, FieldOptions::default());
        self.own_record.clear();
        let own = MessageView::new(&self.own);
        own.is_some_and(|own| put_record(&mut self.own_record, &own, &self.options).is_ok())
            && self.own_record == self.record
    }
}

impl Stage for FormatStage {
    fn message(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<Flow, Failure> {
        let view = frame.view();
        match self.make(frame, &view)? {
            Ok(false) => return Ok(Flow::Continue),
            Ok(true) if self.is_unchanged(&view) => {
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
                for field in view.fields().filter(|field| field.name.starts_with(b"cef_meta.")) {
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
        put_frame(out.buf(), frame.header().cursor(), &self.message);
        out.filled()?;
        Ok(Flow::Continue)
    }

    fn stats(&self, stats: &mut Stats) {
        stats.set("messages_out", self.records + self.failed).set("cef_errors", self.failed);
    }
}
