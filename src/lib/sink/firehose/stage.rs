//! The stage: messages are collected by group and stream, made records of by a thread, and put into the spool.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender as Channel, SyncSender, TryRecvError, TrySendError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::client::ClientOptions;
use super::record::{Events, Format, RecordMaker, RecordOptions};
use super::sender::{self, Counts, SenderOptions, Shared};
use crate::message::{Interpolation, MessageView, TextHeader, put_value_text};
use crate::pipeline::{
    COMMIT_EVERY, Checkpoint, Exit, Failure, Flow, Output, Signals, Stage, Stats, report, report_once, spawn,
};
use crate::sink::DeadLetters;
use crate::sink::Spool;
use crate::sink::delivery::save;
use crate::sink::watermark::Watermark;
use crate::stream::Frame;

/// So many groups are collected at a time.
const MAX_GROUPS: usize = 10_000;
/// A message shorter than this makes a record that is short enough, whatever is in it.
const SURELY_SHORT: usize = 128 * 1024;
/// How often the age of groups is looked at while messages keep coming.
const LOOK_EVERY: u64 = 256;
const SHORT_PAUSE: Duration = Duration::from_millis(5);
const FILE_PREFIX: &str = "firehose_event-";

/// How messages become records, and where these go.
pub struct FirehoseOptions {
    pub client: ClientOptions,
    pub record: RecordOptions,
    /// The account; `None`: AWS is asked.
    pub owner: Option<String>,
    /// `None`: the message's type.
    pub log_group: Option<Interpolation>,
    pub buffer_bytes: usize,
    pub buffer_age: Duration,
    pub spool_dir: PathBuf,
    pub spool_max: u64,
    pub flush_interval: Duration,
    pub in_flight: usize,
    pub drain: Duration,
    pub dead_letters: DeadLetters,
    pub checkpoint: Option<Checkpoint>,
}

/// Messages of one group and stream.
struct Group {
    name: Vec<u8>,
    stream: Vec<u8>,
    events: Events,
    since: Instant,
    /// The number of its first message.
    first: u64,
}

/// Sends messages to a delivery stream.
pub struct Firehose {
    record: RecordOptions,
    log_group: Option<Interpolation>,
    buffer_bytes: usize,
    buffer_age: Duration,
    drain: Duration,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// To the thread that makes records; `None` when nothing more is coming.
    full: Option<SyncSender<Vec<Group>>>,
    /// The first messages of groups that are safe.
    done: Receiver<u64>,
    groups: HashMap<Vec<u8>, Group>,
    /// When the oldest group is old enough; no later than that.
    due: Option<Instant>,
    /// Bytes of events in the groups.
    bytes: usize,
    key: Vec<u8>,
    messages: u64,
    watermark: Watermark,
    checkpoint: Option<Checkpoint>,
    saved: Instant,
    dead_letters: DeadLetters,
    dead_lettered: u64,
}

impl Firehose {
    /// # Errors
    /// When the spool can't be used, or no thread can be started.
    pub fn new(options: FirehoseOptions) -> Result<Firehose, Failure> {
        let shared = Arc::new(Shared::new(Spool::open(&options.spool_dir, FILE_PREFIX, "--spool-dir")?));
        let (full, closed) = sync_channel(1);
        let (safe, done) = channel();
        let needs_owner = options.record.format == Format::CloudWatch;
        let sender = SenderOptions {
            client: options.client,
            owner: options.owner.or_else(|| (!needs_owner).then(String::new)),
            flush_interval: options.flush_interval,
            in_flight: options.in_flight.max(1),
            drain: options.drain,
        };
        let (for_records, for_sender) = (shared.clone(), shared.clone());
        let (record, spool_max) = (options.record, options.spool_max);
        let threads = vec![
            spawn("records", move || make_records(&for_records, &closed, &safe, record, spool_max))?,
            spawn("firehose", move || sender::run(&for_sender, sender))?,
        ];
        Ok(Firehose {
            record,
            log_group: options.log_group,
            buffer_bytes: options.buffer_bytes,
            buffer_age: options.buffer_age,
            drain: options.drain,
            shared,
            threads,
            full: Some(full),
            done,
            groups: HashMap::new(),
            due: None,
            bytes: 0,
            key: Vec::new(),
            messages: 0,
            watermark: Watermark::default(),
            checkpoint: options.checkpoint,
            saved: Instant::now(),
            dead_letters: options.dead_letters,
            dead_lettered: 0,
        })
    }

    /// The status to exit with after a run without an error: 1 when something is left or was left out.
    pub fn exit(&self) -> Exit {
        let left = !self.shared.spool.is_empty() || self.shared.spool.set_aside_count() > 0;
        if left || self.dead_lettered > 0 { Exit::Negative } else { Exit::Success }
    }

    /// One line for people, where there is more to say than that all is well.
    pub fn summary(&self) -> Option<String> {
        let Counts { delivered, sent_again, possible_duplicates, set_aside, .. } = self.shared.counts();
        let (spool, dead) = (&self.shared.spool, self.dead_lettered);
        (sent_again + set_aside + dead > 0 || spool.summary().is_some()).then(|| {
            let (left, directory) = (spool.len(), spool.directory().display());
            let before = (spool.set_aside_count() as u64).saturating_sub(set_aside);
            let before = if before > 0 { format!(" ({before} more by earlier runs)") } else { String::new() };
            format!(
                "records: {delivered} delivered, {sent_again} sent again, {possible_duplicates} possible duplicates, \
                 {left} left in {directory}, {set_aside} set aside{before}; {dead} messages dead-lettered"
            )
        })
    }

    /// Puts what a message belongs to into the key: group, a zero byte, stream. Answers the group's length.
    fn make_key(&mut self, view: &MessageView<'_>) -> usize {
        self.key.clear();
        if self.record.format != Format::CloudWatch {
            return 0;
        }
        match &self.log_group {
            Some(template) => template.put(&mut self.key, view),
            // What heka-listen makes is called as kinesyslog calls it.
            None => self.key.extend_from_slice(match view.text(TextHeader::Type).unwrap_or_default() {
                b"syslog" => b"syslog_message",
                b"gelf" => b"gelf_message",
                other => other,
            }),
        }
        let len = self.key.len();
        self.key.push(0);
        match view.value(b"sender") {
            Some(sender) => put_value_text(&mut self.key, sender),
            None => self.key.extend_from_slice(view.text(TextHeader::Hostname).unwrap_or_default()),
        }
        len
    }

    /// Whether a record can hold the message; else it goes to the dead letters.
    fn fits(&mut self, frame: &Frame<'_>, group_len: usize) -> Result<bool, Failure> {
        if frame.message().len() < SURELY_SHORT {
            return Ok(true);
        }
        let mut event = Events::default();
        event.push(frame, self.record.format);
        let (group, stream) = split_key(&self.key, group_len);
        // A number of twelve digits, as all accounts have.
        if RecordMaker::new(self.record, "000000000000").fits(&event, group, stream) {
            return Ok(true);
        }
        let reason = "the message is longer than a record may be";
        self.dead_lettered += self.dead_letters.bury(frame.raw(), 0, reason)?;
        Ok(false)
    }

    /// Hands groups over; waits while the thread has enough.
    fn close(&mut self, keys: &[Vec<u8>]) -> Result<(), Failure> {
        let mut groups: Vec<Group> = keys.iter().filter_map(|key| self.groups.remove(key)).collect();
        groups.sort_unstable_by_key(|group| group.first);
        if groups.is_empty() {
            return Ok(());
        }
        for group in &mut groups {
            group.events.close();
            self.bytes -= group.events.bytes();
        }
        self.watermark.end();
        let mut waiting = Some(groups);
        while let (Some(full), Some(groups)) = (&self.full, waiting.take()) {
            match full.try_send(groups) {
                Ok(()) => break,
                Err(TrySendError::Full(groups)) => waiting = Some(groups),
                // It ends only after a failure.
                Err(TrySendError::Disconnected(_)) => return Err(self.failure()),
            }
            self.give_up_late()?;
            self.commit()?;
            self.shared.pause(SHORT_PAUSE);
        }
        Ok(())
    }

    /// While something is waited for: an error when the program was asked to stop long ago.
    fn give_up_late(&mut self) -> Result<(), Failure> {
        self.print_if_asked();
        if Signals::stop_since().is_some_and(|since| since.elapsed() > self.drain) {
            self.full = None;
            let words = "stopped before everything was in the spool";
            return Err(Failure::Message(Exit::Negative, words.into()));
        }
        Ok(())
    }

    fn failure(&self) -> Failure {
        self.shared.fatal().unwrap_or_else(|| Failure::failed("records can't be made"))
    }

    fn close_old(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        if self.due.is_none_or(|due| due > now) {
            return Ok(());
        }
        let is_old = |group: &Group| group.since + self.buffer_age <= now;
        let old: Vec<_> = self.groups.iter().filter(|(_, group)| is_old(group)).map(|(key, _)| key.clone()).collect();
        let closed = self.close(&old);
        self.due = self.groups.values().map(|group| group.since + self.buffer_age).min();
        closed
    }

    /// Makes room, the largest groups first: many small records cost more than few long ones.
    fn close_largest(&mut self) -> Result<(), Failure> {
        let mut sizes: Vec<_> = self.groups.iter().map(|(key, group)| (group.events.bytes(), key)).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let mut left = self.bytes;
        let largest = sizes.into_iter().take_while(|(size, _)| {
            let wanted = left > self.bytes / 2;
            left -= size;
            wanted
        });
        let keys: Vec<_> = largest.map(|(_, key)| key.clone()).collect();
        self.close(&keys)?;
        self.commit()
    }

    /// Notes what has become safe, and writes the checkpoint now and then.
    fn commit(&mut self) -> Result<(), Failure> {
        while let Ok(first) = self.done.try_recv() {
            self.watermark.safe(first, self.checkpoint.as_mut());
        }
        if self.saved.elapsed() < COMMIT_EVERY {
            return Ok(());
        }
        self.saved = Instant::now();
        save(&mut self.checkpoint)
    }

    /// While the program waits here, nobody else answers SIGUSR1.
    fn print_if_asked(&self) {
        if Signals::get().is_some_and(Signals::take_statistics_request) {
            let mut stats = Stats::default();
            self.stats(&mut stats);
            stats.print();
        }
    }

    /// Everything that was read goes into the spool.
    fn spool_all(&mut self) -> Result<(), Failure> {
        let keys: Vec<_> = self.groups.keys().cloned().collect();
        self.close(&keys)?;
        self.full = None;
        loop {
            match self.done.try_recv() {
                Ok(first) => self.watermark.safe(first, self.checkpoint.as_mut()),
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    self.give_up_late()?;
                    self.shared.pause(SHORT_PAUSE);
                }
            }
        }
        // Messages that belong to no group are safe, too.
        self.watermark.end();
        self.watermark.safe(0, self.checkpoint.as_mut());
        save(&mut self.checkpoint)
    }

    /// Everything out of the spool.
    fn send_all(&mut self) -> Result<(), Failure> {
        self.shared.close(Signals::stop_asked());
        while !self.shared.has_ended() {
            if Signals::stop_asked() {
                self.shared.close(true);
            }
            self.print_if_asked();
            self.shared.pause(Duration::from_millis(200));
        }
        self.shared.fatal().map_or(Ok(()), Err)
    }
}

fn split_key(key: &[u8], group_len: usize) -> (&[u8], &[u8]) {
    (key.get(..group_len).unwrap_or_default(), key.get(group_len + 1..).unwrap_or_default())
}

/// The thread that makes records and puts them into the spool.
fn make_records(
    shared: &Shared,
    closed: &Receiver<Vec<Group>>,
    safe: &Channel<u64>,
    options: RecordOptions,
    spool_max: u64,
) {
    let Some(owner) = shared.owner() else { return };
    let mut maker = RecordMaker::new(options, &owner);
    for groups in closed {
        let mut records = Vec::new();
        let mut first = Vec::with_capacity(groups.len());
        for Group { name, stream, events, first: number, .. } in groups {
            // Compressing into memory can't fail.
            let Ok(made) = maker.make(&events, &name, &stream) else { return };
            records.extend(made);
            first.push(number);
        }
        loop {
            let full = shared.spool.bytes() >= spool_max;
            if full && shared.has_ended() {
                return;
            }
            if full {
                report_once("times that the spool was full", || {
                    "the spool is full: nothing more is read until there is room".into()
                });
                shared.pause(Duration::from_millis(50));
                continue;
            }
            break;
        }
        let go_on = || if shared.has_ended() { Err(Failure::ClosedPipe) } else { Ok(()) };
        if shared.spool.put_when_possible(&records, go_on).is_err() {
            return;
        }
        for number in first {
            // Nobody receives after a failure.
            let _ = safe.send(number);
        }
        shared.work();
    }
}

impl Stage for Firehose {
    fn message(&mut self, frame: &Frame<'_>, _out: &mut Output) -> Result<Flow, Failure> {
        let group_len = self.make_key(&frame.view());
        self.messages += 1;
        // A message that belongs to the backup is not read before it is there.
        let fits = self.fits(frame, group_len)?;
        let number = self.watermark.message(frame.header().cursor());
        if !fits {
            return Ok(Flow::Continue);
        }
        if !self.groups.contains_key(&self.key) {
            if self.groups.len() >= MAX_GROUPS {
                self.close_largest()?;
            }
            self.watermark.begin(number);
            let (name, stream) = split_key(&self.key, group_len);
            let since = Instant::now();
            let (name, stream) = (name.to_vec(), stream.to_vec());
            let group = Group { name, stream, events: Events::default(), since, first: number };
            self.groups.insert(self.key.clone(), group);
            self.due.get_or_insert(since + self.buffer_age);
        }
        if let Some(group) = self.groups.get_mut(&self.key) {
            let before = group.events.bytes();
            group.events.push(frame, self.record.format);
            self.bytes += group.events.bytes() - before;
        }
        if self.bytes >= self.buffer_bytes {
            self.close_largest()?;
        }
        if self.messages.is_multiple_of(LOOK_EVERY) {
            if self.shared.has_ended() {
                return Err(self.failure());
            }
            self.close_old()?;
        }
        Ok(Flow::Continue)
    }

    fn idle(&mut self, _out: &mut Output) -> Result<(), Failure> {
        if self.shared.has_ended() {
            return Err(self.failure());
        }
        self.close_old()?;
        self.commit()
    }

    fn wake_at(&self) -> Option<Instant> {
        // Also for a failure, and for what has become safe.
        let look = Instant::now() + Duration::from_secs(1);
        Some(self.due.map_or(look, |due| due.min(look)))
    }

    fn finish(&mut self, _out: &mut Output) -> Result<(), Failure> {
        let delivered = self.spool_all().and_then(|()| self.send_all());
        if delivered.is_ok() {
            self.threads.drain(..).for_each(|thread| drop(thread.join()));
        }
        delivered
    }

    fn stats(&self, stats: &mut Stats) {
        let counts = self.shared.counts();
        stats
            .set("messages_dead_lettered", self.dead_lettered)
            .set("records_delivered", counts.delivered)
            .set("records_sent_again", counts.sent_again)
            .set("possible_duplicates", counts.possible_duplicates)
            .set("records_set_aside", counts.set_aside)
            .set("records_in_spool", self.shared.spool.len() as u64)
            .set("bytes_in_spool", self.shared.spool.bytes())
            .set("requests", counts.calls);
    }
}

impl Drop for Firehose {
    fn drop(&mut self) {
        // After a failure, what was read is kept for the next run.
        if self.full.is_some()
            && let Err(Failure::Message(_, reason)) = self.spool_all()
        {
            report(&format!("some messages are not in the spool: {reason}"));
        }
        if let Some(summary) = self.summary() {
            report(&summary);
        }
    }
}
