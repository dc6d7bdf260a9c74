//! heka-hec's cells.

use heka::sink::answer::{HEC, Known, judge};

use crate::common::http::Incoming;
use crate::{Answer, Keeps, Sink, all_cells, pages};

pub struct Hec;

impl Sink for Hec {
    fn name(&self) -> &'static str {
        "heka-hec"
    }

    fn keeps(&self) -> &'static [Keeps] {
        &[Keeps::Cursors, Keeps::Spool, Keeps::Backup, Keeps::Nothing]
    }

    fn command(&self, port: u16, keeps: Keeps, drain: f32) -> String {
        let kept = match keeps {
            Keeps::Cursors => "--checkpoint ck --backup dead.hpb",
            Keeps::Spool => "--checkpoint ck --spool spool --backup dead.hpb",
            Keeps::Backup => "--backup dead.hpb",
            Keeps::Nothing => "",
        };
        format!(
            "heka-hec --url http://127.0.0.1:{port} --token-file token --max-batch-events 2 --in-flight 1 --index '%{{Payload}}' --stats --drain {drain} {kept} in.hpb"
        )
    }

    fn events(&self, request: &Incoming) -> Option<Vec<String>> {
        let events = serde_json::Deserializer::from_slice(&request.body).into_iter::<serde_json::Value>();
        Some(events.map(|event| event.unwrap()["event"].as_str().unwrap().to_string()).collect())
    }

    fn success(&self, _request: &Incoming) -> String {
        r#"{"text":"Success","code":0}"#.into()
    }

    fn at(&self, answer: &Answer, place: usize) -> Answer {
        Answer {
            body: answer.body.replace("PLACE1", &(place + 1).to_string()).replace("PLACE", &place.to_string()),
            ..answer.clone()
        }
    }
}

pub fn answers() -> Vec<Answer> {
    let answer = |status: u16, body: &str, code: Option<u64>, success: bool| {
        let empty = body.is_empty();
        let means = judge(HEC, status, Known { empty, code, success, error: "" });
        Answer { status, headers: String::new(), body: body.into(), means }
    };
    let mut answers = Vec::new();
    // Codes with the status that Splunk has for them, and behind a proxy that says 200 whatever comes.
    let codes = [
        (0, 200),
        (24, 200),
        (25, 200),
        (1, 403),
        (2, 401),
        (3, 401),
        (4, 403),
        (5, 400),
        (6, 400),
        (7, 400),
        (8, 500),
        (9, 503),
        (10, 400),
        (11, 400),
        (12, 400),
        (13, 400),
        (14, 400),
        (15, 400),
        (16, 400),
        (18, 503),
        (19, 503),
        (20, 503),
        (21, 400),
        (22, 400),
        (23, 503),
        (26, 429),
        (27, 429),
        (28, 400),
    ];
    for (code, status) in codes {
        for status in [status, 200] {
            answers.push(answer(status, &format!(r#"{{"text":"words","code":{code}}}"#), Some(code), false));
        }
        let number = match code {
            6 | 12 | 13 | 15 => "PLACE",
            7 => "PLACE1",
            9 => "1",
            _ => continue,
        };
        for number in [number.to_string(), format!("[{number}]")] {
            let body = format!(r#"{{"text":"words","code":{code},"invalid-event-number":{number}}}"#);
            answers.push(answer(status, &body, Some(code), false));
        }
    }
    answers.push(answer(200, "", None, false));
    answers.push(answer(200, r#"{"text":"Success"}"#, None, true));
    // What is no reply of an Event Collector, though it is JSON.
    for body in [r#"{"code":99,"text":"words"}"#, r#"{"status":"ok"}"#, "[]", r#""Success""#, "null"] {
        let code = body.contains("99").then_some(99);
        answers.push(answer(200, body, code, false));
        answers.push(answer(400, body, code, false));
    }
    for (status, page) in pages() {
        let page = if status == 204 || status == 304 { "" } else { page };
        answers.push(answer(status, page, None, false));
    }
    answers
}

#[test]
fn every_answer_of_a_collector() {
    assert!(all_cells(&Hec, &answers()) > 1000);
}
