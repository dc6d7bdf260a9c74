//! One thread that writes what all connections receive, and says when it is written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use tokio::sync::mpsc::{Receiver, Sender, channel, error::TryRecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::pipeline::{Failure, Output, Stats, spawn};

/// Frames on their way to standard output.
struct Submission {
    frames: Vec<u8>,
    messages: u64,
    /// Called when the frames have been written; not called when that fails.
    written: Box<dyn FnOnce() + Send>,
    _room: OwnedSemaphorePermit,
}

/// Where connections hand their frames to.
#[derive(Clone)]
pub struct Writer {
    submissions: Sender<Submission>,
    room: Arc<Semaphore>,
    capacity: usize,
    counts: Arc<Counts>,
}

/// What a writer has written.
#[derive(Default)]
pub struct Counts {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Counts {
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        stats.set("messages_out", self.messages.load(Ordering::Relaxed));
        stats.set("bytes_out", self.bytes.load(Ordering::Relaxed));
        stats
    }
}

impl Writer {
    /// Starts the thread. At most `capacity` bytes wait to be written; more wait in their connections. `failed` is
    /// called when nothing can be written any more; the thread's result says why.
    pub fn start(
        capacity: usize,
        failed: impl FnOnce() + Send + 'static,
    ) -> Result<(Writer, JoinHandle<Result<(), Failure>>), Failure> {
        let mut out = Output::frames()?;
        let (submissions, mut receiver) = channel(1024);
        let counts = Arc::new(Counts::default());
        let counted = counts.clone();
        let run = move || {
            let result = write(&mut receiver, &mut out, &counted);
            if result.is_err() {
                failed();
            }
            result
        };
        let thread = spawn("writer", run)?;
        let capacity = capacity.clamp(1, u32::MAX as usize >> 3);
        Ok((Writer { submissions, room: Arc::new(Semaphore::new(capacity)), capacity, counts }, thread))
    }

    pub fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    /// Whether frames would have to wait. Who sees that before reading leaves what comes in its socket.
    pub fn is_full(&self) -> bool {
        self.room.available_permits() == 0
    }

    /// Waits until frames need not wait.
    pub async fn room(&self) {
        let _ = self.room.acquire().await;
    }

    /// Hands frames over; waits while too much is queued. False when nothing can be written any more.
    pub async fn submit(&self, frames: Vec<u8>, messages: u64, written: impl FnOnce() + Send + 'static) -> bool {
        // One that is larger than everything allowed takes all of it.
        let size = frames.capacity().clamp(1, self.capacity) as u32;
        let Ok(room) = self.room.clone().acquire_many_owned(size).await else { return false };
        let submission = Submission { frames, messages, written: Box::new(written), _room: room };
        self.submissions.send(submission).await.is_ok()
    }
}

fn write(receiver: &mut Receiver<Submission>, out: &mut Output, counts: &Counts) -> Result<(), Failure> {
    // Ends when every connection has let go of its sender.
    while let Some(first) = receiver.blocking_recv() {
        let mut next = Some(first);
        let mut written = Vec::new();
        let mut messages = 0;
        while let Some(submission) = next {
            out.buf().extend_from_slice(&submission.frames);
            messages += submission.messages;
            written.push((submission.written, submission._room));
            // What else is there goes out in the same block.
            let more = out.buf().len() < 256 * 1024;
            next = match more.then(|| receiver.try_recv()) {
                Some(Ok(submission)) => Some(submission),
                Some(Err(TryRecvError::Empty | TryRecvError::Disconnected)) | None => None,
            };
        }
        out.flush()?;
        counts.messages.fetch_add(messages, Ordering::Relaxed);
        counts.bytes.store(out.bytes_written(), Ordering::Relaxed);
        for (tell, _room) in written {
            tell();
        }
    }
    Ok(())
}
