//! Batches on disk, from when they are made until they are delivered: they survive kill -9 and a reboot.
//!
//! A file a batch. It is written under a temporary name, synced and renamed, so a file of the spool is whole; its name
//! begins with the time, so that the order of names is the order of age. One process uses a directory at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use rustix::fs::{FlockOperation, flock};

use crate::message::now_ns;
use crate::pipeline::{Failure, describe, report};

/// What is set aside begins with this.
const BAD: &str = "bad-";
const TEMPORARY: &str = "_temp_";

/// A directory of batches.
pub struct Spool {
    directory: PathBuf,
    /// What names of batches begin with.
    prefix: &'static str,
    /// Held as long as the spool is.
    _lock: File,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Sizes of all batches.
    files: BTreeMap<String, u64>,
    /// Those that nobody has taken.
    waiting: BTreeSet<String>,
    bytes: u64,
    waiting_bytes: u64,
    sequence: u64,
}

impl Spool {
    /// Opens a directory, which is made if it isn't there, and takes up the batches in it. Errors name the option that it
    /// came by.
    ///
    /// # Errors
    /// When another process uses it, or it can't be used.
    pub fn open(directory: &Path, prefix: &'static str, option: &str) -> Result<Spool, Failure> {
        let failed =
            |error: io::Error| Failure::failed(format!("{option} {}: {}", directory.display(), describe(&error)));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let lock = File::create(directory.join(".lock")).map_err(failed)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let message = format!("{option} {}: another process uses it", directory.display());
            return Err(Failure::usage(message));
        }
        let mut state = State::default();
        for entry in fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with(TEMPORARY) {
                // Left by a process that ended while it wrote; its messages were never said to be safe.
                fs::remove_file(entry.path()).map_err(failed)?;
            } else if name.starts_with(prefix) {
                state.add(name, entry.metadata().map_err(failed)?.len());
            }
        }
        Ok(Spool { directory: directory.to_path_buf(), prefix, _lock: lock, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Bytes of all batches.
    pub fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// How many batches there are, also those that are taken.
    pub fn len(&self) -> usize {
        self.lock().files.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many batches wait to be taken, and their bytes.
    pub fn waiting(&self) -> (usize, u64) {
        let state = self.lock();
        (state.waiting.len(), state.waiting_bytes)
    }

    /// Adds batches; when it returns they are safe.
    ///
    /// # Errors
    /// When they can't be written: then there is none of them.
    pub fn put(&self, batches: &[Vec<u8>]) -> io::Result<()> {
        let mut names = Vec::with_capacity(batches.len());
        let written = batches.iter().try_for_each(|batch| {
            let name = self.new_name();
            let temporary = self.directory.join(format!("{TEMPORARY}{name}"));
            names.push(name);
            let mut file = File::create(&temporary)?;
            file.write_all(batch)?;
            file.sync_data()
        });
        let renamed = written.and_then(|()| {
            names.iter().try_for_each(|name| {
                fs::rename(self.directory.join(format!("{TEMPORARY}{name}")), self.directory.join(name))
            })?;
            File::open(&self.directory)?.sync_all()
        });
        if let Err(error) = renamed {
            for name in &names {
                let _ = fs::remove_file(self.directory.join(format!("{TEMPORARY}{name}")));
                let _ = fs::remove_file(self.directory.join(name));
            }
            return Err(error);
        }
        let mut state = self.lock();
        for (name, batch) in names.into_iter().zip(batches) {
            state.add(name, batch.len() as u64);
        }
        Ok(())
    }

    fn new_name(&self) -> String {
        let mut state = self.lock();
        state.sequence += 1;
        format!("{}{:020}-{:010}-{:07}", self.prefix, now_ns(), state.sequence, std::process::id())
    }

    /// The oldest batches that wait, as many as are wanted: `fits` is told the size of each, and answers whether that one
    /// comes with the others. One that can't be read is set aside.
    pub fn take(&self, mut fits: impl FnMut(u64) -> bool) -> Vec<(String, Vec<u8>)> {
        let mut names = Vec::new();
        {
            let mut state = self.lock();
            while let Some(name) = state.waiting.first().cloned() {
                let size = state.files.get(&name).copied().unwrap_or_default();
                if !fits(size) {
                    break;
                }
                state.waiting.pop_first();
                state.waiting_bytes -= size;
                names.push(name);
            }
        }
        let mut batches = Vec::with_capacity(names.len());
        for name in names {
            match fs::read(self.directory.join(&name)) {
                Ok(bytes) => batches.push((name, bytes)),
                Err(error) => self.set_aside(&name, &describe(&error)),
            }
        }
        batches
    }

    /// A batch that was taken waits again.
    pub fn give_back(&self, name: String) {
        let mut state = self.lock();
        let size = state.files.get(&name).copied().unwrap_or_default();
        if state.waiting.insert(name) {
            state.waiting_bytes += size;
        }
    }

    /// A batch is delivered.
    pub fn remove(&self, name: &str) {
        self.lock().forget(name);
        if let Err(error) = fs::remove_file(self.directory.join(name)) {
            report(&format!("{}: a batch is delivered, but stays: {}", self.path(name), describe(&error)));
        }
    }

    /// A batch can't be delivered: it is kept under another name, out of the way.
    pub fn set_aside(&self, name: &str, reason: &str) {
        self.lock().forget(name);
        report(&format!("{}: set aside as {BAD}…: {reason}", self.path(name)));
        let _ = fs::rename(self.directory.join(name), self.directory.join(format!("{BAD}{name}")));
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }
}

impl State {
    fn add(&mut self, name: String, size: u64) {
        self.bytes += size;
        self.waiting_bytes += size;
        self.waiting.insert(name.clone());
        self.files.insert(name, size);
    }

    fn forget(&mut self, name: &str) {
        if let Some(size) = self.files.remove(name) {
            self.bytes -= size;
            if self.waiting.remove(name) {
                self.waiting_bytes -= size;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_taken_in_order_and_taken_up_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("spool");
        let spool = Spool::open(&path, "batch-", "--spool").unwrap();
        assert!(matches!(
            Spool::open(&path, "batch-", "--spool"),
            Err(Failure::Message(crate::pipeline::Exit::Usage, _))
        ));
        spool.put(&[b"one".to_vec(), b"two".to_vec()]).unwrap();
        spool.put(&[b"three".to_vec()]).unwrap();
        assert_eq!((spool.len(), spool.bytes(), spool.waiting()), (3, 11, (3, 11)));
        let mut room = 7u64;
        let taken = spool.take(|size| room.checked_sub(size).inspect(|left| room = *left).is_some());
        let texts: Vec<_> = taken.iter().map(|(_, text)| &text[..]).collect();
        assert_eq!((texts, spool.waiting()), (vec![&b"one"[..], b"two"], (1, 5)));
        spool.remove(&taken[1].0);
        spool.give_back(taken[0].0.clone());
        drop(spool);
        fs::write(path.join("_temp_batch-x"), "half").unwrap();
        fs::write(path.join("other"), "").unwrap();
        let spool = Spool::open(&path, "batch-", "--spool").unwrap();
        fs::remove_file(path.join(&taken[0].0)).unwrap();
        fs::create_dir(path.join(&taken[0].0)).unwrap();
        let texts: Vec<_> = spool.take(|_| true).into_iter().map(|(_, text)| text).collect();
        assert_eq!((texts, spool.len()), (vec![b"three".to_vec()], 1));
        assert!(path.join(format!("bad-{}", taken[0].0)).exists() && !path.join("_temp_batch-x").exists());
    }
}
