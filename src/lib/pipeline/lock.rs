//! Files that one process uses at a time.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::output::describe;
use super::{Exit, Failure};

/// A process that was just killed may hold its lock for a moment longer.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);

/// Held as long as it lives; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held for its lock")] File);

impl Lock {
    /// Locks a file that is replaced when it is written, by a file beside it: `.NAME.lock`, which stays.
    ///
    /// # Errors
    /// When another process has it, or the file beside it can't be made.
    pub fn beside(path: &Path) -> Result<Lock, Failure> {
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".lock");
        Lock::at(&path.with_file_name(name), path)
    }

    /// Locks by a file; errors name what it stands for.
    ///
    /// # Errors
    /// When another process has it, or it can't be made.
    pub fn at(file: &Path, what: &Path) -> Result<Lock, Failure> {
        let failed = |error: &std::io::Error| Failure::failed(format!("{}: {}", what.display(), describe(error)));
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits() as i32);
        let lock = options.open(file).map_err(|error| failed(&error))?;
        let until = Instant::now() + PATIENCE;
        loop {
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Lock(lock)),
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < until => std::thread::sleep(LOOK),
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let message = format!("{}: another process uses it", what.display());
                    return Err(Failure::Message(Exit::Usage, message));
                }
                Err(error) => return Err(failed(&error.into())),
            }
        }
    }
}

/// Where a path leads: a symbolic link's target, also one that isn't there yet.
pub fn target_of(path: &Path) -> PathBuf {
    let mut path = path.to_path_buf();
    // As many links as the system follows.
    for _ in 0..40 {
        let Ok(target) = fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    path
}
