//! heka-http's cells.

use heka::sink::answer::{BULK, HTTP, Known, Meaning, judge};

use crate::common::http::Incoming;
use crate::{Answer, Keeps, Sink, all_cells, pages};

pub struct Http;

const KEEPS: &[Keeps] = &[Keeps::Cursors, Keeps::Backup, Keeps::Nothing];

fn command(port: u16, keeps: Keeps, drain: f32, path: &str) -> String {
    let kept = match keeps {
        Keeps::Cursors => "--checkpoint ck --backup dead.hpb",
        Keeps::Backup => "--backup dead.hpb",
        _ => "",
    };
    format!("heka-http --url http://127.0.0.1:{port}{path} --batch 2 --stats --drain {drain} {kept} in.hpb")
}

fn lines(request: &Incoming) -> Option<Vec<String>> {
    Some(request.text().lines().map(str::to_string).collect())
}

impl Sink for Http {
    fn name(&self) -> &'static str {
        "heka-http"
    }

    fn keeps(&self) -> &'static [Keeps] {
        KEEPS
    }

    fn command(&self, port: u16, keeps: Keeps, drain: f32) -> String {
        command(port, keeps, drain, "/")
    }

    fn events(&self, request: &Incoming) -> Option<Vec<String>> {
        lines(request)
    }

    fn success(&self, _request: &Incoming) -> String {
        String::new()
    }

    fn at(&self, answer: &Answer, _place: usize) -> Answer {
        answer.clone()
    }
}

pub fn answers() -> Vec<Answer> {
    pages()
        .into_iter()
        .map(|(status, page)| {
            let means = match status {
                200..=299 => Meaning::Taken,
                _ => judge(HTTP, status, Known::default()),
            };
            Answer { status, headers: String::new(), body: page.into(), means }
        })
        .collect()
}

#[test]
fn every_answer_of_an_endpoint() {
    assert!(all_cells(&Http, &answers()) > 400);
}

/// Replies that have an item for each message.
struct Bulk;

impl Sink for Bulk {
    fn name(&self) -> &'static str {
        "heka-http"
    }

    fn keeps(&self) -> &'static [Keeps] {
        KEEPS
    }

    fn command(&self, port: u16, keeps: Keeps, drain: f32) -> String {
        command(port, keeps, drain, "/_bulk")
    }

    fn events(&self, request: &Incoming) -> Option<Vec<String>> {
        lines(request)
    }

    fn success(&self, request: &Incoming) -> String {
        let items = vec![r#"{"index":{"status":201}}"#; lines(request).unwrap().len()];
        format!(r#"{{"took":3,"errors":false,"items":[{}]}}"#, items.join(","))
    }

    /// The other items of a request are refused with it: then all of them have to be found by themselves.
    fn at(&self, answer: &Answer, _place: usize) -> Answer {
        answer.clone()
    }
}

#[test]
fn every_answer_to_an_item() {
    let answers: Vec<Answer> = [200, 201, 400, 404, 409, 413, 429, 500, 503]
        .into_iter()
        .map(|status| {
            // One item, whatever the request has: a reply that doesn't fit has the batch halved until it does.
            let body = format!(
                r#"{{"took":3,"errors":true,"items":[{{"index":{{"status":{status},"error":{{"type":"x"}}}}}}]}}"#
            );
            let means = judge(BULK, status, Known::default());
            Answer { status: 200, headers: String::new(), body, means }
        })
        .filter(|answer| answer.means != Meaning::Taken)
        .collect();
    assert!(all_cells(&Bulk, &answers) >= 36);
}
