//! Log streams: files, each on its own or as a series that rotation makes, read to the end or followed
//! (Heka's LogstreamerInput).
//!
//! A [`Tree`] knows which files there are and in which order, a `Series` reads those of one stream one after the
//! other, a `Cutter` makes frames of what it reads, and the [`Follower`] drives them all.
//!
//! # What the same file is
//!
//! A file is known by its inode together with what it begins with and what it has before an offset; without the inode, by
//! these bytes alone. Its name says only where to look for it and what comes after it. So a file is read once, under the
//! name that met it first, over all operands and patterns of a run, and over all streams of a checkpoint:
//!
//! | what happens to a file | what comes |
//! |---|---|
//! | renamed (once, several times), compressed | the rest of it, then the files after it |
//! | copied, then truncated | the rest of it, from the copy; then what was written since |
//! | replaced by a copy of itself, equal or longer | what is new in the copy |
//! | replaced by another file, also one that begins alike | that file from its beginning |
//! | truncated to nothing | what is written then |
//! | truncated to a part | that part again: it can't be told from what was written anew |
//! | removed | what was read before; the next file of its name from its beginning |
//! | given a second name | nothing |
//! | swapped with another that is read | what is new in both |
//! | its directory replaced | while it is followed its rest, then the new file |
//! | behind a link: renamed, compressed | as without the link |
//! | behind a link that is pointed elsewhere | its rest, files with numbers between both, then what the link leads to |
//!
//! The same holds while a file is followed and between two runs, but for what no name leads to any more: then its rest
//! can't be read, which is said. tests/identity.rs tries each.

mod content;
mod cutter;
mod follow;
mod journal;
mod links;
mod position;
mod section;
mod selection;
mod series;
mod splitter;
mod text;
mod tree;

pub use content::Content;
pub use cutter::Cutting;
pub use follow::{Commit, FollowOptions, Follower, Input, Origin, is_stdin};
pub use position::Position;
pub use section::{LogstreamSection, SplitterKind, SplitterSection, load_translation};
pub use selection::{Selection, SelectionOptions};
pub use series::Shape;
pub use splitter::{Cut, Lines, Records, Splitter, Tail, unescape};
pub use text::Text;
pub use tree::{RESCAN, Selector, Tree};
