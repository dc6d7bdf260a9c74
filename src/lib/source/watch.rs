//! Waiting for files to change: inotify where it works, and a look every second in any case,
//! since network file systems don't report what other machines write.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::pipeline::{Failure, Signals, WaitOn, Wake};

/// How often to look when inotify reports.
pub const LOOK: Duration = Duration::from_secs(1);
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

/// Watches files, each under a number of its owner's, and the directories that they are in.
pub struct Watch {
    inotify: Option<OwnedFd>,
    /// For each number the watch of its file.
    files: HashMap<usize, i32>,
    numbers: HashMap<i32, usize>,
    directories: HashSet<PathBuf>,
    changed: Vec<usize>,
    all_changed: bool,
}

impl Watch {
    pub fn new(path: &Path) -> Watch {
        let mut watch = Watch::empty();
        watch.add(path, 0);
        watch
    }

    pub fn empty() -> Watch {
        Watch {
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok(),
            files: HashMap::new(),
            numbers: HashMap::new(),
            directories: HashSet::new(),
            changed: Vec::new(),
            all_changed: false,
        }
    }

    /// Adds a file by name, or again after another file has taken the number's place.
    pub fn add(&mut self, path: &Path, number: usize) {
        let directory = path.parent().unwrap_or(Path::new(""));
        self.add_directories(std::iter::once(directory));
        let Some(inotify) = &self.inotify else { return };
        let content = WatchFlags::MODIFY | WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF | WatchFlags::ATTRIB;
        // Not there (yet): the directory tells when it appears.
        let Ok(watch) = inotify::add_watch(inotify, path, content) else { return };
        self.numbers.insert(watch, number);
        if let Some(old) = self.files.insert(number, watch).filter(|&old| old != watch)
            && self.numbers.get(&old) == Some(&number)
        {
            self.numbers.remove(&old);
            let _ = inotify::remove_watch(inotify, old);
        }
    }

    /// Adds directories, in which names may appear.
    pub fn add_directories<'a>(&mut self, directories: impl Iterator<Item = &'a Path>) {
        let names = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        for directory in directories {
            let Some(inotify) = &self.inotify else { return };
            if self.directories.contains(directory) {
                continue;
            }
            let path = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
            match inotify::add_watch(inotify, path, names) {
                Ok(_) => {
                    self.directories.insert(directory.to_path_buf());
                }
                // A directory that is not there (yet) is looked for at intervals.
                Err(rustix::io::Errno::NOENT) => {}
                Err(_) => self.inotify = None,
            }
        }
    }

    /// The files that have changed, by their numbers.
    pub fn take_changed(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.changed)
    }

    /// Whether names appeared, or more happened than could be told: then every file may have changed.
    pub fn take_all_changed(&mut self) -> bool {
        std::mem::take(&mut self.all_changed) || self.inotify.is_none()
    }

    fn collect(&mut self) {
        let Some(inotify) = &self.inotify else { return };
        let mut space = [std::mem::MaybeUninit::uninit(); 16 * 1024];
        let mut events = inotify::Reader::new(inotify, &mut space);
        // Without an end while files are written to: what came later comes with the next call.
        for _ in 0..4096 {
            let Ok(event) = events.next() else { return };
            match self.numbers.get(&event.wd()) {
                Some(&number) if self.changed.last() != Some(&number) => self.changed.push(number),
                Some(_) => {}
                None => self.all_changed = true,
            }
        }
        self.all_changed = true;
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
                self.collect();
                Ok(Changed::Maybe)
            }
            Wake::Timeout | Wake::Signal => Ok(Changed::Maybe),
        }
    }
}
