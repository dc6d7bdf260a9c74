//! What servers' answers mean: one table for all sinks.
//!
//! An answer says something of an event (it is bad), of the batch (too large), of the server for now (wait) or of the
//! server for good (it will never take anything from us; the run ends when there is no other). Only what is said of an
//! event may lead to the backup. The rows are tried from the top; the guide shows the same table, made from this one.

use std::ops::RangeInclusive;
use std::time::Duration;

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The server has the batch.
    Taken,
    /// The event is bad, or one of the batch's.
    Refused,
    /// The batch is too large.
    TooLarge,
    /// Not now; nothing was taken.
    Wait,
    /// Not now; whether anything was taken is not known.
    Unclear,
    /// The credentials may have expired: not before they are read anew.
    Expired,
    /// This server takes nothing from us, however often it is asked.
    Closed,
}

impl Meaning {
    /// Of whom it speaks, and what is done: the table's last two columns.
    pub fn explain(self) -> (&'static str, &'static str) {
        match self {
            Meaning::Taken => ("batch", "delivered"),
            Meaning::Refused => (
                "event",
                "taken out of the batch, or found by halving it; alone: to the backup, once anything was taken",
            ),
            Meaning::TooLarge => ("batch", "sent in halves; an event alone: to the backup, once anything was taken"),
            Meaning::Wait => ("server, for now", "sent again, later and later"),
            Meaning::Unclear => ("server, for now", "sent again, later and later; counted as possible duplicates"),
            Meaning::Expired => ("run", "sent again with credentials read anew; the second time in a row ends the run"),
            Meaning::Closed => {
                ("server, for good", "left to the other servers; the run ends with 3 when there is none")
            }
        }
    }
}

/// What a body has to be for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    Any,
    /// None at all.
    Empty,
    /// HEC's JSON with one of these codes.
    Codes(&'static [u64]),
    /// HEC's JSON that says Success without a code.
    Success,
    /// An AWS error of one of these names.
    Errors(&'static [&'static str]),
}

/// A row: answers with such a status and body, and what they mean.
#[derive(Clone, Debug)]
pub struct Row {
    pub status: RangeInclusive<u16>,
    pub body: Body,
    pub means: Meaning,
}

const fn row(from: u16, to: u16, body: Body, means: Meaning) -> Row {
    Row { status: from..=to, body, means }
}

/// Splunk's HTTP Event Collector. Its codes count whatever the status is: some proxies give 200 for everything.
pub static HEC: &[Row] = &[
    row(200, 299, Body::Codes(&[0, 24, 25]), Meaning::Taken),
    row(200, 299, Body::Success, Meaning::Taken),
    row(200, 299, Body::Empty, Meaning::Taken),
    row(100, 599, Body::Codes(&[1, 2, 3, 4, 10, 11, 14, 16, 21, 22, 28]), Meaning::Closed),
    row(100, 599, Body::Codes(&[5, 6, 7, 12, 13, 15]), Meaning::Refused),
    row(100, 599, Body::Codes(&[8]), Meaning::Unclear),
    row(100, 599, Body::Codes(&[9, 18, 19, 20, 23, 26, 27]), Meaning::Wait),
    // A page of a proxy, or a login: no success, and no verdict on an event.
    row(100, 299, Body::Any, Meaning::Closed),
    row(300, 407, Body::Any, Meaning::Closed),
    row(408, 408, Body::Any, Meaning::Unclear),
    row(413, 413, Body::Any, Meaning::TooLarge),
    row(425, 425, Body::Any, Meaning::Wait),
    row(429, 429, Body::Any, Meaning::Wait),
    row(400, 499, Body::Any, Meaning::Closed),
    row(503, 503, Body::Any, Meaning::Wait),
    row(500, 599, Body::Any, Meaning::Unclear),
];

/// Any other HTTP endpoint. What `--success` and `--success-if` take is judged before.
pub static HTTP: &[Row] = &[
    row(100, 399, Body::Any, Meaning::Closed),
    row(400, 400, Body::Any, Meaning::Refused),
    row(408, 408, Body::Any, Meaning::Unclear),
    row(409, 409, Body::Any, Meaning::Refused),
    row(413, 413, Body::Any, Meaning::TooLarge),
    row(422, 422, Body::Any, Meaning::Refused),
    row(425, 425, Body::Any, Meaning::Wait),
    row(429, 429, Body::Any, Meaning::Wait),
    row(401, 499, Body::Any, Meaning::Closed),
    row(503, 503, Body::Any, Meaning::Wait),
    row(500, 599, Body::Any, Meaning::Unclear),
];

/// An item of a bulk answer (Elasticsearch, OpenSearch), by its own status.
pub static BULK: &[Row] = &[
    row(200, 299, Body::Any, Meaning::Taken),
    // The document is there: an answer that was lost.
    row(409, 409, Body::Any, Meaning::Taken),
    row(429, 429, Body::Any, Meaning::Wait),
    row(400, 499, Body::Any, Meaning::Refused),
    row(100, 599, Body::Any, Meaning::Wait),
];

/// AWS Kinesis Data Firehose.
pub static FIREHOSE: &[Row] = &[
    row(
        100,
        599,
        Body::Errors(&[
            "ThrottlingException",
            "Throttling",
            "ThrottledException",
            "RequestThrottled",
            "RequestThrottledException",
            "LimitExceededException",
            "RequestLimitExceeded",
            "BandwidthLimitExceeded",
            "ProvisionedThroughputExceededException",
            "TooManyRequestsException",
            "SlowDown",
            "PriorRequestNotComplete",
            "TransactionInProgressException",
            "ServiceUnavailable",
            "ServiceUnavailableException",
        ]),
        Meaning::Wait,
    ),
    row(100, 599, Body::Errors(&["InternalFailure", "InternalServerError", "InternalServiceError"]), Meaning::Unclear),
    row(
        100,
        599,
        Body::Errors(&["ExpiredTokenException", "ExpiredToken", "RequestExpired", "InvalidSignatureException"]),
        Meaning::Expired,
    ),
    row(
        100,
        599,
        Body::Errors(&["InvalidArgumentException", "ValidationException", "SerializationException"]),
        Meaning::Refused,
    ),
    row(413, 413, Body::Any, Meaning::TooLarge),
    row(408, 408, Body::Any, Meaning::Unclear),
    row(429, 429, Body::Any, Meaning::Wait),
    row(503, 503, Body::Any, Meaning::Wait),
    row(500, 599, Body::Any, Meaning::Unclear),
    // Not Firehose's: a page of a proxy.
    row(200, 399, Body::Any, Meaning::Unclear),
    row(100, 599, Body::Any, Meaning::Closed),
];

/// What is known of an answer's body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    pub empty: bool,
    /// HEC's code.
    pub code: Option<u64>,
    /// HEC's text says Success.
    pub success: bool,
    /// The name of AWS's error.
    pub error: &'a str,
}

/// The first row that fits; a table's last row fits everything.
pub fn judge(table: &[Row], status: u16, known: Known<'_>) -> Meaning {
    let fits = |row: &&Row| {
        row.status.contains(&status)
            && match row.body {
                Body::Any => true,
                Body::Empty => known.empty,
                Body::Codes(codes) => known.code.is_some_and(|code| codes.contains(&code)),
                Body::Success => known.success && known.code.is_none(),
                Body::Errors(names) => names.contains(&known.error),
            }
    };
    table.iter().find(fits).map_or(Meaning::Closed, |row| row.means)
}

/// Retry-After: seconds, or an HTTP date. One that has passed is no time at all.
pub fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let time = jiff::fmt::strtime::parse("%a, %d %b %Y %H:%M:%S GMT", text.trim()).ok()?.to_datetime().ok()?;
    let time = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    Duration::try_from(time.duration_since(jiff::Timestamp::now())).ok().or(Some(Duration::ZERO))
}

/// The tables as the guide shows them.
pub fn guide() -> String {
    let mut out = String::new();
    let tables = [
        ("heka-hec", "Splunk's HTTP Event Collector", HEC),
        ("heka-http", "any endpoint; `--success` and `--success-if` come before", HTTP),
        ("heka-http, items of a bulk answer", "Elasticsearch and OpenSearch, each item by its own status", BULK),
        ("heka-firehose", "AWS Kinesis Data Firehose, calls and records of a call", FIREHOSE),
    ];
    for (name, words, table) in tables {
        out += &format!(
            "\n### {name}\n\n{words}\n\n| status | body | says something of | what is done |\n|---|---|---|---|\n"
        );
        for row in table {
            let (from, to) = (row.status.start(), row.status.end());
            let status = match (from, to) {
                (100, 599) => "any".to_string(),
                (from, to) if from == to => from.to_string(),
                (from, to) => format!("{from}–{to}"),
            };
            let list = |items: Vec<String>| items.join(", ");
            let body = match row.body {
                Body::Any => "any other".to_string(),
                Body::Empty => "empty".to_string(),
                Body::Codes(codes) => format!("code {}", list(codes.iter().map(u64::to_string).collect())),
                Body::Success => "`{\"text\":\"Success\"}` without a code".to_string(),
                Body::Errors(names) => list(names.iter().map(|name| format!("`{name}`")).collect()),
            };
            let (whom, deed) = row.means.explain();
            out += &format!("| {status} | {body} | {whom} | {deed} |\n");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_when_to_come_again() {
        assert_eq!(retry_after("120"), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sun, 09 Feb 2014 16:46:36 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("soon"), None);
    }

    #[test]
    fn every_status_has_a_row() {
        for table in [HEC, HTTP, BULK, FIREHOSE] {
            for status in 100..600 {
                let fits = table.iter().any(|row| row.status.contains(&status) && row.body == Body::Any);
                assert!(fits, "{status}");
            }
        }
    }
}
