//! Log streams: files, each on its own or as a series that rotation makes, read to the end or followed
//! (Heka's LogstreamerInput).
//!
//! A [`Tree`] knows which files there are and in which order, a `Series` reads those of one stream one after the
//! other, a `Cutter` makes frames of what it reads, and the [`Follower`] drives them all.

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
mod tree;

pub use content::Content;
pub use cutter::Cutting;
pub use follow::{Commit, FollowOptions, Follower, Input, Origin, is_stdin};
pub use position::Position;
pub use section::{LogstreamSection, SplitterKind, SplitterSection, load_translation};
pub use selection::{Selection, SelectionOptions};
pub use series::Shape;
pub use splitter::{Cut, Records, Splitter, Tail, unescape};
pub use tree::{RESCAN, Selector, Tree};
