//! A filter's script with what it counts: calls, failures, injected messages, how long it took.

use std::time::{Duration, Instant};

use super::lasting::quote;
use super::profile::Timings;
use super::{Outcome, Sandbox, Settings, Terminated, Usage};
use crate::message::{MessageBuilder, MessageView, TextHeader, now_ns, uuid};
use crate::pipeline::{hostname, report_once};

/// Type and Logger of what Heka itself reports.
const TERMINATED: &[u8] = b"heka.sandbox-terminated";
const DAEMON: &[u8] = b"hekad";

/// A script that runs until it is terminated.
pub struct Runner {
    /// None once it was terminated.
    sandbox: Option<Sandbox>,
    name: Vec<u8>,
    usage: Usage,
    pub messages: u64,
    pub failures: u64,
    pub injected: u64,
    pub process: Timings,
    pub timer: Timings,
    /// Of so many calls one is timed; 0: none.
    time_one_of: u64,
}

impl Runner {
    /// # Errors
    /// When the script can't be loaded, or lacks a timer that it is to have.
    pub fn new(settings: &Settings, ticker: Duration, time_one_of: u64) -> Result<Runner, String> {
        let sandbox = Sandbox::new(settings)?;
        if !ticker.is_zero() && !sandbox.has_timer() {
            let name = &settings.script.name;
            return Err(format!("{name}: timer_event() function was not found, and a ticker needs it"));
        }
        Ok(Runner {
            sandbox: Some(sandbox),
            name: settings.identity.name.clone(),
            usage: Usage::default(),
            messages: 0,
            failures: 0,
            injected: 0,
            process: Timings::default(),
            timer: Timings::default(),
            time_one_of,
        })
    }

    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The script, for its state; None once it was terminated.
    pub fn sandbox(&mut self) -> Option<&mut Sandbox> {
        self.sandbox.as_mut()
    }

    pub fn runs(&self) -> bool {
        self.sandbox.is_some()
    }

    pub fn usage(&self) -> Usage {
        self.sandbox.as_ref().map_or(self.usage, Sandbox::usage)
    }

    /// Gives the script a message. `now`: what time it is for what it injects, if not the machine's clock says it;
    /// `limit`: messages that it may inject (0 is no limit).
    #[inline]
    pub fn process(&mut self, view: &MessageView<'_>, now: Option<i64>, limit: usize) -> Result<(), Terminated> {
        let Some(sandbox) = &mut self.sandbox else { return Ok(()) };
        sandbox.set_injection(now, limit);
        let timed = self.time_one_of > 0 && self.messages.is_multiple_of(self.time_one_of);
        let begun = timed.then(Instant::now);
        let outcome = sandbox.process(*view);
        if let Some(begun) = begun {
            self.process.add(begun.elapsed());
        }
        self.messages += 1;
        if let Outcome::Rejected { words, status } = outcome? {
            self.failures += 1;
            let name = String::from_utf8_lossy(&self.name);
            report_once("messages that the filter rejected", || match words.filter(|words| !words.is_empty()) {
                Some(words) => format!("{name}: {words}"),
                None => format!("{name}: process_message() answered {status}, at {}", quote(view.payload())),
            });
        }
        Ok(())
    }

    /// Calls the script's timer.
    pub fn timer_event(&mut self, ns: i64, shutdown: bool, now: Option<i64>, limit: usize) -> Result<(), Terminated> {
        let Some(sandbox) = &mut self.sandbox else { return Ok(()) };
        sandbox.set_injection(now, limit);
        let begun = Instant::now();
        let called = sandbox.timer_event(ns, shutdown);
        if self.time_one_of > 0 && sandbox.has_timer() {
            self.timer.add(begun.elapsed());
        }
        called
    }

    /// What the last call injected.
    #[inline]
    pub fn injected(&self) -> impl Iterator<Item = &[u8]> {
        self.sandbox.iter().flat_map(Sandbox::injected)
    }

    /// The script is over. Appends the message that says so.
    pub fn terminate<'b>(&mut self, reason: &str, buf: &'b mut Vec<u8>) -> MessageBuilder<'b> {
        if let Some(sandbox) = self.sandbox.take() {
            self.usage = sandbox.usage();
        }
        put_terminated(buf, &self.name, reason)
    }

    /// Heka's report of the script, with percentiles, a line a field.
    pub fn print_profile(&self) {
        let (usage, process, timer) = (self.usage(), &self.process, &self.timer);
        let fields: [(&str, u64, &str); 17] = [
            ("Memory", usage.memory as u64, "B"),
            ("MaxMemory", usage.max_memory as u64, "B"),
            ("MaxInstructions", usage.max_instructions, "count"),
            ("MaxOutput", usage.max_output as u64, "B"),
            ("ProcessMessageCount", self.messages, "count"),
            ("ProcessMessageFailures", self.failures, "count"),
            ("InjectMessageCount", self.injected, "count"),
            ("ProcessMessageSamples", process.count(), "count"),
            ("TimerEventSamples", timer.count(), "count"),
            ("ProcessMessageAvgDuration", process.mean(), "ns"),
            ("ProcessMessageP50Duration", process.percentile(0.5), "ns"),
            ("ProcessMessageP99Duration", process.percentile(0.99), "ns"),
            ("ProcessMessageMaxDuration", process.max(), "ns"),
            ("TimerEventAvgDuration", timer.mean(), "ns"),
            ("TimerEventP50Duration", timer.percentile(0.5), "ns"),
            ("TimerEventP99Duration", timer.percentile(0.99), "ns"),
            ("TimerEventMaxDuration", timer.max(), "ns"),
        ];
        let mut text = format!("{}:\n", String::from_utf8_lossy(&self.name));
        for (name, value, unit) in fields {
            text.push_str(&format!("    {name:<26} {value:>12} {unit}\n"));
        }
        let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
    }
}

/// Appends an encoded message that says why a filter, or the loading of one by a manager, ended.
pub fn put_terminated<'b>(buf: &'b mut Vec<u8>, plugin: &[u8], reason: &str) -> MessageBuilder<'b> {
    put_report(buf, TERMINATED, plugin, reason)
}

/// Appends an encoded message in Heka's own name about a filter or a manager.
pub fn put_report<'b>(buf: &'b mut Vec<u8>, kind: &[u8], plugin: &[u8], text: &str) -> MessageBuilder<'b> {
    let mut builder = MessageBuilder::new(buf, &uuid::new_v4(), now_ns());
    builder
        .text(TextHeader::Type, kind)
        .text(TextHeader::Logger, DAEMON)
        .severity(7)
        .text(TextHeader::Payload, text.as_bytes())
        .pid(std::process::id() as i32)
        .text(TextHeader::Hostname, &hostname());
    builder.string_field(b"plugin", plugin, b"");
    builder
}
