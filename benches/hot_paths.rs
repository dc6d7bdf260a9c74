//! What happens to every message: framing, scanning, matching, building, decoding. Throughput is in messages a second.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use heka::cef::{FieldOptions, Parsed, RecordOptions, put_fields, put_record};
use heka::grammar::{Captures, Grammar, access_log};
use heka::matcher::Matcher;
use heka::message::json::write_json;
use heka::message::text::{Style, write_text};
use heka::message::{MessageBuilder, MessageView};
use heka::sandbox::{Decoder, Kind, Sandbox, Script, ScriptArgs, Section, Settings, prepare_process};
use heka::sink::hec::{Endpoint, EventForm, EventOptions, IndexedFields};
use heka::source::{Origin, Template};
use heka::stream::{Deframer, Frame, Step, put_frame};
use sha1::{Digest as _, Sha1};

const LINE: &[u8] = br#"62.195.113.219 - - [10/Jan/2014:07:04:56 -0800] "GET /v1/recovery_email/status HTTP/1.1" 200 82 "-" "Mozilla/5.0 (Mobile; rv:29.0) Gecko/29.0 Firefox/29.0""#;

/// The same as an application writes it.
const JSON_LINE: &[u8] = br#"{"remote_addr":"62.195.113.219","remote_user":"-","time_local":"10/Jan/2014:07:04:56 -0800","request":"GET /v1/recovery_email/status HTTP/1.1","status":200,"body_bytes_sent":82,"http_referer":"-","http_user_agent":"Mozilla/5.0 (Mobile; rv:29.0) Gecko/29.0 Firefox/29.0"}"#;

fn frame(line: &[u8]) -> Vec<u8> {
    let template = Template {
        message_type: b"logfile".to_vec(),
        logger: b"access.log".to_vec(),
        hostname: b"web1.example.com".to_vec(),
        ..Template::default()
    };
    let mut buf = Vec::new();
    template.encode().put_frame(&mut buf, 1_700_000_000_000_000_000, line, None, Origin::default());
    buf
}

fn settings(code: &str, kind: Kind) -> Settings {
    prepare_process();
    let script = Script::new("bench.lua", code);
    ScriptArgs::default().settings_of(script, &Section::default(), kind)
}

fn decode(code: &str) -> impl FnMut(MessageView<'_>) -> usize {
    let mut decoder = Decoder::new(&[settings(code, Kind::Decoder)]).expect("the script loads");
    move |message| {
        let mut size = 0;
        decoder.decode(message, &mut |made, _| size += made.len()).expect("the script runs");
        size
    }
}

/// What a filter does with a message; answers the bytes that it injects.
fn filter(code: &str) -> impl FnMut(MessageView<'_>) -> usize {
    let mut sandbox = Sandbox::new(&settings(code, Kind::Filter)).expect("the script loads");
    move |message| {
        sandbox.process(message).expect("the script runs");
        sandbox.injected().map(<[u8]>::len).sum()
    }
}

fn hot_paths(c: &mut Criterion) {
    // What the others are compared with on another machine, or on a noisy one: see baseline.py.
    let page = [7; 4096];
    c.bench_function("yardstick", |b| b.iter(|| Sha1::digest(std::hint::black_box(page))));
    let raw = frame(LINE);
    let parsed = Frame::parse(&raw).expect("a frame");
    let message = parsed.view();
    let mut group = c.benchmark_group("message");
    group.throughput(Throughput::Elements(1));

    let block = raw.repeat(200);
    let mut deframer = Deframer::new(1 << 20);
    group.throughput(Throughput::Elements(200));
    group.bench_function("deframe", |b| {
        b.iter(|| {
            deframer.restart();
            deframer.space()[..block.len()].copy_from_slice(&block);
            deframer.filled(block.len());
            let mut count = 0;
            while let Step::Frame(_) = deframer.step() {
                count += 1;
            }
            count
        })
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("scan", |b| b.iter(|| MessageView::new(std::hint::black_box(message.bytes())).is_some()));

    for expression in
        ["Type == 'x'", "Payload =~ /recovery/", "Payload =~ /rec[a-z]+y/", "Fields[status] >= 500 || Severity < 4"]
    {
        let matcher = Matcher::parse(expression).expect("an expression");
        let view = parsed.view();
        group.bench_function(format!("match {expression}").replace('/', "_"), |b| b.iter(|| matcher.matches(&view)));
    }

    let encoded = Template::default().encode();
    let mut buf = Vec::new();
    group.bench_function("frame a line", |b| {
        b.iter(|| {
            buf.clear();
            encoded.put_frame(&mut buf, 1, LINE, None, Origin::default());
            buf.len()
        })
    });

    let grammar = access_log::nginx(access_log::NGINX_COMBINED).expect("a format");
    let mut captures = Captures::default();
    group.bench_function("nginx grammar", |b| b.iter(|| grammar.matches(LINE, &mut captures)));

    let mut nothing = decode("function process_message() return 0 end");
    group.bench_function("lua call", |b| b.iter(|| nothing(message)));
    let mut table = decode(
        "local g = require 'common_log_format'.build_nginx_grammar('$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\"')
         local m = {} function process_message() local f = g:match(read_message('Payload')) m.Timestamp = f.time f.time = nil m.Fields = f inject_message(m) return 0 end",
    );
    group.bench_function("lua decoder through a table", |b| b.iter(|| table(message)));
    let mut shipped = decode(include_str!("../lua/decoders/nginx_access.lua"));
    group.bench_function("nginx_access.lua", |b| b.iter(|| shipped(message)));
    let raw = frame(JSON_LINE);
    let object = Frame::parse(&raw).expect("a frame").view();
    let mut json = decode(include_str!("../lua/decoders/json.lua"));
    group.bench_function("json.lua", |b| b.iter(|| json(object)));

    // Filters, on a message of some 300 bytes.
    let mut decoded = Vec::new();
    MessageBuilder::new(&mut decoded, &[7; 16], 1_700_000_000_000_000_000)
        .text(heka::message::TextHeader::Type, b"nginx.access")
        .text(heka::message::TextHeader::Hostname, b"web1.example.com")
        .string_field(b"remote_addr", b"62.195.113.219", b"ipv4")
        .string_field(b"request", b"GET /v1/recovery_email/status HTTP/1.1", b"")
        .double_field(b"status", 200.0, b"")
        .double_field(b"body_bytes_sent", 82.0, b"B")
        .string_field(b"http_user_agent", &LINE[100..], b"");
    let view = MessageView::new(&decoded).expect("a message");
    let mut writes = decode(
        "function process_message() write_message('Fields[class]', '2xx') write_message('Severity', 6) return 0 end",
    );
    group.bench_function("lua decoder that writes", |b| b.iter(|| writes(view)));
    let mut framed = Vec::new();
    put_frame(&mut framed, None, &decoded);
    let frame = Frame::parse(&framed).expect("a frame");
    group.bench_function("json", |b| {
        b.iter(|| {
            buf.clear();
            write_json(std::hint::black_box(&frame), &mut buf);
        })
    });
    group.bench_function("text", |b| {
        b.iter(|| {
            buf.clear();
            write_text(std::hint::black_box(&view), Style::default(), &mut buf);
        })
    });
    let event = EventOptions {
        endpoint: Endpoint::Event,
        form: EventForm::Fields,
        fields: IndexedFields::None,
        host: None,
        source: None,
        sourcetype: None,
        index: None,
    };
    group.bench_function("hec event", |b| {
        b.iter(|| {
            buf.clear();
            event.put(std::hint::black_box(&view), &mut buf);
        })
    });
    let mut counter = filter(include_str!("../tests/scripts/tutorial/counter.lua"));
    group.bench_function("filter: the tutorial's counter", |b| b.iter(|| counter(view)));
    let mut status = filter(include_str!("../lua/filters/http_status.lua"));
    group.bench_function("filter: http_status", |b| b.iter(|| status(view)));
    let mut injects = filter(
        "local m = { Type = 'x', Payload = '', Fields = { status = 0, host = '' } }
         function process_message()
             m.Timestamp = read_message('Timestamp') m.Payload = read_message('Fields[request]')
             m.Fields.status = read_message('Fields[status]') m.Fields.host = read_message('Hostname')
             inject_message(m) return 0 end",
    );
    group.bench_function("filter: a message for each", |b| b.iter(|| injects(view)));

    // A record as a firewall sends it.
    const RECORD: &[u8] = b"Sep 19 08:26:10 host CEF:0|security|threatmanager|1.0|100|detected a \\| in message|10|src=10.0.0.1 spt=1232 dst=2.1.2.2 dpt=80 proto=TCP act=blocked a \\= sign suser=admin request=http://example.org/?q\\=1 msg=Detected a threat. No action needed.";
    group.throughput(Throughput::Elements(1));
    let mut parsed = Parsed::default();
    group.bench_function("cef: parse", |b| b.iter(|| parsed.parse(std::hint::black_box(RECORD)).is_ok()));
    parsed.parse(RECORD).expect("a record");
    let mut fields = Vec::new();
    group.bench_function("cef: parse into fields", |b| {
        b.iter(|| {
            fields.clear();
            parsed.parse(std::hint::black_box(RECORD)).expect("a record");
            let mut builder = MessageBuilder::new(&mut fields, &[7; 16], 1_700_000_000_000_000_000);
            put_fields(&mut builder, RECORD, &parsed, FieldOptions::default());
        })
    });
    let view = MessageView::new(&fields).expect("a message");
    let (mut record, options) = (Vec::new(), RecordOptions::default());
    group.bench_function("cef: format", |b| {
        b.iter(|| {
            record.clear();
            put_record(&mut record, std::hint::black_box(&view), &options).is_ok()
        })
    });
    assert_eq!(record, RECORD);
    group.finish();
}

criterion_group!(benches, hot_paths);
criterion_main!(benches);
