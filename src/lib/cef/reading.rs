//! A stage that reads: payloads in, fields out.

use super::{FieldOptions, Parsed, put_fields};
use crate::message::MessageBuilder;
use crate::pipeline::{Failure, Flow, Output, Stage, Stats, report_once};
use crate::stream::{Frame, put_frame_from};

/// Makes fields of the records in payloads.
#[derive(Default)]
pub struct ParseStage {
    fields: FieldOptions,
    severity: bool,
    parsed: Parsed,
    message: Vec<u8>,
    records: u64,
    /// Payloads that were none.
    pub others: u64,
}

impl Stage for ParseStage {
    fn message(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<Flow, Failure> {
        let view = frame.view();
        let text = view.payload();
        self.message.clear();
        self.message.extend_from_slice(frame.message());
        let mut builder = MessageBuilder::more(&mut self.message);
        match self.parsed.parse(text) {
            Ok(()) => {
                self.records += 1;
                if let Some(severity) = syslog_severity(text, &self.parsed).filter(|_| self.severity) {
                    builder.severity(severity);
                }
                put_fields(&mut builder, text, &self.parsed, self.fields);
            }
            Err(error) => {
                self.others += 1;
                report_once("payloads that are no CEF", || format!("a payload is no CEF: {error}"));
                builder.string_field(b"cef_error", error.to_string().as_bytes(), b"");
            }
        }
        put_frame_from(out.buf(), frame, &self.message);
        out.filled()?;
        Ok(Flow::Continue)
    }

    fn stats(&self, stats: &mut Stats) {
        stats.set("messages_out", self.records + self.others).set("cef_errors", self.others);
    }
}

impl ParseStage {
    /// `severity`: header Severity from the record's.
    pub fn new(fields: FieldOptions, severity: bool) -> ParseStage {
        ParseStage { fields, severity, ..ParseStage::default() }
    }
}

/// What a record's severity is on syslog's scale.
fn syslog_severity(text: &[u8], parsed: &Parsed) -> Option<i32> {
    let [.., severity] = &parsed.header;
    match text.get(severity.clone())? {
        b"Very-High" => Some(2),
        b"High" => Some(3),
        b"Medium" => Some(4),
        b"Low" => Some(6),
        number => match std::str::from_utf8(number).ok()?.parse().ok()? {
            9..=10u8 => Some(2),
            7..=8 => Some(3),
            4..=6 => Some(4),
            0..=3 => Some(6),
            _ => None,
        },
    }
}
