//! Batches on disk, from when they are made until they are delivered: they survive kill -9 and a reboot.
//!
//! A file a batch. It is written under a temporary name, synced and renamed, so a file of the spool is whole, unless the
//! disk has damaged it. Its name begins with the time, or a later one than those that are there, so that the order of
//! names is the order of age, whatever the clock does. One process uses a directory at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::message::now_ns;
use crate::pipeline::{Failure, Lock, describe, report, report_once};
use crate::stream::{Effort, Scanned, scan};

/// What is set aside begins with this.
const BAD: &str = "bad-";
const TEMPORARY: &str = "_temp_";
/// A disk that refuses a batch is tried again so often.
const DISK_PAUSE: Duration = Duration::from_secs(1);
/// A file that can't be read is left alone for so long.
const UNREADABLE_PAUSE: Duration = Duration::from_secs(5);

/// A directory of batches.
pub struct Spool {
    directory: PathBuf,
    /// What names of batches begin with.
    prefix: &'static str,
    /// Held as long as the spool is.
    _lock: Lock,
    /// Batches are streams of messages; others are taken as they are.
    checked: bool,
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
    /// What the newest name begins with.
    newest: i64,
    /// Files that are set aside.
    aside: usize,
    /// When a file could not be read.
    unreadable: Option<Instant>,
}

impl Spool {
    /// Opens a directory, which is made if it isn't there, and takes up the batches in it. Errors name the option that it
    /// came by.
    ///
    /// # Errors
    /// When another process uses it, or it can't be used.
    pub fn open(directory: &Path, prefix: &'static str, option: &str) -> Result<Spool, Failure> {
        Spool::open_kind(directory, prefix, option, false)
    }

    /// The same for batches that are streams of messages: of one that is damaged, what is whole is taken.
    ///
    /// # Errors
    /// As [`Spool::open`].
    pub fn open_streams(directory: &Path, prefix: &'static str, option: &str) -> Result<Spool, Failure> {
        Spool::open_kind(directory, prefix, option, true)
    }

    fn open_kind(directory: &Path, prefix: &'static str, option: &str, checked: bool) -> Result<Spool, Failure> {
        let failed =
            |error: io::Error| Failure::failed(format!("{option} {}: {}", directory.display(), describe(&error)));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let lock = Lock::at(&directory.join(".lock"), directory).map_err(|failure| match failure {
            Failure::Message(exit, message) => Failure::Message(exit, format!("{option} {message}")),
            failure => failure,
        })?;
        let mut state = State::default();
        for entry in fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with(TEMPORARY) {
                // Left by a process that ended while it wrote; its messages were never said to be safe.
                fs::remove_file(entry.path()).map_err(failed)?;
            } else if let Some(rest) = name.strip_prefix(prefix) {
                let time = rest.split('-').next().and_then(|time| time.parse().ok()).unwrap_or_default();
                state.newest = state.newest.max(time);
                state.add(name, entry.metadata().map_err(failed)?.len());
            } else if name.starts_with(BAD) {
                state.aside += 1;
            }
        }
        Ok(Spool { directory: directory.to_path_buf(), prefix, _lock: lock, checked, state: Mutex::new(state) })
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

    /// The same, again and again while the disk refuses it. `go_on` is asked before each attempt after the first.
    ///
    /// # Errors
    /// Those of `go_on`.
    pub fn put_when_possible(
        &self,
        batches: &[Vec<u8>],
        mut go_on: impl FnMut() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        while let Err(error) = self.put(batches) {
            report_once("times that the spool could not be written", || {
                let directory = self.directory.display();
                format!("{directory}: {}; tried again until it can be written", describe(&error))
            });
            let until = Instant::now() + DISK_PAUSE;
            while Instant::now() < until {
                go_on()?;
                std::thread::sleep(DISK_PAUSE / 20);
            }
        }
        Ok(())
    }

    fn new_name(&self) -> String {
        let mut state = self.lock();
        state.newest = now_ns().max(state.newest.saturating_add(1));
        format!("{}{:020}-{:07}", self.prefix, state.newest, std::process::id())
    }

    /// The oldest batches that wait, as many as are wanted: `fits` is told the size of each, and answers whether that one
    /// comes with the others. One that can't be read waits on.
    pub fn take(&self, mut fits: impl FnMut(u64) -> bool) -> Vec<(String, Vec<u8>)> {
        let mut names = Vec::new();
        {
            let mut state = self.lock();
            if state.unreadable.is_some_and(|since| since.elapsed() < UNREADABLE_PAUSE) {
                return Vec::new();
            }
            state.unreadable = None;
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
            match self.read(&name) {
                Ok(Some(bytes)) => batches.push((name, bytes)),
                Ok(None) => {}
                // The disk may read it later.
                Err(error) => {
                    report_once("times that a batch of the spool could not be read", || {
                        format!("{}: {}; tried again later", self.path(&name), describe(&error))
                    });
                    self.give_back(name);
                    self.lock().unreadable = Some(Instant::now());
                }
            }
        }
        batches
    }

    /// Reads a batch. Of a damaged one, what is whole stays; the rest is set aside. `None` when nothing is whole.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let bytes = fs::read(self.directory.join(name))?;
        if !self.checked {
            return Ok(Some(bytes));
        }
        let (whole, rest) = salvage(&bytes);
        if rest.is_empty() && !whole.is_empty() {
            return Ok(Some(bytes));
        }
        if whole.is_empty() {
            self.set_aside(name, "it is damaged, no message in it is whole");
            return Ok(None);
        }
        self.write(&format!("{BAD}{name}"), &rest)?;
        self.write(name, &whole)?;
        let mut state = self.lock();
        state.resize(name, whole.len() as u64);
        state.aside += 1;
        drop(state);
        report(&format!(
            "{}: damaged: {} bytes are set aside as {BAD}…, the rest is sent",
            self.path(name),
            rest.len()
        ));
        Ok(Some(whole))
    }

    /// Writes a file whole.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.directory.join(format!("{TEMPORARY}{name}"));
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&temporary, self.directory.join(name))?;
        File::open(&self.directory)?.sync_all()
    }

    /// How many files are set aside, by this run or an earlier one.
    pub fn set_aside_count(&self) -> usize {
        self.lock().aside
    }

    /// What is left in it, for people; `None` when there is nothing.
    pub fn summary(&self) -> Option<String> {
        let (left, bytes, aside) = (self.len(), self.bytes(), self.set_aside_count());
        let directory = self.directory.display();
        let left = (left > 0).then(|| format!("{left} batches of {bytes} bytes are left in the spool"));
        let aside = (aside > 0).then(|| format!("{aside} files in {directory} are set aside as {BAD}…"));
        match (left, aside) {
            (Some(left), Some(aside)) => Some(format!("{left}, {aside}")),
            (left, aside) => left.or(aside),
        }
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
        let mut state = self.lock();
        state.forget(name);
        state.aside += 1;
        drop(state);
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

    fn resize(&mut self, name: &str, size: u64) {
        if let Some(known) = self.files.get_mut(name) {
            self.bytes = self.bytes - *known + size;
            *known = size;
        }
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

/// The whole messages of a stream, and all that is none.
fn salvage(mut bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut whole, mut damaged) = (Vec::new(), Vec::new());
    let mut effort = Effort::new(bytes.len());
    while !bytes.is_empty() {
        let (skipped, found) = scan(bytes, usize::MAX >> 1, &mut effort);
        let (gap, rest) = bytes.split_at(skipped.min(bytes.len()));
        damaged.extend_from_slice(gap);
        bytes = match found {
            Scanned::Frame(frame) => {
                whole.extend_from_slice(frame.raw());
                rest.get(frame.raw().len()..).unwrap_or_default()
            }
            // A record that is cut: others may stand behind its beginning.
            Scanned::Incomplete => {
                damaged.extend_from_slice(rest.get(..1).unwrap_or_default());
                rest.get(1..).unwrap_or_default()
            }
        };
    }
    (whole, damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Nothing of a file is lost: what is no message is in the rest.
        #[test]
        fn a_damaged_batch_comes_apart_whole(bytes in proptest::collection::vec(prop_oneof![Just(0x1eu8), Just(0x1f), Just(8), any::<u8>()], 0..300)) {
            let (whole, damaged) = salvage(&bytes);
            prop_assert_eq!(whole.len() + damaged.len(), bytes.len());
        }
    }

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
        // One that can't be read waits on.
        let texts: Vec<_> = spool.take(|_| true).into_iter().map(|(_, text)| text).collect();
        assert_eq!((texts, spool.len()), (vec![b"three".to_vec()], 2));
        assert!(path.join(&taken[0].0).exists() && !path.join("_temp_batch-x").exists());
        // A clock that was set back changes no order.
        fs::write(path.join("batch-09000000000000000000-1"), "late").unwrap();
        drop(spool);
        fs::remove_dir(path.join(&taken[0].0)).unwrap();
        let spool = Spool::open(&path, "batch-", "--spool").unwrap();
        spool.put(&[b"newest".to_vec()]).unwrap();
        assert_eq!(spool.take(|_| true).last().unwrap().1, b"newest");
    }

    #[test]
    fn of_a_damaged_batch_what_is_whole_is_taken() {
        let frame = |text: &str| {
            let (uuid, time) = ([&[0x0a, 0x10][..], &[7; 16]].concat(), [0x10, 1]);
            let mut out = Vec::new();
            crate::stream::put_frame(
                &mut out,
                None,
                &[&uuid[..], &time, &[0x32, text.len() as u8], text.as_bytes()].concat(),
            );
            out
        };
        let (one, two) = (frame("one"), frame("two"));
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::open_streams(directory.path(), "hec-", "--spool").unwrap();
        let cut = &two[..two.len() - 7];
        spool
            .put(&[[&one[..], b"garbage", &two, cut].concat(), cut.to_vec(), [one.clone(), two.clone()].concat()])
            .unwrap();
        let texts: Vec<_> = spool.take(|_| true).into_iter().map(|(_, text)| text).collect();
        let whole = [one, two.clone()].concat();
        assert_eq!((texts, spool.set_aside_count()), (vec![whole.clone(), whole], 2));
        let mut aside: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .flatten()
            .filter(|file| file.file_name().to_string_lossy().starts_with("bad-"))
            .map(|file| fs::read(file.path()).unwrap())
            .collect();
        aside.sort();
        assert_eq!(aside, [cut.to_vec(), [b"garbage", cut].concat()]);
        drop(spool);
        assert_eq!(Spool::open_streams(directory.path(), "hec-", "--spool").unwrap().set_aside_count(), 2);
    }
}
