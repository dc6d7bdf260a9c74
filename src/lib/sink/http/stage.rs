//! The stage of heka-http: an encoder makes bodies, batches of them are delivered.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use super::client::Target;
use crate::matcher::Matcher;
use crate::message::{MessageView, TextHeader};
use crate::pipeline::{Exit, Failure, Flow, Output, Stage, Stats};
use crate::sandbox::{Encoded, Encoder, Terminated};
use crate::sink::delivery::{Batch, Delivery, DeliveryOptions, Form};
use crate::stream::Frame;

/// Bytes of bodies that are collected for one request.
const MAX_BODY: usize = 1 << 20;

/// How batches are made and delivered.
pub struct HttpSinkOptions {
    pub matcher: Option<Matcher>,
    /// Messages in a request.
    pub batch: usize,
    pub batch_age: Duration,
    pub delivery: DeliveryOptions,
}

/// Bodies are made once, by the encoder.
struct MadeOnce;

impl Form for MadeOnce {
    fn put(&self, _view: &MessageView<'_>, _body: &mut Vec<u8>) {}
}

/// Sends messages.
pub struct HttpSink {
    encoder: Encoder,
    target: Target,
    matcher: Option<Matcher>,
    batch: usize,
    batch_age: Duration,
    delivery: Delivery<Target, MadeOnce>,
    /// A batch for each lane: the messages of a stream are in one lane, which keeps their order.
    open: Vec<Open>,
    encoded: u64,
}

#[derive(Default)]
struct Open {
    batch: Batch,
    since: Option<Instant>,
}

impl HttpSink {
    /// # Errors
    /// When no thread can be started.
    pub fn new(target: Target, encoder: Encoder, options: HttpSinkOptions) -> Result<HttpSink, Failure> {
        let lanes = options.delivery.in_flight.max(1);
        Ok(HttpSink {
            encoder,
            target: target.clone(),
            matcher: options.matcher,
            batch: options.batch.max(1),
            batch_age: options.batch_age,
            delivery: Delivery::start(vec![target], MadeOnce, options.delivery)?,
            open: (0..lanes).map(|_| Open::default()).collect(),
            encoded: 0,
        })
    }

    /// 1 when a message was not delivered.
    pub fn exit(&self) -> Exit {
        self.delivery.exit()
    }

    /// The lane of a message: that of its stream, or of the host and the logger where it has no cursor.
    fn lane(&self, frame: &Frame<'_>) -> usize {
        if self.open.len() == 1 {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        match frame.header().cursor() {
            Some(cursor) => cursor.stream.hash(&mut hasher),
            None => {
                let view = frame.view();
                view.text(TextHeader::Hostname).hash(&mut hasher);
                view.text(TextHeader::Logger).hash(&mut hasher);
            }
        }
        (hasher.finish() % self.open.len() as u64) as usize
    }

    fn submit(&mut self, lane: usize) -> Result<(), Failure> {
        let Some(open) = self.open.get_mut(lane) else { return Ok(()) };
        open.since = None;
        self.delivery.submit(&mut open.batch)
    }

    /// Adds a message's bytes to its lane's batch, if it has any. One that the encoder rejects goes to the backup.
    fn encode(&mut self, frame: &Frame<'_>, lane: usize) -> Result<(), Failure> {
        let Some(open) = self.open.get_mut(lane) else { return Ok(()) };
        match self.encoder.encode(frame.view()) {
            Ok(Ok(Encoded::Bytes(bytes))) => {
                let batch = &mut open.batch;
                batch.lane = Some(lane as u64);
                batch.body.extend_from_slice(bytes);
                batch.ends.push(batch.body.len());
                batch.frames.extend_from_slice(frame.raw());
                batch.events += 1;
                if self.encoded == 0 {
                    self.target.set_content_type(self.encoder.content_type());
                }
                self.encoded += 1;
                open.since.get_or_insert_with(Instant::now);
                Ok(())
            }
            Ok(Ok(Encoded::Nothing)) => Ok(()),
            Ok(Err(reason)) => self.delivery.bury(frame.raw(), &reason),
            Err(Terminated(reason)) => Err(Failure::failed(reason)),
        }
    }

    fn batches(&mut self) -> Vec<Batch> {
        self.open.iter_mut().map(|open| std::mem::take(&mut open.batch)).collect()
    }
}

impl Stage for HttpSink {
    fn message(&mut self, frame: &Frame<'_>, _out: &mut Output) -> Result<Flow, Failure> {
        let lane = self.lane(frame);
        if self.matcher.as_ref().is_none_or(|matcher| matcher.matches(&frame.view())) {
            self.encode(frame, lane)?;
        }
        let Some(open) = self.open.get_mut(lane) else { return Ok(Flow::Continue) };
        if let Some(cursor) = frame.header().cursor() {
            open.batch.marks.note(&cursor);
        }
        if open.batch.events >= self.batch || open.batch.body.len() >= MAX_BODY {
            self.submit(lane)?;
        }
        Ok(Flow::Continue)
    }

    fn idle(&mut self, _out: &mut Output) -> Result<(), Failure> {
        if let Some(failure) = self.delivery.failure() {
            return Err(failure);
        }
        for lane in 0..self.open.len() {
            let Some(open) = self.open.get_mut(lane) else { break };
            if open.batch.events == 0 {
                self.delivery.pass(std::mem::take(&mut open.batch.marks));
            } else if open.since.is_some_and(|since| since.elapsed() >= self.batch_age) {
                self.submit(lane)?;
            }
        }
        Ok(())
    }

    fn wake_at(&self) -> Option<Instant> {
        // A fatal reply must be noticed although no message comes.
        let look = Instant::now() + Duration::from_secs(1);
        let oldest = self.open.iter().filter_map(|open| open.since).min();
        Some(oldest.map_or(look, |since| (since + self.batch_age).min(look)))
    }

    fn finish(&mut self, _out: &mut Output) -> Result<(), Failure> {
        let mut batches = self.batches();
        self.delivery.finish(&mut batches)
    }

    fn stats(&self, stats: &mut Stats) {
        stats.set("messages_encoded", self.encoded);
        self.delivery.add_stats(stats);
        stats.set("max_memory", self.encoder.usage().max_memory as u64);
    }
}

impl Drop for HttpSink {
    fn drop(&mut self) {
        // The checkpoint was saved as far as it could be; an error on the way out changes nothing.
        let mut batches = self.batches();
        let _ = self.delivery.end(&mut batches);
    }
}
