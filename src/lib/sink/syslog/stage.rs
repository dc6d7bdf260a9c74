//! A stage that sends each payload as a line of its own.

use std::io::Write as _;
use std::time::{Duration, Instant};

use super::names::{INFO, LOCAL4, facility_number, priority_number};
use super::sender::{Address, Sender, is_too_long};
use crate::cef::Parsed;
use crate::message::{MessageView, Value, now_ns};
use crate::pipeline::{
    COMMIT_EVERY, Checkpoint, Failure, Flow, Output, Signals, Stage, Stats, WaitOn, Wake, describe, hostname,
    report_once,
};
use crate::sink::Backoff;
use crate::stream::Frame;

/// How payloads are sent.
pub struct SyslogOptions {
    pub address: Address,
    /// These three whatever messages say.
    pub facility: Option<u8>,
    pub priority: Option<u8>,
    pub ident: Option<String>,
    /// Leave out what stands before a CEF record.
    pub strip: bool,
    pub rfc5424: bool,
    pub checkpoint: Option<Checkpoint>,
    /// When nothing could be sent for so long.
    pub give_up_after: Duration,
}

/// Sends payloads to syslog.
pub struct SyslogStage {
    options: SyslogOptions,
    sender: Sender,
    committed_at: Instant,
    host: String,
    /// The time of the last line, in seconds and as text.
    time: (i64, String),
    parsed: Parsed,
    line: Vec<u8>,
    sent: u64,
    /// Messages that no datagram could hold.
    pub too_long: u64,
}

impl SyslogStage {
    pub fn new(options: SyslogOptions) -> SyslogStage {
        SyslogStage {
            sender: Sender::new(options.address.clone()),
            options,
            committed_at: Instant::now(),
            host: String::from_utf8_lossy(&hostname()).into_owned(),
            time: (0, String::new()),
            parsed: Parsed::default(),
            line: Vec::new(),
            sent: 0,
            too_long: 0,
        }
    }

    fn put_line(&mut self, view: &MessageView<'_>) {
        let text = |name: &str| match view.value(name.as_bytes()) {
            Some(Value::String(text)) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        };
        let facility =
            self.options.facility.or_else(|| facility_number(&text("cef_meta.syslog_facility")?)).unwrap_or(LOCAL4);
        let priority =
            self.options.priority.or_else(|| priority_number(&text("cef_meta.syslog_priority")?)).unwrap_or(INFO);
        let ident = self.options.ident.clone().or_else(|| text("cef_meta.syslog_ident"));
        let ident = ident.unwrap_or_else(|| "heka_no_ident".into());
        // On a machine's own socket receivers expect what the C library writes: the short time, and no host.
        let short = self.sender.is_unix() && !self.options.rfc5424;
        let second = now_ns().div_euclid(1_000_000_000);
        if self.time.0 != second {
            let form = if short { "%b %e %H:%M:%S" } else { "%Y-%m-%dT%H:%M:%S%:z" };
            self.time = (second, jiff::Zoned::now().strftime(form).to_string());
        }
        let time = &self.time.1;
        let (host, pid) = (&self.host, std::process::id());
        self.line.clear();
        let number = facility as u32 * 8 + priority as u32;
        // Writing to memory can't fail.
        let _ = if self.options.rfc5424 {
            let ident = if ident.is_empty() { "-" } else { ident.as_str() };
            write!(self.line, "<{number}>1 {time} {host} {ident} {pid} - - ")
        } else if short {
            write!(self.line, "<{number}>{time} {ident}[{pid}]: ")
        } else {
            write!(self.line, "<{number}>{time} {host} {ident}[{pid}]: ")
        };
        let payload = view.payload();
        let from = if self.options.strip && self.parsed.parse(payload).is_ok() { self.parsed.mark } else { 0 };
        let payload = payload.get(from..).unwrap_or_default();
        self.line.extend_from_slice(payload.strip_suffix(b"\n").unwrap_or(payload));
    }

    /// Tries until it works, or for too long.
    fn until_sent(&mut self, mut result: std::io::Result<()>) -> Result<(), Failure> {
        let since = Instant::now();
        let mut backoff = Backoff::default();
        while let Err(error) = result {
            if is_too_long(&error) {
                self.too_long += 1;
                self.sent -= 1;
                self.sender.forget();
                report_once("messages too long for a datagram", || {
                    "a message is too long for a datagram; use tcp:// or tls://".into()
                });
                return Ok(());
            }
            // A server that is not who it should be: trying again doesn't help.
            if since.elapsed() >= self.options.give_up_after || error.kind() == std::io::ErrorKind::InvalidData {
                return Err(Failure::failed(format!("syslog: {}; given up", describe(&error))));
            }
            report_once("attempts to reach syslog", || format!("syslog: {}; trying again", describe(&error)));
            let stopped = Signals::get().is_some_and(|signals| {
                let timeout = Some(backoff.next(None));
                signals.wait(WaitOn { timeout, ..WaitOn::default() }) == Wake::Stop
            });
            if stopped {
                return Err(Failure::failed("syslog: stopped before everything was sent"));
            }
            result = self.sender.flush();
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Failure> {
        let flushed = self.sender.flush();
        self.until_sent(flushed)?;
        self.committed_at = Instant::now();
        self.options.checkpoint.as_mut().map_or(Ok(()), Checkpoint::save)
    }
}

impl Stage for SyslogStage {
    fn message(&mut self, frame: &Frame<'_>, _: &mut Output) -> Result<Flow, Failure> {
        self.put_line(&frame.view());
        let line = std::mem::take(&mut self.line);
        self.sent += 1;
        let result = self.sender.send(&line);
        self.line = line;
        self.until_sent(result)?;
        if let Some(checkpoint) = &mut self.options.checkpoint
            && let Some(cursor) = frame.header().cursor()
        {
            checkpoint.advance(&cursor);
        }
        if self.committed_at.elapsed() >= COMMIT_EVERY {
            self.commit()?;
        }
        Ok(Flow::Continue)
    }

    fn idle(&mut self, _: &mut Output) -> Result<(), Failure> {
        self.commit()
    }

    fn finish(&mut self, _: &mut Output) -> Result<(), Failure> {
        self.commit()
    }

    fn stats(&self, stats: &mut Stats) {
        stats.set("messages_sent", self.sent).set("messages_too_long", self.too_long);
    }
}
