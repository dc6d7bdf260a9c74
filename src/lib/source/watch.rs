//! Waiting for files to change: inotify where it works, and a look every second in any case,
//! since network file systems don't report what other machines write.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::pipeline::{Failure, Signals, WaitOn, Wake};

/// How often to look when inotify reports.
const LOOK: Duration = Duration::from_secs(1);
/// … and when it doesn't work.
const POLL: Duration = Duration::from_millis(100);

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Something may have changed, or it is time to look.
    Maybe,
    /// The extra descriptor at that place can be read.
    Extra(usize),
    /// A stop was asked for.
    Stop,
}

/// Watches files and the directories that they are in.
pub struct Watch {
    inotify: Option<OwnedFd>,
    files: HashMap<PathBuf, i32>,
}

impl Watch {
    pub fn new(path: &Path) -> Watch {
        let mut watch = Watch::empty();
        watch.add(path);
        watch
    }

    pub fn empty() -> Watch {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        Watch { inotify, files: HashMap::new() }
    }

    /// Adds a file by name, or again after another file has taken the name.
    pub fn add(&mut self, path: &Path) {
        let Some(inotify) = &self.inotify else { return };
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let names = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        let added = inotify::add_watch(inotify, directory, names);
        let content = WatchFlags::MODIFY | WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF;
        match (added, inotify::add_watch(inotify, path, content)) {
            (Err(_), _) => self.inotify = None,
            (Ok(_), Ok(number)) => {
                if let Some(old) = self.files.insert(path.to_path_buf(), number).filter(|&old| old != number) {
                    let _ = inotify::remove_watch(inotify, old);
                }
            }
            // Not there (yet): the directory tells when it appears.
            (Ok(_), Err(_)) => {}
        }
    }

    /// Sleeps until something may have changed; false when a stop was asked for.
    pub fn wait(&mut self, output: BorrowedFd<'_>, wake_at: Option<Instant>) -> Result<bool, Failure> {
        Ok(self.wait_also(&[], output, wake_at)? != Changed::Stop)
    }

    /// The same, with more descriptors to wait for.
    pub fn wait_also(
        &mut self,
        extra: &[BorrowedFd<'_>],
        output: BorrowedFd<'_>,
        wake_at: Option<Instant>,
    ) -> Result<Changed, Failure> {
        let look = if self.inotify.is_some() { LOOK } else { POLL };
        let until = wake_at.map_or(look, |at| at.saturating_duration_since(Instant::now()).min(look));
        let Some(signals) = Signals::get() else {
            std::thread::sleep(POLL);
            return Ok(Changed::Maybe);
        };
        let mut readable: Vec<BorrowedFd<'_>> = extra.to_vec();
        readable.extend(self.inotify.as_ref().map(AsFd::as_fd));
        let on = WaitOn { readable: &readable, output: Some(output), timeout: Some(until), ignore_stop: false };
        match signals.wait(on) {
            Wake::Stop => Ok(Changed::Stop),
            Wake::OutputClosed => Err(Failure::ClosedPipe),
            Wake::Readable(place) if place < extra.len() => Ok(Changed::Extra(place)),
            Wake::Readable(_) => {
                // What happened doesn't matter: every file is looked at.
                if let Some(inotify) = &self.inotify {
                    let mut events = [0u8; 4096];
                    while rustix::io::read(inotify, &mut events).is_ok_and(|count| count == events.len()) {}
                }
                Ok(Changed::Maybe)
            }
            Wake::Timeout | Wake::Signal => Ok(Changed::Maybe),
        }
    }
}
