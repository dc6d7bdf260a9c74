//! Records of the Common Event Format: what Mozilla's library for Python writes, and how records are read.
//!
//! tests/cases/cef_written.jsonl: calls of that library (0.5), and what it made. cef_read.jsonl: lines and their parts,
//! ArcSight's own examples first.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{Random, Workdir, setting};
use heka::cef::{Config, Event, Form, ParseError, Parsed, put_header, put_pair, unescape_header, unescape_value};
use proptest::prelude::*;
use serde_json::Value as Json;

fn cases(text: &str) -> Vec<Json> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The text that Python makes of a value.
fn text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Null => "None".into(),
        Json::Bool(true) => "True".into(),
        Json::Bool(false) => "False".into(),
        other => other.to_string(),
    }
}

fn texts(value: &Json) -> Vec<(String, String)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), text(value))).collect()
}

/// What the calls have in common: REMOTE_ADDR and the like, and who reports.
fn event(call: &Json) -> Option<Event> {
    let usual = [
        ("REMOTE_ADDR", "127.0.0.1"),
        ("HTTP_HOST", "127.0.0.1"),
        ("PATH_INFO", "/"),
        ("REQUEST_METHOD", "GET"),
        ("HTTP_USER_AGENT", "MySuperBrowser"),
    ];
    let mut environ: BTreeMap<String, String> = usual.map(|(key, value)| (key.to_string(), value.to_string())).into();
    if call.get("environ").is_some() {
        environ = texts(&call["environ"]).into_iter().collect();
    }
    environ.extend(texts(&call["environ_set"]));
    let usual = [("version", "0"), ("vendor", "mozilla"), ("device_version", "3"), ("product", "weave")];
    let mut config: BTreeMap<String, String> = usual.map(|(key, value)| (key.to_string(), value.to_string())).into();
    for (key, value) in texts(&call["config_set"]) {
        if let Some(key) = key.strip_prefix("cef.") {
            config.insert(key.to_string(), value);
        }
    }
    for key in call["config_del"].as_array().into_iter().flatten() {
        config.remove(key.as_str()?.strip_prefix("cef.")?);
    }
    let given = |key: &str, usual: &str| call.get(key).map_or(usual.to_string(), text);
    Some(Event {
        name: text(&call["name"]),
        severity: given("severity", "5"),
        signature: call.get("signature").map(text),
        username: given("username", "none"),
        config: Config {
            version: config.remove("version")?,
            vendor: config.remove("vendor")?,
            product: config.remove("product")?,
            device_version: config.remove("device_version")?,
        },
        environ,
        extension: texts(&call["ext"]),
        date: "Sep 03 02:05:09".into(),
        host: "h1".into(),
    })
}

#[test]
fn records_are_written_as_the_library_does() {
    let cases = cases(include_str!("cases/cef_written.jsonl"));
    assert!(cases.len() > 50);
    for case in cases {
        let made = event(&case["call"]).map(|event| event.record(Form::Compat).unwrap());
        match case["record"].as_str() {
            Some(record) => assert_eq!(String::from_utf8(made.unwrap().text).unwrap(), record, "{case}"),
            None => assert_eq!(made, None, "{case}"),
        }
    }
}

#[test]
fn what_passes_the_length_is_left_out() {
    let base = || event(&serde_json::json!({"name": "n"})).unwrap();
    let record = |extension: &[(&str, String)], form| {
        let own = |(key, value): &(&str, String)| (key.to_string(), value.clone());
        Event { extension: extension.iter().map(own).collect(), ..base() }.record(form).unwrap()
    };
    assert_eq!(record(&[], Form::Compat).text.len(), 168);
    let made = record(&[("k", "v".repeat(853))], Form::Compat);
    assert_eq!((made.text.len(), made.left_out.len()), (1024, 0));
    let made = record(&[("k", "v".repeat(854))], Form::Compat);
    assert_eq!((made.text.len(), made.left_out), (168, vec!["k".to_string()]));
    // Counted before escaping.
    assert_eq!(record(&[("k", "=".repeat(853))], Form::Compat).text.len(), 1877);
    let made = record(&[("a1", "y".repeat(800)), ("a2", "z".repeat(50))], Form::Compat);
    assert_eq!(made.left_out, ["a1"]);
    let made = Event { name: "N".repeat(1200), extension: vec![("z".into(), "1".into())], ..base() };
    let made = made.record(Form::Compat).unwrap();
    assert_eq!((made.text.len(), made.left_out.len()), (2566, 1));
    // A length that was asked for is that of the record.
    let safe = |max_length| record(&[("k", "=".repeat(100))], Form::Safe { max_length }).text.len();
    assert_eq!((safe(None), safe(Some(371)), safe(Some(370))), (371, 371, 168));
}

#[test]
fn the_safe_form_refuses_what_no_reader_understands() {
    let safe = |call: Json| event(&call).unwrap().record(Form::Safe { max_length: None });
    for (call, words) in [
        (serde_json::json!({"name": "n", "severity": "11"}), "severity \"11\""),
        (serde_json::json!({"name": "n", "severity": "-1"}), "severity \"-1\""),
        (serde_json::json!({"name": "n", "ext": {"a b": "v"}}), "key \"a b\""),
        (serde_json::json!({"name": "n", "ext": {"": "v"}}), "key \"\""),
    ] {
        assert!(safe(call.clone()).unwrap_err().contains(words), "{call}");
    }
    let call = serde_json::json!({"name": "a|b\nc", "username": "u=v", "severity": "Very-High",
        "config_set": {"cef.vendor": "x|y"}, "environ_set": {"HTTP_X_FORWARDED_FOR": "s=t"}, "ext": {"k": "l1\nl2"}});
    assert_eq!(
        String::from_utf8(safe(call).unwrap().text).unwrap(),
        r"Sep 03 02:05:09 h1 CEF:0|x\|y|weave|3|a\|b\nc|a\|b\nc|Very-High|cs1Label=requestClientApplication cs1=MySuperBrowser requestMethod=GET request=/ src=s\=t dhost=127.0.0.1 suser=u\=v k=l1\nl2"
    );
}

#[test]
fn records_are_read() {
    let cases = cases(include_str!("cases/cef_read.jsonl"));
    assert!(cases.len() > 15);
    let mut parsed = Parsed::default();
    for case in cases {
        let line = case["line"].as_str().unwrap().as_bytes();
        let part = |range: &std::ops::Range<usize>| String::from_utf8(line[range.clone()].to_vec()).unwrap();
        let own = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        if case.get("error").is_some() {
            let expected = case["error"].as_str().unwrap();
            let error = parsed.parse(line).unwrap_err();
            match error {
                ParseError::NoMark => assert_eq!(expected, "error: no CEF:"),
                ParseError::Header(found) => assert_eq!(expected, format!("error: {found} separators")),
            }
            continue;
        }
        parsed.parse(line).unwrap();
        assert_eq!(own(&line[..parsed.mark]), case["prefix"].as_str().unwrap_or_default());
        let header: Vec<String> =
            parsed.header.iter().map(|range| own(&unescape_header(&line[range.clone()]))).collect();
        assert_eq!(serde_json::json!(header), case["header"], "{case}");
        let pairs: Vec<[String; 2]> = parsed
            .pairs
            .iter()
            .map(|pair| [part(&pair.key), own(&unescape_value(&line[pair.value.clone()]))])
            .collect();
        assert_eq!(serde_json::json!(pairs), case["ext"], "{case}");
        assert_eq!(part(&parsed.extra), case["extra"].as_str().unwrap_or_default(), "{case}");
    }
}

/// Texts that are hard to escape, some of them long.
fn hard_text(random: &mut Random, long: bool) -> String {
    const PARTS: [&str; 24] = [
        "", "a", "B", "7", " ", "|", "=", "\\", "\"", "'", "\n", "\r", "\t", "\0", "\x01", "key=", "CEF:", "%s", "a b",
        ",", "é", "日本", "😀", "\u{7f}",
    ];
    let parts = if long { PARTS.len() - 4 } else { PARTS.len() };
    let count = if long { random.next() % 120 } else { random.next() % 8 };
    (0..count).map(|_| PARTS[(random.next() % parts as u64) as usize]).collect()
}

#[test]
fn the_library_writes_the_same() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
    if !python.exists() {
        println!("skipped: no target/python (tests/run.sh makes it)");
        return;
    }
    let seed = setting("HEKA_SEED", 20130903);
    let mut random = Random(seed);
    let keys = [
        "a",
        "b",
        "bb",
        "a_b.c-d",
        "k1",
        "cs1",
        "cs1Label",
        "src",
        "suser",
        "dhost",
        "request",
        "requestMethod",
        "source",
        "method",
        "url",
        "dest",
        "user_agent",
        "version",
        "vendor",
        "device_version",
        "product",
        "host",
        "date",
        "il legal",
        "",
    ];
    let calls: Vec<Json> = (0..10_000)
        .map(|_| {
            // The library counts characters where it means bytes, on Python 3: long texts are ASCII.
            let long = random.next().is_multiple_of(4);
            let text = |random: &mut Random| hard_text(random, long);
            let mut environ = serde_json::Map::new();
            for name in ["HTTP_X_FORWARDED_FOR", "REMOTE_ADDR", "REQUEST_METHOD", "PATH_INFO", "HTTP_HOST", "HTTP_USER_AGENT"] {
                if !random.next().is_multiple_of(3) {
                    environ.insert(name.into(), text(&mut random).into());
                }
            }
            let mut ext = serde_json::Map::new();
            for _ in 0..random.next() % 5 {
                let key = keys[(random.next() % keys.len() as u64) as usize];
                ext.insert(key.into(), text(&mut random).into());
            }
            let signature = if random.next().is_multiple_of(2) { Json::Null } else { text(&mut random).into() };
            serde_json::json!({
                "name": text(&mut random), "severity": (random.next() % 12).to_string(), "signature": signature,
                "username": text(&mut random), "environ": environ, "ext": ext,
                "config": {"cef.version": "0", "cef.vendor": text(&mut random), "cef.product": "weave", "cef.device_version": "3"},
            })
        })
        .collect();
    let dir = Workdir::new();
    let lines: String = calls.iter().map(|call| format!("{call}\n")).collect();
    dir.write("calls", lines);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cef_library.py");
    let ran = dir.sh(&format!("{} {} < calls", python.display(), script.display())).ok();
    let records = cases(ran.text());
    assert_eq!(records.len(), calls.len());
    for (call, record) in calls.iter().zip(&records) {
        let config = |key: &str| text(&call["config"][key]);
        let event = Event {
            name: text(&call["name"]),
            severity: text(&call["severity"]),
            signature: call["signature"].as_str().map(str::to_string),
            username: text(&call["username"]),
            config: Config {
                version: config("cef.version"),
                vendor: config("cef.vendor"),
                product: config("cef.product"),
                device_version: config("cef.device_version"),
            },
            environ: texts(&call["environ"]).into_iter().collect(),
            extension: texts(&call["ext"]),
            date: "Sep 03 02:05:09".into(),
            host: "h1".into(),
        };
        let made = String::from_utf8(event.record(Form::Compat).unwrap().text).unwrap();
        assert_eq!(&made, record.as_str().unwrap(), "seed {seed}: {call}");
    }
}

/// The module for scripts reads and writes as the library does.
#[test]
fn scripts_read_and_write_records() {
    let cases = cases(include_str!("cases/cef_read.jsonl"));
    let dir = Workdir::new();
    dir.write(
        "cef_script.lua",
        "require 'cjson'\nlocal cef = require 'cef'\n\
         function process_message()\n\
             local text = read_message('Payload')\n\
             local record, why = cef.parse(text)\n\
             local out = { why = why }\n\
             if record then\n\
                 out = { record = record, again = cef.format(record) }\n\
                 if #record.keys == 0 then record.keys, record.extension = nil, nil end\n\
             end\n\
             inject_payload('json', 'x', cjson.encode(out))\n\
             return 0\n\
         end\n",
    );
    let lines: String = cases.iter().map(|case| case["line"].as_str().unwrap().to_string() + "\n").collect();
    dir.write("lines", lines);
    let ran = dir.sh("heka-tail lines | heka-decode --lua ./cef_script.lua --strict | heka-cat --format payload").ok();
    let results = ran.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Json>>();
    assert_eq!(results.len(), cases.len());
    for (case, result) in cases.iter().zip(&results) {
        let line = case["line"].as_str().unwrap();
        let mut parsed = Parsed::default();
        if let Err(error) = parsed.parse(line.as_bytes()) {
            assert_eq!(result["why"].as_str(), Some(error.to_string().as_str()));
            continue;
        }
        let record = &result["record"];
        assert_eq!(record["prefix"].as_str().unwrap_or_default(), case["prefix"].as_str().unwrap_or_default());
        assert_eq!(record["extra"].as_str().unwrap_or_default(), case["extra"].as_str().unwrap_or_default());
        let names =
            ["version", "device_vendor", "device_product", "device_version", "signature_id", "name", "severity"];
        let header: Vec<&Json> = names.iter().map(|name| &record[*name]).collect();
        assert_eq!(serde_json::json!(header), case["header"], "{line}");
        let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
        let mut pairs = Vec::new();
        for key in record["keys"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            let value = &record["extension"][key];
            let place = taken.entry(key).or_default();
            pairs.push(serde_json::json!([key, if value.is_array() { &value[*place] } else { value }]));
            *place += 1;
        }
        assert_eq!(serde_json::json!(pairs), case["ext"], "{line}");
        // Written again it says the same.
        let again = result["again"].as_str().unwrap().as_bytes();
        let mut second = Parsed::default();
        second.parse(again).unwrap();
        let values = |text: &[u8], parsed: &Parsed| {
            parsed.pairs.iter().map(|pair| unescape_value(&text[pair.value.clone()]).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(values(again, &second), values(line.as_bytes(), &parsed), "{line}");
    }
}

proptest! {
    /// Line ends of a header are written as two characters that no reader takes back.
    #[test]
    fn what_is_written_is_read_again(
        header in proptest::array::uniform7("[^\n\r]{0,12}"),
        pairs in proptest::collection::vec(("[A-Za-z0-9_.\\-]{1,6}", ".{0,20}|[ =\\\\|\n\r]{0,8}"), 0..6),
    ) {
        let mut text = b"CEF:".to_vec();
        for part in &header {
            put_header(&mut text, part.as_bytes());
            text.push(b'|');
        }
        for (place, (key, value)) in pairs.iter().enumerate() {
            put_pair(&mut text, place == 0, key.as_bytes(), value.as_bytes());
        }
        let mut parsed = Parsed::default();
        parsed.parse(&text).unwrap();
        for (part, range) in header.iter().zip(&parsed.header) {
            prop_assert_eq!(unescape_header(&text[range.clone()]), part.as_bytes());
        }
        prop_assert_eq!(parsed.pairs.len(), pairs.len());
        for (place, ((key, value), pair)) in pairs.iter().zip(&parsed.pairs).enumerate() {
            prop_assert_eq!(&text[pair.key.clone()], key.as_bytes());
            // Blanks at the end of a record belong to nothing.
            let last = place + 1 == pairs.len();
            let value = if last { value.trim_end_matches([' ', '\t', '\x0c']) } else { value };
            prop_assert_eq!(unescape_value(&text[pair.value.clone()]), value.as_bytes());
        }
    }

    #[test]
    fn any_text_is_taken_apart_within_its_bounds(text in proptest::collection::vec(any::<u8>(), 0..80), cef in "[CEF:|= a\\\\\n]{0,60}") {
        let mut parsed = Parsed::default();
        for text in [&text[..], cef.as_bytes(), format!("CEF:||||||{cef}").as_bytes()] {
            if parsed.parse(text).is_ok() {
                let mut message = Vec::new();
                let mut builder = heka::message::MessageBuilder::more(&mut message);
                let options = heka::cef::FieldOptions { labels: true, typed: true };
                heka::cef::put_fields(&mut builder, text, &parsed, options);
            }
        }
    }
}
