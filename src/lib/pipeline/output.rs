//! Standard output: collected into big blocks of whole frames, written when a block is full or before a wait.

use std::io::{ErrorKind, IsTerminal as _};
use std::os::fd::BorrowedFd;
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::stdio::stdout;

use super::Failure;

/// What is collected before it is written. With the usual log line that is some 700 frames.
const BLOCK: usize = 256 * 1024;

/// Whether standard output was closed when the program began (`>&-`). Before `main`, Rust's runtime puts /dev/null in its
/// place, where everything written would be lost without a word: so this is looked at before that.
#[cfg(target_os = "linux")]
static CLOSED: AtomicBool = AtomicBool::new(false);

#[cfg(target_os = "linux")]
extern "C" fn look() {
    CLOSED.store(rustix::io::fcntl_getfd(stdout()).is_err(), Ordering::Relaxed);
}

// SAFETY: the section holds pointers to functions of this type, which are called once before `main` (System V ABI).
#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

/// A buffered standard output.
pub struct Output {
    buf: Vec<u8>,
    written: u64,
}

impl Output {
    /// For programs that write frames.
    ///
    /// # Errors
    /// When standard output is a terminal, which a binary stream would garble.
    pub fn frames() -> Result<Output, Failure> {
        if std::io::stdout().is_terminal() {
            return Err(Failure::usage(
                "standard output is a terminal, and Heka messages are binary: add \"| heka-cat\" to read them, or \"> FILE\"",
            ));
        }
        Ok(Output::text())
    }

    /// For programs that write text.
    pub fn text() -> Output {
        // A larger pipe means fewer switches between the programs; where it is refused, nothing is lost.
        let _ = rustix::pipe::fcntl_setpipe_size(stdout(), 1 << 20);
        Output { buf: Vec::with_capacity(BLOCK + 64 * 1024), written: 0 }
    }

    /// The block being filled: append whole frames or lines, then call [`Output::filled`].
    #[inline]
    pub fn buf(&mut self) -> &mut Vec<u8> {
        &mut self.buf
    }

    /// Writes the block out if it is full.
    #[inline]
    pub fn filled(&mut self) -> Result<(), Failure> {
        if self.buf.len() >= BLOCK { self.flush() } else { Ok(()) }
    }

    #[inline]
    pub fn push(&mut self, frame: &[u8]) -> Result<(), Failure> {
        self.buf.extend_from_slice(frame);
        self.filled()
    }

    /// Everything collected goes out now.
    ///
    /// # Errors
    /// [`Failure::ClosedPipe`] when the reader has gone; a message for a full disk and the like.
    pub fn flush(&mut self) -> Result<(), Failure> {
        #[cfg(target_os = "linux")]
        if !self.buf.is_empty() && CLOSED.load(Ordering::Relaxed) {
            self.buf.clear();
            return Err(Failure::failed("standard output is closed"));
        }
        let mut at = 0;
        while let Some(rest) = self.buf.get(at..).filter(|rest| !rest.is_empty()) {
            match rustix::io::write(stdout(), rest) {
                Ok(count) => {
                    at += count;
                    self.written += count as u64;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => wait_writable(),
                Err(error) => {
                    self.buf.clear();
                    let error = std::io::Error::from(error);
                    if error.kind() == ErrorKind::BrokenPipe {
                        return Err(Failure::ClosedPipe);
                    }
                    return Err(Failure::failed(format!("standard output: {}", describe(&error))));
                }
            }
        }
        self.buf.clear();
        // One huge frame must not keep its memory for ever.
        self.buf.shrink_to(2 * BLOCK);
        Ok(())
    }

    pub fn bytes_written(&self) -> u64 {
        self.written
    }

    pub fn fd(&self) -> BorrowedFd<'static> {
        stdout_fd()
    }
}

/// Standard output's descriptor, to be waited on.
pub fn stdout_fd() -> BorrowedFd<'static> {
    stdout()
}

fn wait_writable() {
    use rustix::event::{PollFd, PollFlags, poll};
    let _ = poll(&mut [PollFd::from_borrowed_fd(stdout(), PollFlags::OUT)], None);
}

/// The system's words without its number.
pub fn describe(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_string(),
        None => text,
    }
}
