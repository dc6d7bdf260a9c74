//! heka-firehose's cells, before a server that speaks as much of Firehose's API as the sink asks for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use heka::sink::answer::{Body, FIREHOSE, Known, judge};
use serde_json::{Value as Json, json};

use crate::common::http::Incoming;
use crate::{Answer, Keeps, Sink, all_cells};

pub struct Firehose;

const ACCESS: &str =
    "env AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x AWS_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true HOME=$PWD";

pub fn command(port: u16, options: &str) -> String {
    format!(
        "{ACCESS} heka-firehose --stream logs --endpoint-url http://127.0.0.1:{port} --spool-dir spool --format payload \
         --compression none --buffer-bytes 1 --owner 1 --in-flight 1 {options}"
    )
}

impl Sink for Firehose {
    fn name(&self) -> &'static str {
        "heka-firehose"
    }

    fn keeps(&self) -> &'static [Keeps] {
        &[Keeps::Spool]
    }

    fn command(&self, port: u16, _keeps: Keeps, drain: f32) -> String {
        command(port, &format!("--checkpoint ck --backup dead.hpb --stats --drain {} in.hpb", drain + 1.0))
    }

    fn events(&self, request: &Incoming) -> Option<Vec<String>> {
        if !request.head.contains("putrecordbatch") {
            return None;
        }
        let call: Json = serde_json::from_slice(&request.body).unwrap();
        let records = call["Records"].as_array().unwrap().iter();
        let text =
            |record: &Json| String::from_utf8(STANDARD.decode(record["Data"].as_str().unwrap()).unwrap()).unwrap();
        Some(records.flat_map(|record| text(record).lines().map(str::to_string).collect::<Vec<_>>()).collect())
    }

    fn success(&self, request: &Incoming) -> String {
        match self.events(request) {
            Some(events) => {
                let ids: Vec<Json> = events.iter().map(|event| json!({"RecordId": event})).collect();
                json!({"FailedPutCount": 0, "RequestResponses": ids}).to_string()
            }
            None => json!({"DeliveryStreamDescription": {
                "DeliveryStreamName": "logs", "DeliveryStreamARN": "arn:aws:firehose:us-east-1:1:deliverystream/logs",
                "DeliveryStreamStatus": "ACTIVE", "DeliveryStreamType": "DirectPut", "VersionId": "1",
                "Destinations": [], "HasMoreDestinations": false}})
            .to_string(),
        }
    }

    fn at(&self, answer: &Answer, _place: usize) -> Answer {
        answer.clone()
    }
}

pub fn answers() -> Vec<Answer> {
    let headers = "Content-Type: application/x-amz-json-1.1\r\n".to_string();
    let mut answers = Vec::new();
    let mut named = |name: &str, status: u16| {
        let means = judge(FIREHOSE, status, Known { error: name, ..Known::default() });
        let body = json!({"__type": format!("com.amazonaws.firehose#{name}"), "message": "words"}).to_string();
        answers.push(Answer { status, headers: headers.clone(), body, means });
    };
    for row in FIREHOSE {
        if let Body::Errors(names) = row.body {
            names.iter().for_each(|name| named(name, 400));
        }
    }
    for name in [
        "ResourceNotFoundException",
        "AccessDeniedException",
        "UnrecognizedClientException",
        "InvalidKMSResourceException",
    ] {
        named(name, 400);
    }
    // Its own way in which it sends again once is not waited for here: 500 and more are tried twice by the SDK.
    for (name, status) in [("ServiceUnavailable", 503), ("InternalFailure", 500)] {
        named(name, status);
    }
    for status in [400, 401, 403, 404, 405, 407, 408, 413, 421, 429, 431, 451, 500, 502, 503, 504, 507] {
        let means = judge(FIREHOSE, status, Known::default());
        answers.push(Answer { status, headers: String::new(), body: "<html>".into(), means });
    }
    answers
}

#[test]
fn every_answer_of_firehose() {
    assert!(all_cells(&Firehose, &answers()) > 60);
}
