//! ArcSight's Common Event Format: reading records, writing them, and making them as Mozilla's `cef` library for Python
//! does.
//!
//! [`Parsed`] knows where the parts of a text are; values are escaped there, [`unescape_header`] and [`unescape_value`]
//! undo that. [`Event`] makes a record of what happened, in [`Form::Safe`] or, byte for byte as that library,
//! [`Form::Compat`].

mod convert;
pub mod dictionary;
mod event;
mod fields;
mod format;
mod parse;
mod reading;
mod settings;
mod writing;

pub use convert::{Mapping, RecordOptions, put_record};
pub use event::{CONSTANTS, Config, Event, Form, Made};
pub use fields::{FieldOptions, put_fields};
pub use format::{put_header, put_pair, put_value};
pub use parse::{HEADER_FIELDS, Pair, ParseError, Parsed, is_key, unescape_header, unescape_value};
pub use reading::ParseStage;
pub use settings::{read_environ, read_ini};
pub use writing::FormatStage;

/// What the fields of a header are called in messages.
pub const HEADER_NAMES: [&str; HEADER_FIELDS] = [
    "cef.version",
    "cef.device_vendor",
    "cef.device_product",
    "cef.device_version",
    "cef.signature_id",
    "cef.name",
    "cef.severity",
];
