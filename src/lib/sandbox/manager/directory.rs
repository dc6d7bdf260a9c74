//! The files of a manager's filters.
//!
//! ```text
//! MANAGER-FILTER.toml         the configuration as it came; while it is there, the filter is loaded
//! MANAGER-FILTER.lua          the script as it came
//! MANAGER-FILTER.data         what the script keeps
//! MANAGER-FILTER.failed       why the filter ended; its files are named …failed.toml and so on
//! MANAGER.lock, .recent, .status
//! ```
//!
//! Each is written whole. The script is there before the configuration, and goes after it: whatever moment the power
//! fails, a filter is loaded with all it needs or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::plan::word;
use crate::pipeline::{Failure, describe, report, write_whole};

/// Files of a filter, the one that makes it loaded first.
const PARTS: [&str; 3] = ["toml", "lua", "data"];
/// What a file is called when its filter has failed.
const FAILED: &str = "failed";

/// A manager's directory, which no other process works with as the same manager.
pub struct Directory {
    path: PathBuf,
    /// As a word.
    manager: String,
    _lock: File,
}

/// A filter that was loaded when the manager last ran.
pub struct Kept {
    pub name: String,
    pub config: Vec<u8>,
    pub script: Vec<u8>,
}

/// A file of a directory by its parts: "MANAGER-FILTER" or "MANAGER", and what follows the first dot.
fn split(path: &Path) -> Option<(&str, &str)> {
    path.file_name()?.to_str()?.split_once('.')
}

impl Directory {
    /// Makes the directory if need be, and takes it over.
    ///
    /// # Errors
    /// When it can't be used, or another process does.
    pub fn open(path: &Path, manager: &str) -> Result<Directory, Failure> {
        // What filters keep is nobody else's.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        let wrong = |error: io::Error| Failure::failed(format!("{}: {}", path.display(), describe(&error)));
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(wrong)?;
        if fs::metadata(path).map_err(wrong)?.permissions().mode() & 0o022 != 0 {
            report(&format!("{}: others may write here, and so load filters: chmod go-w it", path.display()));
        }
        let manager = word(manager);
        let lock = lock_file(path, &manager).map_err(wrong)?;
        if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(Failure::usage(format!("{}: a manager {manager} is at work here", path.display())));
        }
        let directory = Directory { path: path.to_path_buf(), manager, _lock: lock };
        directory.clean().map_err(wrong)?;
        Ok(directory)
    }

    /// What belongs to the manager beside its filters: "MANAGER.status".
    pub fn file(&self, extension: &str) -> PathBuf {
        self.path.join(format!("{}.{extension}", self.manager))
    }

    pub fn state_path(&self, name: &str) -> PathBuf {
        self.part(name, "data")
    }

    fn part(&self, name: &str, part: &str) -> PathBuf {
        self.path.join(format!("{name}.{part}"))
    }

    /// Paths of this manager's files.
    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut paths: Vec<PathBuf> = fs::read_dir(&self.path)?.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| {
            let stem = split(path).map(|(stem, _)| stem);
            stem.is_some_and(|stem| stem == self.manager || manager_of(stem) == Some(&self.manager))
        });
        paths.sort();
        Ok(paths)
    }

    /// Removes what a crash has left: files that were being written, and those of filters that are not loaded.
    fn clean(&self) -> io::Result<()> {
        for path in self.files()? {
            let Some((stem, extension)) = split(&path) else { continue };
            let orphan = PARTS[1..].contains(&extension) && !self.part(stem, PARTS[0]).exists();
            if orphan || extension.ends_with(".tmp") {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// The filters that are loaded.
    ///
    /// # Errors
    /// When the directory can't be read.
    pub fn kept(&self) -> Result<Vec<Kept>, Failure> {
        let wrong =
            |path: &Path, error: io::Error| Failure::failed(format!("{}: {}", path.display(), describe(&error)));
        let paths = self.files().map_err(|error| wrong(&self.path, error))?;
        let mut kept = Vec::new();
        for path in paths {
            if let Some((name, "toml")) = split(&path) {
                let read = |path: &Path| fs::read(path).map_err(|error| wrong(path, error));
                let script = self.part(name, "lua");
                // Without its script it fails by itself, and is put aside.
                let script = if script.exists() { read(&script)? } else { Vec::new() };
                kept.push(Kept { name: name.to_string(), config: read(&path)?, script });
            }
        }
        Ok(kept)
    }

    /// Makes a filter one that is loaded.
    ///
    /// # Errors
    /// In words; nothing is left then.
    pub fn keep(&self, name: &str, config: &[u8], script: &[u8]) -> Result<(), String> {
        // What an earlier one of that name failed for is over.
        self.remove_failed(name);
        let toml = self.part(name, "toml");
        let written = write_whole(&self.part(name, "lua"), script).and_then(|()| write_whole(&toml, config));
        written.map_err(|error| {
            self.remove(name);
            format!("{}: {}", toml.display(), describe(&error))
        })
    }

    /// Makes a filter one that is not loaded. What can't be removed is reported.
    pub fn remove(&self, name: &str) {
        for part in PARTS {
            self.expect(part, name, fs::remove_file(self.part(name, part)));
            if part == PARTS[0] {
                self.sync();
            }
        }
    }

    /// Removes what is left of a filter that failed. False when nothing is.
    pub fn remove_failed(&self, name: &str) -> bool {
        let known = fs::remove_file(self.part(name, FAILED)).is_ok();
        for part in PARTS {
            let _ = fs::remove_file(self.part(name, &format!("{FAILED}.{part}")));
        }
        known
    }

    /// Puts the files of a filter that failed aside, with the reason.
    pub fn set_aside(&self, name: &str, reason: &str) {
        self.expect(FAILED, name, write_whole(&self.part(name, FAILED), format!("{reason}\n").as_bytes()));
        for part in PARTS {
            let aside = self.part(name, &format!("{FAILED}.{part}"));
            self.expect(part, name, fs::rename(self.part(name, part), aside));
        }
        self.sync();
    }

    fn expect(&self, part: &str, name: &str, done: io::Result<()>) {
        match done {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                report(&format!("{}: {}", self.part(name, part).display(), describe(&error)));
            }
            _ => {}
        }
    }

    fn sync(&self) {
        let _ = File::open(&self.path).and_then(|directory| directory.sync_all());
    }
}

/// The manager's part of a filter's name.
pub fn manager_of(stem: &str) -> Option<&str> {
    stem.split_once('-').map(|(manager, _)| manager)
}

/// The file that a manager at work has locked.
fn lock_file(path: &Path, manager: &str) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path.join(format!("{manager}.lock")))
}

/// Whether a manager is at work.
pub fn is_at_work(path: &Path, manager: &str) -> bool {
    let Ok(lock) = File::open(path.join(format!("{manager}.lock"))) else { return false };
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockShared).is_err()
}

/// What lies in a directory, by name.
#[derive(Default)]
pub struct Contents {
    pub loaded: Vec<String>,
    /// With the reason.
    pub failed: Vec<(String, String)>,
}

/// Lists the filters of a directory.
///
/// # Errors
/// When it can't be read.
pub fn contents(path: &Path) -> Result<Contents, Failure> {
    let entries =
        fs::read_dir(path).map_err(|error| Failure::failed(format!("{}: {}", path.display(), describe(&error))))?;
    let mut contents = Contents::default();
    for entry in entries.flatten() {
        let path = entry.path();
        match split(&path) {
            Some((name, "toml")) if manager_of(name).is_some() => contents.loaded.push(name.to_string()),
            Some((name, FAILED)) if manager_of(name).is_some() => {
                let reason = fs::read_to_string(&path).unwrap_or_default();
                contents.failed.push((name.to_string(), reason.trim_end().to_string()));
            }
            _ => {}
        }
    }
    contents.loaded.sort();
    contents.failed.sort();
    Ok(contents)
}
