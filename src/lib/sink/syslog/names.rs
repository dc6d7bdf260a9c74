//! Facilities and priorities by the names that messages have for them.

/// The facilities that messages of the client may have.
pub const FACILITIES: [&str; 17] = [
    "KERN", "USER", "MAIL", "DAEMON", "AUTH", "LPR", "NEWS", "UUCP", "CRON", "LOCAL0", "LOCAL1", "LOCAL2", "LOCAL3",
    "LOCAL4", "LOCAL5", "LOCAL6", "LOCAL7",
];
/// Those that messages of other origin may have, by their numbers.
const ALL_FACILITIES: [(&str, u8); 20] = [
    ("KERN", 0),
    ("USER", 1),
    ("MAIL", 2),
    ("DAEMON", 3),
    ("AUTH", 4),
    ("SYSLOG", 5),
    ("LPR", 6),
    ("NEWS", 7),
    ("UUCP", 8),
    ("CRON", 9),
    ("AUTHPRIV", 10),
    ("FTP", 11),
    ("LOCAL0", 16),
    ("LOCAL1", 17),
    ("LOCAL2", 18),
    ("LOCAL3", 19),
    ("LOCAL4", 20),
    ("LOCAL5", 21),
    ("LOCAL6", 22),
    ("LOCAL7", 23),
];
/// The priorities, the most urgent first.
pub const PRIORITIES: [&str; 8] = ["EMERG", "ALERT", "CRIT", "ERR", "WARNING", "NOTICE", "INFO", "DEBUG"];

/// RFC 5424, section 6.2.1.
pub fn facility_number(name: &str) -> Option<u8> {
    ALL_FACILITIES.iter().find(|(own, _)| *own == name).map(|(_, number)| *number)
}

/// The same section's severities.
pub fn priority_number(name: &str) -> Option<u8> {
    PRIORITIES.iter().position(|own| *own == name).map(|number| number as u8)
}

pub const LOCAL4: u8 = 20;
pub const INFO: u8 = 6;
