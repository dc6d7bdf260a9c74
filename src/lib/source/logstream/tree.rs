//! The files of log streams as they are now: a directory tree is looked through again when one of its directories has
//! changed, and at an interval.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use super::content::{Identity, made, modified};
use super::links::Links;
use super::selection::{Member, Selection, rotated, uncompressed_name};
use crate::message::now_ns;

/// A directory's time of change counts in ticks of some milliseconds: what happens within the same one isn't seen.
pub const TICK: Duration = Duration::from_millis(20);
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
    /// Time of its making, ns; of the last change when that was before, or file systems don't tell: what is compressed
    /// keeps the time of what it was made of.
    pub made: i64,
    /// Its place among the names of its stream; for what is behind a link, the link's.
    pub rank: Vec<i64>,
    pub symlink: bool,
    /// What a link leads to, or led to, or what rotation made of that.
    pub behind: bool,
    /// Which of those behind a link comes first, when they were last changed in the same moment.
    pub order: Vec<i64>,
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
    directories: BTreeMap<PathBuf, Directory>,
    links: Links,
    streams: BTreeMap<String, Listing>,
    looked_at: Option<Instant>,
    /// How long that took.
    look: Duration,
    /// When all directories were read, and how long that took.
    scanned_at: Option<Instant>,
    scan: Duration,
}

/// What was found in a directory.
#[derive(Default)]
pub struct Directory {
    /// When it was last changed; nothing when it isn't there.
    pub time: Option<SystemTime>,
    /// Nothing changed while it was read, as far as its time tells.
    pub settled: bool,
    below: Vec<PathBuf>,
    pub files: Vec<(String, Entry)>,
    /// Members that are symbolic links, those that lead nowhere among them; they are none of the files.
    links: Vec<(Member, PathBuf)>,
    /// How many files were left out for their age.
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
            directories: BTreeMap::new(),
            links: Links::default(),
            streams: BTreeMap::new(),
            looked_at: None,
            look: Duration::ZERO,
            scanned_at: None,
            scan: Duration::ZERO,
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

    /// Directories of the tree, and those that its links lead to.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        self.directories.keys().map(PathBuf::as_path).chain(self.links.directories())
    }

    /// Takes what a stream's links may have led to earlier among its files: names with smaller numbers beside what they
    /// lead to now. False when there is nothing more.
    pub fn widen(&mut self, stream: &str) -> bool {
        self.invalidate();
        self.links.widen(stream)
    }

    /// How many files were left out for their age.
    pub fn left_out(&self) -> u64 {
        self.directories.values().map(|directory| directory.left_out).sum()
    }

    /// Looks at the directories at the next [`Tree::refresh`], however short ago the last look was.
    pub fn invalidate(&mut self) {
        self.looked_at = None;
    }

    /// Looks through the tree if it may have changed.
    ///
    /// # Errors
    /// Sentences about files that can't be placed: they are left out, or the stream keeps the list that it had.
    pub fn refresh(&mut self) -> Result<(), Vec<String>> {
        // Many streams ask within the same moment, and a look at many directories takes its time.
        let pause = (self.look * 20).max(AT_MOST_EVERY);
        if self.looked_at.is_some_and(|at| at.elapsed() < pause) {
            return Ok(());
        }
        let started = Instant::now();
        let anew = self.scanned_at.is_none_or(|at| at.elapsed() >= self.rescan.max(self.scan * 100));
        let mut found = Found { known: std::mem::take(&mut self.directories), anew, ..Found::default() };
        self.walk(&self.root, &mut found);
        let mut changed = found.changed || !found.known.is_empty();
        self.directories = found.directories;
        changed |= self.look_behind_links(changed, anew);
        if anew {
            (self.scanned_at, self.scan) = (Some(started), started.elapsed());
        }
        let result = if changed { self.place(found.errors) } else { Ok(()) };
        (self.looked_at, self.look) = (Some(Instant::now()), started.elapsed());
        result
    }

    fn look_behind_links(&mut self, changed: bool, anew: bool) -> bool {
        let own = self.directories.values();
        let mut links = own.clone().flat_map(|directory| &directory.links).peekable();
        if links.peek().is_none() && self.links.is_empty() {
            return false;
        }
        let files = own.flat_map(|directory| &directory.files).map(|(_, file)| file.identity).collect();
        self.links.refresh(links, &files, changed, anew, self.oldest)
    }

    /// Puts what the directories have into streams.
    fn place(&mut self, mut errors: Vec<String>) -> Result<(), Vec<String>> {
        let settled = self.directories.values().chain(self.links.found()).all(|directory| directory.settled);
        let mut streams: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
        let files = self.directories.values().chain(self.links.found()).flat_map(|found| &found.files);
        for (stream, file) in files.chain(self.links.entries()) {
            match streams.get_mut(stream) {
                Some(files) => files.push(file.clone()),
                None => drop(streams.insert(stream.clone(), vec![file.clone()])),
            }
        }
        // A stream that had files and has none now stays, with an empty list.
        for name in self.streams.keys() {
            streams.entry(name.clone()).or_default();
        }
        for (stream, mut files) in streams {
            self.tidy(&mut files);
            if let Selector::Selected(selection) = &self.selector
                && files.iter().filter(|file| !file.behind).count() > 1
                && !selection.has_order()
            {
                let names: Vec<_> = files.iter().take(3).map(|file| file.path.display().to_string()).collect();
                errors.push(format!(
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
            self.streams.insert(stream, Listing { files: files.into(), settled: settled || same, version });
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Reads a directory, and those below it, as far as they have changed.
    fn walk(&self, path: &Path, found: &mut Found) {
        let known = found.known.remove(path);
        let directory = match known {
            Some(known) if !found.anew && known.settled && known.time == changed_at(path) => known,
            _ => {
                found.changed = true;
                self.read(path, &mut found.errors)
            }
        };
        let below = directory.below.clone();
        found.directories.insert(path.to_path_buf(), directory);
        for path in below {
            self.walk(&path, found);
        }
    }

    fn read(&self, directory: &Path, errors: &mut Vec<String>) -> Directory {
        let Selector::Selected(selection) = &self.selector else {
            let mut found = read_directory(directory, self.oldest, |file, _| self.named_member(file));
            found.below.clear();
            return found;
        };
        read_directory(directory, self.oldest, |_, path| {
            let relative = path.strip_prefix(&self.root).unwrap_or(path).as_os_str().as_bytes();
            let member = selection.member(relative)?;
            member.map_err(|message| errors.push(format!("{}: {message}", path.display()))).ok()
        })
    }

    /// The place of a file that has the name that was given, or one that rotation made of it.
    fn named_member(&self, file: &OsStr) -> Option<Member> {
        let Selector::Named(name) = &self.selector else { return None };
        let rank = match file == name {
            true => Vec::new(),
            false => vec![rotated(file.as_bytes(), name.as_bytes())?],
        };
        Some(Member { stream: String::new(), rank })
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
                let is_name = |file: &Entry| file.rank.is_empty() && !file.behind;
                (is_name(a), a.modified, &a.rank, &a.order).cmp(&(is_name(b), b.modified, &b.rank, &b.order))
            }
            // The files behind a link come before the one that it leads to.
            Selector::Selected(_) => (&a.rank, !a.behind, a.modified, &a.order, &a.path)
                .cmp(&(&b.rank, !b.behind, b.modified, &b.order, &b.path)),
        });
        // By its newest own name rather than by a link's, and by a link's rather than by what is behind it.
        let mut names: HashMap<Identity, (bool, bool, PathBuf)> = HashMap::with_capacity(files.len());
        for file in files.iter() {
            let better = |(behind, symlink, _): &(bool, bool, PathBuf)| {
                (file.behind, file.symlink) <= (*behind, *symlink) && !file.symlink && !file.behind
                    || (file.behind, file.symlink) < (*behind, *symlink)
            };
            let name = (file.behind, file.symlink, file.path.clone());
            names
                .entry(file.identity)
                .and_modify(|known| {
                    if better(known) {
                        *known = name.clone()
                    }
                })
                .or_insert(name.clone());
        }
        files.retain(|file| names.get(&file.identity).is_some_and(|(_, _, path)| *path == file.path));
    }
}

#[derive(Default)]
struct Found {
    /// What was known before; what is left at the end is gone.
    known: BTreeMap<PathBuf, Directory>,
    /// All of it is to be read again.
    anew: bool,
    directories: BTreeMap<PathBuf, Directory>,
    changed: bool,
    errors: Vec<String>,
}

/// What a member of a stream is now; nothing when it is gone again, or a link to nowhere.
pub fn entry_of(member: Member, path: PathBuf) -> Option<(String, Entry)> {
    let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
    let file = Entry {
        identity: Identity::of(&metadata),
        len: metadata.len(),
        modified: modified(&metadata),
        made: made(&metadata).min(modified(&metadata)),
        rank: member.rank,
        symlink: false,
        behind: false,
        order: Vec::new(),
        path,
    };
    Some((member.stream, file))
}

impl Entry {
    /// Since the last change.
    pub fn age(&self) -> Duration {
        Duration::from_nanos(now_ns().saturating_sub(self.modified).max(0) as u64)
    }
}

/// Reads one directory: the files that `member` places in streams.
pub fn read_directory(
    directory: &Path,
    oldest: Option<Duration>,
    mut member: impl FnMut(&OsStr, &Path) -> Option<Member>,
) -> Directory {
    let before = SystemTime::now();
    let time = changed_at(directory);
    let quiet = time.is_none_or(|time| before.duration_since(time).is_ok_and(|age| age > TICK));
    let mut found = Directory { time, settled: quiet, ..Directory::default() };
    let Ok(entries) = fs::read_dir(or_here(directory)) else { return found };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let name = entry.file_name();
        let path = directory.join(&name);
        if kind.is_dir() {
            found.below.push(path);
            continue;
        }
        let Some(member) = member(&name, &path) else { continue };
        if kind.is_symlink() {
            found.links.push((member, path));
            continue;
        }
        let Some((stream, file)) = entry_of(member, path) else { continue };
        if oldest.is_some_and(|oldest| file.age() > oldest) {
            found.left_out += 1;
            continue;
        }
        found.files.push((stream, file));
    }
    found.settled &= changed_at(directory) == time;
    found
}

/// When a directory was last changed; nothing when it isn't there.
pub fn changed_at(directory: &Path) -> Option<SystemTime> {
    fs::metadata(or_here(directory)).and_then(|metadata| metadata.modified()).ok()
}

/// The directory of a bare name.
fn or_here(directory: &Path) -> &Path {
    if directory.as_os_str().is_empty() { Path::new(".") } else { directory }
}
