//! The thread that sends what lies in the spool, oldest first, until Firehose has given each record an id.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::client::{Client, ClientOptions, MAX_BODY, MAX_RECORDS, Refusal, Results, Status};
use crate::pipeline::{Failure, Signals, report, report_once};
use crate::sink::answer::Meaning;
use crate::sink::{Backoff, Spool};

/// So many records may be refused before the stream has taken any.
const MAX_HELD: usize = 20;
/// How long a stream may take to be created.
const CREATION: Duration = Duration::from_secs(60);
const CREATION_LOOK: Duration = Duration::from_secs(2);
const QUESTION: Duration = Duration::from_secs(10);
/// What is in the body of a call besides records, and of each record besides its base64.
const BODY_FRAME: usize = 256;
const RECORD_FRAME: usize = 16;
/// kinesyslog's word for an account that isn't known.
const UNKNOWN_OWNER: &str = "000000000000";

/// How records are sent.
pub struct SenderOptions {
    pub client: ClientOptions,
    /// The account; `None`: AWS is asked, once.
    pub owner: Option<String>,
    pub flush_interval: Duration,
    pub in_flight: usize,
    /// At the end, how long to go on without any success.
    pub drain: Duration,
}

/// What the threads know together.
pub struct Shared {
    pub spool: Spool,
    state: Mutex<State>,
    /// The state has changed.
    changed: Condvar,
    /// For the sender: there is something to do.
    wake: Notify,
}

#[derive(Default)]
struct State {
    owner: Option<String>,
    closing: Option<Closing>,
    ended: bool,
    fatal: Option<Failure>,
    counts: Counts,
}

/// Nothing more is coming.
#[derive(Clone, Copy)]
struct Closing {
    since: Instant,
    /// Asked to stop: the time counts from then, whatever succeeds.
    hurry: bool,
}

/// What happened to records.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub delivered: u64,
    pub sent_again: u64,
    pub possible_duplicates: u64,
    pub set_aside: u64,
    pub calls: u64,
}

impl Shared {
    pub fn new(spool: Spool) -> Shared {
        Shared { spool, state: Mutex::default(), changed: Condvar::new(), wake: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Waits a little, or until something changes.
    pub fn pause(&self, at_most: Duration) {
        let _ = self.changed.wait_timeout(self.lock(), at_most);
    }

    /// Waits for the account's number; `None` when there will be none.
    pub fn owner(&self) -> Option<String> {
        let mut state = self.lock();
        while state.owner.is_none() && !state.ended {
            state = self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        state.owner.clone()
    }

    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    pub fn fatal(&self) -> Option<Failure> {
        self.lock().fatal.clone()
    }

    pub fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// Something was put into the spool.
    pub fn work(&self) {
        self.wake.notify_one();
        self.changed.notify_all();
    }

    /// Nothing more will be put into the spool; the sender ends when it is empty.
    pub fn close(&self, hurry: bool) {
        let since = Signals::stop_since().filter(|_| hurry).unwrap_or_else(Instant::now);
        let mut state = self.lock();
        match &mut state.closing {
            Some(closing) if hurry && !closing.hurry => *closing = Closing { since, hurry },
            Some(_) => return,
            None => state.closing = Some(Closing { since, hurry }),
        }
        drop(state);
        self.work();
    }

    fn set(&self, set: impl FnOnce(&mut State)) {
        set(&mut self.lock());
        self.changed.notify_all();
    }
}

/// The sender's thread.
pub fn run(shared: &Arc<Shared>, options: SenderOptions) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let sent = runtime.block_on(send(shared, options));
            // A name that is being looked up is not waited for.
            runtime.shutdown_background();
            sent
        }
        Err(error) => Err(Failure::failed(format!("no connections can be made: {error}"))),
    };
    shared.set(|state| {
        state.ended = true;
        state.fatal = result.err();
    });
}

async fn send(shared: &Arc<Shared>, options: SenderOptions) -> Result<(), Failure> {
    let client = Arc::new(Client::new(options.client.clone()).await.map_err(Failure::usage)?);
    let owner = match &options.owner {
        Some(owner) => owner.clone(),
        None => tokio::select! {
            account = in_time(client.account()) => account.unwrap_or_else(|reason| {
                report(&format!("the account's number is not known, records say {UNKNOWN_OWNER}: {reason} (see --owner)"));
                UNKNOWN_OWNER.into()
            }),
            () = nothing_left(shared) => return Ok(()),
        },
    };
    shared.set(|state| state.owner = Some(owner));
    await_stream(shared, &client).await?;
    let mut sender = Sender {
        shared,
        client,
        calls: JoinSet::new(),
        backoff: Backoff::default(),
        not_before: None,
        most: MAX_RECORDS,
        renewed: false,
        accepted: false,
        held: Vec::new(),
        success: Instant::now(),
    };
    let sent = send_all(&mut sender, options).await;
    let held = std::mem::take(&mut sender.held);
    let refused = held.last().map(|(_, reason)| reason.clone());
    held.into_iter().for_each(|(name, _)| shared.spool.give_back(name));
    match refused {
        Some(reason) if sent.is_ok() => Err(Failure::failed(refuses_all(&reason))),
        _ => sent,
    }
}

fn refuses_all(reason: &str) -> String {
    format!("Firehose refused each record and took none, they stay in the spool: {reason}")
}

async fn send_all(sender: &mut Sender<'_>, options: SenderOptions) -> Result<(), Failure> {
    let shared = sender.shared;
    // What an earlier run left goes at once.
    let mut flushing = shared.spool.waiting().0 > 0;
    let mut flushed = Instant::now();
    loop {
        let (waiting, bytes) = shared.spool.waiting();
        let closing = shared.lock().closing;
        let full = waiting >= MAX_RECORDS || body_len(bytes as usize) + waiting * RECORD_FRAME >= MAX_BODY;
        flushing |= waiting > 0 && (closing.is_some() || full || flushed.elapsed() >= options.flush_interval);
        if waiting == 0 && sender.calls.is_empty() {
            if closing.is_some() {
                return Ok(());
            }
            if std::mem::take(&mut flushing) {
                flushed = Instant::now();
            }
        }
        let deadline = closing.map(|closing| {
            let since = if closing.hurry { closing.since } else { closing.since.max(sender.success) };
            since + options.drain
        });
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Ok(());
        }
        // A server that has enough is not asked twice at once.
        let most_calls = if sender.not_before.is_some() { 1 } else { options.in_flight };
        let due = sender.not_before.is_none_or(|at| at <= Instant::now());
        if flushing && waiting > 0 && due && sender.calls.len() < most_calls {
            sender.call();
            continue;
        }
        let next_flush = (waiting > 0 && !flushing).then(|| flushed + options.flush_interval);
        let again = sender.not_before.filter(|_| flushing && sender.calls.is_empty());
        let until = [deadline, next_flush, again].into_iter().flatten().min();
        let until = until.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        tokio::select! {
            Some(ended) = sender.calls.join_next() => {
                // A task that panicked is a defect of ours; its records are sent by the next run.
                if let Ok((names, answer)) = ended {
                    sender.settle(names, answer).await?;
                }
            }
            () = shared.wake.notified() => {}
            () = tokio::time::sleep_until(until.into()) => {}
        }
    }
}

/// What is asked at the start may not keep the rest waiting for as long as a call.
async fn in_time<T>(question: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let answer = tokio::time::timeout(QUESTION, question).await;
    answer.unwrap_or_else(|_| Err(format!("no answer in {} seconds", QUESTION.as_secs())))
}

/// Waits until the run ends with nothing to send: then no question needs its answer any more.
async fn nothing_left(shared: &Shared) {
    while shared.lock().closing.is_none() || shared.spool.waiting().0 > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits for a stream that is being created. One that can't be reached now is no reason to end: there is a spool.
async fn await_stream(shared: &Shared, client: &Client) -> Result<(), Failure> {
    let until = Instant::now() + CREATION;
    while Instant::now() < until && shared.lock().closing.is_none() {
        let status = tokio::select! {
            status = in_time(async { Ok(client.status().await) }) => status,
            () = nothing_left(shared) => return Ok(()),
        };
        match status.unwrap_or_else(|reason| Err(Refusal::Answer(Meaning::Unclear, reason))) {
            Ok(Status::Active) => return Ok(()),
            Ok(Status::Creating) => {
                report_once("looks at a stream that is being created", || "the stream is being created".into());
                tokio::time::sleep(CREATION_LOOK).await;
            }
            Ok(Status::Unknown(reason)) => {
                report(&format!("whether the stream is active is not known: {reason}"));
                return Ok(());
            }
            Err(Refusal::Answer(Meaning::Closed, reason) | Refusal::NoCredentials(reason)) => {
                return Err(Failure::failed(reason));
            }
            Err(Refusal::Answer(_, reason)) => {
                report_once("calls that are made again", || reason);
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Bytes as base64.
fn body_len(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

struct Sender<'s> {
    shared: &'s Arc<Shared>,
    client: Arc<Client>,
    calls: JoinSet<(Vec<String>, Result<Results, Refusal>)>,
    backoff: Backoff,
    /// Set while Firehose doesn't take what it is sent.
    not_before: Option<Instant>,
    /// Records of a call.
    most: usize,
    /// The credentials were read anew, and nothing has succeeded since.
    renewed: bool,
    success: Instant,
    /// Something was delivered.
    accepted: bool,
    /// Records that were refused before anything was: the stream may be the wrong one.
    held: Vec<(String, String)>,
}

impl Sender<'_> {
    fn call(&mut self) {
        let (mut room, mut left) = (MAX_BODY - BODY_FRAME, self.most);
        let batch = self.shared.spool.take(|size| {
            let len = body_len(size as usize) + RECORD_FRAME;
            // The first goes whatever its size is: Firehose is the judge of it.
            let fits = left > 0 && (len <= room || left == self.most);
            if fits {
                room = room.saturating_sub(len);
                left -= 1;
            }
            fits
        });
        if batch.is_empty() {
            return;
        }
        let (names, records): (Vec<String>, Vec<Vec<u8>>) = batch.into_iter().unzip();
        let client = self.client.clone();
        self.calls.spawn(async move { (names, client.put(records).await) });
    }

    async fn settle(&mut self, names: Vec<String>, answer: Result<Results, Refusal>) -> Result<(), Failure> {
        self.shared.set(|state| state.counts.calls += 1);
        let reason = match answer {
            Ok(results) => match self.settle_records(names, results)? {
                Some(reason) => reason,
                None => return Ok(()),
            },
            Err(Refusal::Answer(Meaning::Refused | Meaning::TooLarge, reason)) if names.len() == 1 => {
                return names.into_iter().try_for_each(|name| self.refuse(name, reason.clone()));
            }
            Err(refusal) => {
                let count = names.len();
                names.into_iter().for_each(|name| self.again(name));
                match refusal {
                    Refusal::Answer(Meaning::Closed, reason) => return Err(Failure::failed(reason)),
                    Refusal::NoCredentials(reason) if !self.accepted => return Err(Failure::failed(reason)),
                    Refusal::Answer(Meaning::Refused | Meaning::TooLarge, _) => {
                        self.most = count / 2;
                        return Ok(());
                    }
                    Refusal::Answer(Meaning::Expired, reason) if self.renewed => return Err(Failure::failed(reason)),
                    Refusal::Answer(Meaning::Expired, _) => {
                        self.renewed = true;
                        self.client = Arc::new(self.client.renewed().await.map_err(Failure::failed)?);
                        return Ok(());
                    }
                    Refusal::Answer(Meaning::Unclear, reason) => {
                        self.shared.set(|state| state.counts.possible_duplicates += count as u64);
                        reason
                    }
                    Refusal::Answer(_, reason) | Refusal::NoCredentials(reason) => reason,
                }
            }
        };
        report_once("calls that are made again", || {
            format!("Firehose did not take records, they are sent again: {reason}")
        });
        self.not_before = Some(Instant::now() + self.backoff.next(None));
        Ok(())
    }

    /// Each record has an answer of its own; says why some have to be sent again.
    fn settle_records(&mut self, names: Vec<String>, results: Results) -> Result<Option<String>, Failure> {
        let (mut again, mut delivered) = (None, 0);
        let mut refused = Vec::new();
        for (name, result) in names.into_iter().zip(results) {
            match result {
                Ok(()) => {
                    self.shared.spool.remove(&name);
                    delivered += 1;
                }
                Err((Meaning::Refused, reason)) => refused.push((name, reason)),
                Err((_, reason)) => {
                    self.again(name);
                    again = Some(reason);
                }
            }
        }
        self.shared.set(|state| state.counts.delivered += delivered);
        if delivered > 0 {
            self.success = Instant::now();
            self.accepted = true;
            self.renewed = false;
            // It takes some: to wait longer and longer would be to send less than it takes.
            self.backoff = Backoff::default();
            refused.append(&mut self.held);
        }
        refused.into_iter().try_for_each(|(name, reason)| self.refuse(name, reason))?;
        if again.is_none() {
            self.not_before = None;
            self.most = (self.most * 2).min(MAX_RECORDS);
        }
        Ok(again)
    }

    /// A record is refused by itself: it is set aside, once the stream has taken others.
    fn refuse(&mut self, name: String, reason: String) -> Result<(), Failure> {
        if self.accepted {
            self.shared.set(|state| state.counts.set_aside += 1);
            self.shared.spool.set_aside(&name, &reason);
            return Ok(());
        }
        let words = refuses_all(&reason);
        self.held.push((name, reason));
        if self.held.len() >= MAX_HELD { Err(Failure::failed(words)) } else { Ok(()) }
    }

    fn again(&self, name: String) {
        self.shared.spool.give_back(name);
        self.shared.set(|state| state.counts.sent_again += 1);
    }
}
