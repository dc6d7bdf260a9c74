//! Files that are whole or not there: written beside, synced, renamed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

use super::lock::target_of;
use crate::message::uuid::random_u64;

const TEMPORARY: &str = ".tmp";

/// Replaces a file, or what a symbolic link leads to; a crash leaves the old one or the new one. It keeps its mode.
///
/// The name to write under can't be guessed, and no file or link that is there already is opened.
///
/// # Errors
/// When nothing was changed, or the directory could not be synced.
pub fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let path = &target_of(path);
    let mut name = beginning(path);
    name.push(format!("{:016x}{TEMPORARY}", random_u64()));
    let temporary = path.with_file_name(name);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).custom_flags(OFlags::NOFOLLOW.bits() as i32);
    let mode = fs::metadata(path).ok().map(|known| known.permissions().mode() & 0o7777);
    let written = options.open(&temporary).and_then(|mut file| {
        if let Some(mode) = mode {
            file.set_permissions(fs::Permissions::from_mode(mode))?;
        }
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, path)) {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_directory(path)
}

/// Removes what runs that were killed while they wrote have left. Only for a process that has the file to itself.
pub fn remove_leftovers(path: &Path) {
    let path = target_of(path);
    let beginning = beginning(&path);
    let entries = fs::read_dir(directory(&path)).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let rest = name.as_encoded_bytes().strip_prefix(beginning.as_encoded_bytes());
        let middle = rest.and_then(|rest| rest.strip_suffix(TEMPORARY.as_bytes()));
        if middle.is_some_and(|middle| middle.len() == 16 && middle.iter().all(u8::is_ascii_hexdigit)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// `NAME.`
fn beginning(path: &Path) -> OsString {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".");
    name
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a file's name in its directory survive a crash.
///
/// # Errors
/// When the directory can't be opened or synced.
pub fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(directory(path))?.sync_all()
}
