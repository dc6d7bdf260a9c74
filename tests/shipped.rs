//! Nothing that comes makes a decoder, an encoder or a filter that ships stop: each gets hostile records and counts them
//! out again.

mod common;

use common::{Random, Workdir, setting, stats};
use heka::message::{MessageBuilder, TextHeader, ValueType};
use heka::stream::put_frame;

/// Lines of every format that a decoder reads, to be damaged.
const LINES: &[&str] = &[
    r#"1.2.3.4 - - [10/Jan/2014:07:04:56 -0800] "GET /a?b=c HTTP/1.1" 200 82 "http://example.com/" "Mozilla/5.0 (X11)""#,
    "2016/02/29 13:01:02 [error] 1234#5: *67 open() failed (2: No such file), client: 1.2.3.4, server: example.com",
    "<13>Nov 21 17:27:38 widget kernel: imklog 5.8.6, log source = /proc/kmsg started.",
    "Nov 21 17:27:38 widget kernel: imklog 5.8.6, log source = /proc/kmsg started.\n",
    r#"{"Timestamp": "2016-02-29T13:01:02Z", "Type": "t", "a": [1, 2.5, "x", {"b": null}], "Severity": 3, "Pid": 7}"#,
    r#"{"version":"1.1","host":"h","short_message":"s","timestamp":1385053862.3072,"level":1,"_user_id":9001}"#,
    "29-Feb-2016 13:01:02.345 queries: info: client 1.2.3.4#56789 (example.com): query: example.com IN A +ED (5.6.7.8)",
    "# User@Host: u[u] @ h [1.2.3.4]\n# Query_time: 1.5  Lock_time: 0.1 Rows_sent: 1  Rows_examined: 2\nSET timestamp=1400000000;\nSELECT 1;",
    "# User@Host: root[root] @ localhost []\n# Thread_id: 5  Schema: d  QC_hit: No\n# Query_time: 0.1  Lock_time: 0.0  Rows_sent: 1  Rows_examined: 2\nSET timestamp=1400000000;\nSELECT 1;",
    "0.40 0.32 0.30 2/817 12345",
    "    1 2 3 4 5 6 7 8 9 10 11\n",
    "MemTotal:       16330212 kB\nMemFree:         1234 kB\nCached: 5 kB\n",
    "1234 (a program) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30",
    "Inter-|   Receive     |  Transmit\n face |bytes packets|bytes packets\n  eth0: 1 2 3 4\n    lo: 1 2 3 4\n",
    "TcpExt: A B\nTcpExt: 1 2\n",
    "Active connections: 291 \nserver accepts handled requests\n 16630948 16630948 31070465 \nReading: 6 Writing: 179 Waiting: 106 \n",
    "{\"time\":1379574900,\"rows\":2,\"columns\":1,\"seconds_per_row\":60,\"column_info\":[{\"name\":\"n\",\"unit\":\"count\",\"aggregation\":\"sum\"}]}\n1\nnan\n",
    "CEF:0|v|p|1|2|n|3|src=1.2.3.4 msg=a\\=b",
    "stats.counters.a.count 1 1400000000\nstats.gauges.b 2 1400000000\n",
];

/// Names that scripts look for, and others.
const NAMES: &[&str] = &[
    "status",
    "remote_addr",
    "request",
    "body_bytes_sent",
    "Query_time",
    "Lock_time",
    "Rows_sent",
    "Rows_examined",
    "1MinAvg",
    "NumProcesses",
    "MemTotal",
    "MemFree",
    "Cached",
    "TickerInterval",
    "FilePath",
    "ReadsCompleted",
    "pid",
    "payload_type",
    "payload_name",
    "alert",
    "annotations",
    "name",
    "value",
    "",
    "a.b",
    "a b",
    "\u{1f600}",
    "x\0y",
    "=",
];

fn bytes(random: &mut Random, len: usize) -> Vec<u8> {
    (0..len).map(|_| random.next() as u8).collect()
}

fn pick<'a, T>(random: &mut Random, of: &'a [T]) -> &'a T {
    &of[(random.next() % of.len() as u64) as usize]
}

fn text(random: &mut Random) -> Vec<u8> {
    let mut text = pick(random, LINES).as_bytes().to_vec();
    match random.next() % 12 {
        0 => {
            let len = random.next() % 200;
            bytes(random, len as usize)
        }
        1 => pick(random, &["", "\n", "\0", "{", "[[[[[[[[", "\"", "%{Payload}", "-", "nan", "1e999"])
            .as_bytes()
            .to_vec(),
        // Far longer than what devices send, or all of one character that has to be escaped.
        2 if random.next().is_multiple_of(20) => {
            let unit = *pick(random, &["x", "\"", "\\", "\u{1}", "\n", "é", "1,", "[", "a=b "]);
            let len = *pick(random, &[2_000, 65_000, 300_000]);
            unit.repeat(len / unit.len()).into_bytes()
        }
        3..=7 => {
            for _ in 0..1 + random.next() % 4 {
                let at = (random.next() % (text.len() as u64 + 1)) as usize;
                match random.next() % 5 {
                    0 => text.insert(at, random.next() as u8),
                    1 => text.truncate(at),
                    2 => text.splice(at..at, *b"99999999999999999999").for_each(drop),
                    3 => text.splice(at..at, pick(random, LINES).bytes()).for_each(drop),
                    _ if at < text.len() => text[at] = random.next() as u8,
                    _ => {}
                }
            }
            text
        }
        _ => text,
    }
}

fn record(random: &mut Random, out: &mut Vec<u8>) {
    let mut message = Vec::new();
    let times = [0, 1, -1, i64::MAX, i64::MIN, 1_400_000_000_000_000_000, 1_400_086_400_000_000_000];
    let time = match random.next() % 4 {
        0 => *pick(random, &times),
        _ => 1_400_000_000_000_000_000 + (random.next() % 200_000) as i64 * 1_000_000_000,
    };
    let uuid: [u8; 16] = bytes(random, 16).try_into().unwrap();
    let mut builder = MessageBuilder::new(&mut message, &uuid, time);
    for header in [TextHeader::Type, TextHeader::Logger, TextHeader::EnvVersion, TextHeader::Hostname] {
        match random.next() % 6 {
            0 => {}
            1 => _ = builder.text(header, &text(random)),
            2 => _ = builder.text(header, b"stat.heka.all-report"),
            // Many that differ.
            3 => _ = builder.text(header, format!("h{}", random.next() % 5_000).as_bytes()),
            _ => _ = builder.text(header, b"heka.statmetric"),
        }
    }
    if !random.next().is_multiple_of(8) {
        builder.text(TextHeader::Payload, &text(random));
    }
    for _ in 0..random.next() % 6 {
        let name = pick(random, NAMES).as_bytes();
        let unit = *pick(random, &["", "B", "s"]);
        let count = 1 + random.next() % 2;
        match random.next() % 6 {
            0 => _ = builder.bool_field(name, random.next().is_multiple_of(2), unit.as_bytes()),
            1 => {
                _ = builder.field(name, ValueType::Double, unit.as_bytes(), |values| {
                    values.doubles((0..count).map(|_| f64::from_bits(random.next())));
                })
            }
            2 => {
                _ = builder.field(name, ValueType::Integer, unit.as_bytes(), |values| {
                    values.integers((0..count).map(|_| random.next() as i64 >> (random.next() % 64)));
                })
            }
            3 => _ = builder.field(name, ValueType::Bytes, unit.as_bytes(), |values| values.bytes(&text(random))),
            4 => _ = builder.string_field(name, b"200", unit.as_bytes()),
            _ => _ = builder.string_field(name, &text(random), unit.as_bytes()),
        }
    }
    put_frame(out, None, &message);
}

fn script_names(kind: &str) -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("lua").join(kind);
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_string()).collect();
    names.sort();
    names
}

#[test]
fn no_record_stops_a_script_that_ships() {
    let records = setting("HEKA_HOSTILE_RECORDS", 1_000);
    let mut random = Random(setting("HEKA_SEED", 1));
    let dir = Workdir::new();
    let mut input = Vec::new();
    (0..records).for_each(|_| record(&mut random, &mut input));
    dir.write("in.hpb", &input);

    let mut commands = Vec::new();
    for name in script_names("decoders") {
        let help = dir.sh(&format!("heka-decode --help-script {name}")).ok();
        let keep = if help.text().contains("- payload_keep (") { "--config payload_keep=true" } else { "" };
        commands.push((format!("heka-decode --lua {name} {keep} --on-failure file={name}.bad"), true));
    }
    let settings = [
        ("cbufd_host_aggregator", "--config max_hosts=10 --config rows=2 --config host_expiration=60"),
        ("frequent_items", "--config message_variable=Payload --config min_output_weight=0"),
        ("unique_items", "--config message_variable=Hostname"),
        ("stat_graph", "--config stats='stats.counters.a.count stats.gauges.b' --config stat_labels='a b'"),
    ];
    for name in script_names("filters") {
        let settings = settings.iter().find(|(of, _)| *of == name).map_or("", |(_, settings)| settings);
        commands.push((format!("heka-sandbox --lua {name} {settings} --ticker 60"), false));
    }
    for name in script_names("encoders") {
        commands.push((format!("heka-cat --encoder {name}"), false));
    }
    let failures: Vec<String> = commands
        .iter()
        .filter_map(|(command, decodes)| {
            let began = std::time::Instant::now();
            let ran = dir.sh(&format!("timeout -s KILL 600 {command} --stats in.hpb > out"));
            println!("{:.1} s: {command}", began.elapsed().as_secs_f64());
            let counted = stats(&ran.stderr);
            let counter = |name: &str| counted[name].as_u64().unwrap_or_else(|| panic!("no {name}: {}", ran.stderr));
            let all_in = ran.code() >= 0 && ran.code() < 2 && counter("messages_in") == records;
            let all_out = !decodes
                || counter("messages_out") + counter("messages_rejected") >= records
                    && counter("messages_rejected") < records;
            let good = all_in && all_out && !ran.stderr.contains("terminated");
            (!good).then(|| format!("{command}: {}\n{:.1000}", ran.code(), ran.stderr))
        })
        .collect();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), commands.len(), failures.join("\n"));
}
