//! The files of log streams as they are now: a directory tree is looked through again when one of its directories has
//! changed, and at an interval.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::content::{Identity, modified};
use super::selection::{Member, Selection, rotated, uncompressed_name};

/// A directory's time of change counts in ticks of some milliseconds: what happens within the same one isn't seen.
const TICK: Duration = Duration::from_millis(20);
const AT_MOST_EVERY: Duration = Duration::from_millis(2);
/// How often a tree is looked through although no directory has changed.
pub const RESCAN: Duration = Duration::from_secs(5);

/// A file of a stream.
#[derive(Clone, Debug)]
pub struct Entry {
    pub path: PathBuf,
    pub identity: Identity,
    pub len: u64,
    /// Time of the last change, ns.
    pub modified: i64,
    rank: Vec<i64>,
    symlink: bool,
}

/// What makes files of a directory one stream or several.
pub enum Selector {
    /// A file by its name, and what rotation made of it in the same directory.
    Named(OsString),
    /// By options, in the directories below too.
    Selected(Selection),
}

/// The streams of a directory tree.
pub struct Tree {
    root: PathBuf,
    selector: Selector,
    /// Files last changed longer ago than this are left out.
    oldest: Option<Duration>,
    rescan: Duration,
    directories: Vec<(PathBuf, Option<SystemTime>)>,
    streams: BTreeMap<String, Listing>,
    looked_at: Option<Instant>,
    /// Nothing changed while the directories were read, as far as their times tell.
    settled: bool,
    left_out: u64,
}

/// The files of a stream, oldest first.
#[derive(Clone)]
pub struct Listing {
    pub files: Rc<[Entry]>,
    /// Whether they are known to have been so in one moment. If not, a file that was renamed meanwhile may be missing.
    pub settled: bool,
    /// Another number for another list.
    pub version: u64,
}

impl Tree {
    /// A file, and what rotation makes of it.
    pub fn named(path: &Path) -> Tree {
        let parent = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().unwrap_or_default().to_os_string();
        Tree::new(parent.to_path_buf(), Selector::Named(name), None, RESCAN)
    }

    pub fn new(root: PathBuf, selector: Selector, oldest: Option<Duration>, rescan: Duration) -> Tree {
        Tree {
            root,
            selector,
            oldest,
            rescan,
            directories: Vec::new(),
            streams: BTreeMap::new(),
            looked_at: None,
            settled: false,
            left_out: 0,
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The streams by name, as of the last look.
    pub fn streams(&self) -> impl Iterator<Item = (&str, &Listing)> {
        self.streams.iter().map(|(name, listing)| (name.as_str(), listing))
    }

    pub fn listing(&self, stream: &str) -> Option<Listing> {
        self.streams.get(stream).cloned()
    }

    /// Directories of the tree.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        self.directories.iter().map(|(path, _)| path.as_path())
    }

    /// How many files were left out for their age.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Looks again at the next [`Tree::refresh`], whatever the directories' times say.
    pub fn invalidate(&mut self) {
        self.looked_at = None;
    }

    /// Looks through the tree if it may have changed.
    ///
    /// # Errors
    /// Sentences about files that can't be placed: they are left out, or the stream keeps the list that it had.
    pub fn refresh(&mut self) -> Result<(), Vec<String>> {
        if let Some(at) = self.looked_at {
            let age = at.elapsed();
            // Many streams ask within the same moment.
            let same = |(path, time): &(PathBuf, Option<SystemTime>)| changed_at(path) == *time;
            if age < AT_MOST_EVERY || self.settled && age < self.rescan && self.directories.iter().all(same) {
                return Ok(());
            }
        }
        let before = SystemTime::now();
        let mut found = Found::default();
        self.walk(&self.root, &mut found);
        let settled = |(path, time): &(PathBuf, Option<SystemTime>)| {
            let quiet = time.is_none_or(|time| before.duration_since(time).is_ok_and(|age| age > TICK));
            quiet && changed_at(path) == *time
        };
        self.settled = found.directories.iter().all(settled);
        self.looked_at = Some(Instant::now());
        self.directories = found.directories;
        self.left_out = found.left_out;
        // A stream that had files and has none now stays, with an empty list.
        for name in self.streams.keys() {
            found.streams.entry(name.clone()).or_default();
        }
        for (stream, mut files) in found.streams {
            self.tidy(&mut files);
            if let Selector::Selected(selection) = &self.selector
                && files.len() > 1
                && !selection.has_order()
            {
                let names: Vec<_> = files.iter().take(3).map(|file| file.path.display().to_string()).collect();
                found.errors.push(format!(
                    "stream {stream:?} has {} files, and no priority that orders them: {}",
                    files.len(),
                    names.join(", ")
                ));
                continue;
            }
            let known = self.streams.get(&stream);
            let same = known.is_some_and(|known| {
                known.files.len() == files.len()
                    && known.files.iter().zip(&files).all(|(a, b)| a.identity == b.identity && a.path == b.path)
            });
            let version = known.map_or(0, |known| known.version) + !same as u64;
            // The same list twice: nothing was on its way.
            self.streams.insert(stream, Listing { files: files.into(), settled: self.settled || same, version });
        }
        if found.errors.is_empty() { Ok(()) } else { Err(found.errors) }
    }

    fn walk(&self, directory: &Path, found: &mut Found) {
        found.directories.push((directory.to_path_buf(), changed_at(directory)));
        let Ok(entries) = fs::read_dir(or_here(directory)) else { return };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                if matches!(self.selector, Selector::Selected(_)) {
                    self.walk(&directory.join(entry.file_name()), found);
                }
                continue;
            }
            let path = directory.join(entry.file_name());
            let member = match &self.selector {
                Selector::Named(name) => {
                    let file = entry.file_name();
                    let rank =
                        if file == *name { Some(None) } else { rotated(file.as_bytes(), name.as_bytes()).map(Some) };
                    let Some(rank) = rank else { continue };
                    Member { stream: String::new(), rank: rank.into_iter().collect() }
                }
                Selector::Selected(selection) => {
                    let relative = path.strip_prefix(&self.root).unwrap_or(&path).as_os_str().as_bytes();
                    match selection.member(relative) {
                        None => continue,
                        Some(Ok(member)) => member,
                        Some(Err(message)) => {
                            found.errors.push(format!("{}: {message}", path.display()));
                            continue;
                        }
                    }
                }
            };
            // Gone again, or a link to nowhere: not an error.
            let Some(metadata) = fs::metadata(&path).ok().filter(fs::Metadata::is_file) else { continue };
            let old = |oldest: Duration| {
                let time = metadata.modified().unwrap_or(UNIX_EPOCH);
                SystemTime::now().duration_since(time).is_ok_and(|age| age > oldest)
            };
            if self.oldest.is_some_and(old) {
                found.left_out += 1;
                continue;
            }
            found.streams.entry(member.stream).or_default().push(Entry {
                identity: Identity::of(&metadata),
                len: metadata.len(),
                modified: modified(&metadata),
                rank: member.rank,
                symlink: kind.is_symlink(),
                path,
            });
        }
    }

    /// Each file once, in order.
    fn tidy(&self, files: &mut Vec<Entry>) {
        // What is being compressed is there twice until it is done; so is a file that has another name by a link.
        let names: HashSet<PathBuf> = files.iter().map(|file| file.path.clone()).collect();
        files.retain(|file| {
            let Some(name) = uncompressed_name(file.path.as_os_str().as_bytes()) else { return true };
            let plain = Path::new(std::ffi::OsStr::from_bytes(name));
            !names.contains(plain) && fs::symlink_metadata(plain).is_err()
        });
        files.sort_by(|a, b| match &self.selector {
            // The name itself (without a rank) is the newest.
            Selector::Named(_) => {
                (a.rank.is_empty(), a.modified, &a.rank).cmp(&(b.rank.is_empty(), b.modified, &b.rank))
            }
            Selector::Selected(_) => (&a.rank, a.modified, &a.path).cmp(&(&b.rank, b.modified, &b.path)),
        });
        let mut names: HashMap<Identity, PathBuf> = HashMap::with_capacity(files.len());
        for file in files.iter() {
            let name = names.entry(file.identity).or_insert_with(|| file.path.clone());
            if !file.symlink {
                name.clone_from(&file.path);
            }
        }
        files.retain(|file| names.get(&file.identity) == Some(&file.path));
    }
}

#[derive(Default)]
struct Found {
    directories: Vec<(PathBuf, Option<SystemTime>)>,
    streams: BTreeMap<String, Vec<Entry>>,
    left_out: u64,
    errors: Vec<String>,
}

fn changed_at(directory: &Path) -> Option<SystemTime> {
    fs::metadata(or_here(directory)).and_then(|metadata| metadata.modified()).ok()
}

/// The directory of a bare name.
fn or_here(directory: &Path) -> &Path {
    if directory.as_os_str().is_empty() { Path::new(".") } else { directory }
}
