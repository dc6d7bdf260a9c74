//! What is behind symbolic links.
//!
//! A file that is followed through a link is rotated under its own name, somewhere else, and the link may be pointed to
//! another file at any moment. All that a link leads to and led to, and what rotation made of it, belongs to the link's
//! stream.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::content::Identity;
use super::selection::{Member, rotated, unrotated};
use super::tree::{Directory, Entry, changed_at, entry_of, read_directory};

/// As many links, one to the other, does the kernel follow (path_resolution(7)).
const LONGEST_CHAIN: usize = 40;
/// How many places that a link led to earlier are remembered.
const EARLIER: usize = 16;
/// How long the places of a link that is gone are remembered: it is made anew, or its last files are still read.
const GONE_FOR: Duration = Duration::from_secs(60);

/// The links of a tree.
#[derive(Default)]
pub struct Links {
    links: BTreeMap<PathBuf, Link>,
    /// What the links lead to themselves, under their own names.
    entries: Vec<(String, Entry)>,
    /// Places were added by hand.
    widened: bool,
    directories: BTreeMap<PathBuf, Directory>,
}

struct Link {
    member: Member,
    /// What it leads to, through other links too.
    chain: Vec<Place>,
    /// What it led to earlier.
    earlier: Vec<Place>,
    seen: Instant,
}

/// A name in a directory.
#[derive(Clone, PartialEq, Eq)]
struct Place {
    directory: PathBuf,
    name: OsString,
}

impl Links {
    /// Looks at what is behind the links, the members of streams that are such, if they or what they lead to may have
    /// changed. Answers whether anything has. `files`: a link to one of these is only another name of it. `anew`: every
    /// directory is read again.
    pub fn refresh<'a>(
        &mut self,
        links: impl Iterator<Item = &'a (Member, PathBuf)> + Clone,
        files: &HashSet<Identity>,
        changed: bool,
        anew: bool,
        oldest: Option<Duration>,
    ) -> bool {
        let is_old = |path: &PathBuf, found: &Directory| anew || !found.settled || found.time != changed_at(path);
        let known = self.directories.len();
        self.directories.retain(|path, found| !is_old(path, found));
        let widened = std::mem::take(&mut self.widened);
        if !changed && !widened && self.directories.len() == known {
            return false;
        }
        let now = Instant::now();
        for (member, path) in links.clone() {
            if fs::metadata(path).is_ok_and(|found| files.contains(&Identity::of(&found))) {
                continue;
            }
            let chain = chain(path);
            match self.links.get_mut(path) {
                Some(link) => {
                    link.seen = now;
                    // The directories are to be read for other names.
                    for place in link.lead_to(chain) {
                        self.directories.remove(&place.directory);
                    }
                }
                None => {
                    let link = Link { member: member.clone(), chain, earlier: Vec::new(), seen: now };
                    self.links.insert(path.clone(), link);
                }
            }
        }
        self.links.retain(|_, link| now - link.seen < GONE_FOR);
        self.read(oldest);
        // After the directories: a file that is renamed meanwhile is in the list twice rather than not at all.
        self.entries = links.filter_map(|(member, path)| entry_of(member.clone(), path.clone())).collect();
        for (_, file) in &mut self.entries {
            file.symlink = true;
        }
        self.entries.retain(|(_, file)| oldest.is_none_or(|oldest| file.age() <= oldest));
        true
    }

    /// Reads the directories that are not known.
    fn read(&mut self, oldest: Option<Duration>) {
        // Many links may lead into one directory: it is read once.
        let mut places: BTreeMap<&Path, HashMap<&OsStr, Vec<&Member>>> = BTreeMap::new();
        for link in self.links.values() {
            for place in link.chain.iter().chain(&link.earlier) {
                places.entry(&place.directory).or_default().entry(&place.name).or_default().push(&link.member);
            }
        }
        self.directories.retain(|path, _| places.contains_key(path.as_path()));
        for (path, places) in places {
            if self.directories.contains_key(path) {
                continue;
            }
            let of = |file: &OsStr| -> Vec<(OsString, &Vec<&Member>)> {
                let names = names_of(file).into_iter();
                names.filter_map(|name| Some((name.to_os_string(), places.get(name)?))).collect()
            };
            let first =
                |file: &OsStr, _: &Path| of(file).first().and_then(|(_, members)| members.first().copied().cloned());
            let mut found = read_directory(path, oldest, first);
            for (_, file) in std::mem::take(&mut found.files) {
                for (name, members) in of(file.path.file_name().unwrap_or_default()) {
                    for member in members {
                        let (rank, order) = (member.rank.clone(), order(&file, &name));
                        found.files.push((member.stream.clone(), Entry { behind: true, rank, order, ..file.clone() }));
                    }
                }
            }
            self.directories.insert(path.to_path_buf(), found);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.links.is_empty() && self.entries.is_empty()
    }

    /// The directories behind the links.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        self.directories.keys().map(PathBuf::as_path)
    }

    /// The links themselves, as the files that they lead to.
    pub fn entries(&self) -> &[(String, Entry)] {
        &self.entries
    }

    /// What was found there.
    pub fn found(&self) -> impl Iterator<Item = &Directory> {
        self.directories.values()
    }

    /// Takes what the links of a stream may have led to earlier, while nobody looked, for what they led to: names with
    /// smaller numbers beside what they lead to now. False when there is none that is new.
    pub fn widen(&mut self, stream: &str) -> bool {
        let mut more = false;
        for link in self.links.values_mut().filter(|link| link.member.stream == stream) {
            let Some(last) = link.chain.last().cloned() else { continue };
            for place in last.siblings(|numbers| numbers < numbers_of(&last.name).as_slice()) {
                if !link.chain.contains(&place) && !link.earlier.contains(&place) {
                    self.directories.remove(&place.directory);
                    link.earlier.push(place);
                    more = true;
                }
            }
        }
        self.widened |= more;
        more
    }
}

impl Link {
    /// Points it elsewhere. What its target's number says came between is its, too: `0.log`, then `2.log`. Answers the
    /// places that are its now, if they are others.
    fn lead_to(&mut self, chain: Vec<Place>) -> impl Iterator<Item = &Place> {
        if chain == self.chain {
            return [].iter().chain(&[]);
        }
        let before = std::mem::replace(&mut self.chain, chain);
        let mut between = Vec::new();
        if let (Some(from), Some(to)) = (before.last(), self.chain.last())
            && from.directory == to.directory
        {
            let (low, high) = (numbers_of(&from.name), numbers_of(&to.name));
            between = to.siblings(|numbers| low.as_slice() < numbers && numbers < high.as_slice());
        }
        for place in before.into_iter().chain(between) {
            if !self.chain.contains(&place) && !self.earlier.contains(&place) {
                self.earlier.push(place);
            }
        }
        self.earlier.drain(..self.earlier.len().saturating_sub(EARLIER));
        self.chain.iter().chain(&self.earlier)
    }
}

impl Place {
    /// Other names of the directory that are like this one but for their numbers, or were before rotation.
    fn siblings(&self, wanted: impl Fn(&[u64]) -> bool) -> Vec<Place> {
        let (shape, mut names) = (shape_of(&self.name), Vec::new());
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            for base in unrotated(name.as_bytes()).into_iter().map(OsStr::from_bytes) {
                if shape_of(base) == shape && wanted(&numbers_of(base)) {
                    names.push(base.to_os_string());
                }
            }
        }
        names.sort();
        names.dedup();
        names.into_iter().map(|name| Place { directory: self.directory.clone(), name }).collect()
    }
}

/// The names that a link leads to, one after the other.
fn chain(link: &Path) -> Vec<Place> {
    let mut chain = Vec::new();
    let mut path = link.to_path_buf();
    while chain.len() < LONGEST_CHAIN
        && let Ok(target) = fs::read_link(&path)
    {
        path = path.parent().unwrap_or(Path::new("")).join(target);
        let (Some(directory), Some(name)) = (path.parent(), path.file_name().map(OsStr::to_os_string)) else { break };
        // One directory has many names, `a/../b` among them.
        let directory = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_path_buf());
        path = directory.join(&name);
        chain.push(Place { directory, name });
    }
    chain
}

/// The name of a file, and those of which rotation may have made it.
fn names_of(file: &OsStr) -> Vec<&OsStr> {
    let mut names: Vec<&OsStr> = unrotated(file.as_bytes()).into_iter().map(OsStr::from_bytes).collect();
    if !names.contains(&file) {
        names.push(file);
    }
    names
}

/// The order among files that were last changed in the same moment: by the numbers in the name, then what rotation made
/// of it, then itself.
fn order(file: &Entry, name: &OsStr) -> Vec<i64> {
    let file = file.path.file_name().unwrap_or_default();
    let numbers = numbers_of(name).into_iter().map(|number| i64::try_from(number).unwrap_or(i64::MAX));
    numbers.chain([rotated(file.as_bytes(), name.as_bytes()).unwrap_or(i64::MAX)]).collect()
}

/// A name with one digit for each of its numbers.
fn shape_of(name: &OsStr) -> Vec<u8> {
    let mut shape: Vec<u8> =
        name.as_bytes().iter().map(|byte| if byte.is_ascii_digit() { b'0' } else { *byte }).collect();
    shape.dedup_by(|a, b| *a == b'0' && *b == b'0');
    shape
}

fn numbers_of(name: &OsStr) -> Vec<u64> {
    let runs = name.as_bytes().split(|byte| !byte.is_ascii_digit()).filter(|run| !run.is_empty());
    runs.map(|run| run.iter().fold(0u64, |sum, digit| sum.saturating_mul(10).saturating_add((digit - b'0') as u64)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siblings_are_names_with_other_numbers() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "0.log",
            "1.log.20240101-101010.gz",
            "3.log",
            "10.log",
            "x.log",
            "2.txt",
            "02.log.bak",
            "app-2024-01-09.log",
        ] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let place = |name: &str| Place { directory: dir.path().to_path_buf(), name: name.into() };
        let names = |of: &str, below: &str| -> Vec<String> {
            let most = numbers_of(OsStr::new(below));
            let found = place(of).siblings(|numbers| numbers < most.as_slice());
            found.into_iter().map(|place| place.name.into_string().unwrap()).collect()
        };
        assert_eq!(names("3.log", "3.log"), ["0.log", "1.log"]);
        assert_eq!(names("10.log", "10.log"), ["0.log", "1.log", "3.log"]);
        assert_eq!(names("app-2024-01-10.log", "app-2024-01-10.log"), ["app-2024-01-09.log"]);
        assert!(names("y.log", "y.log").is_empty());
    }
}
