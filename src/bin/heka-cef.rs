//! heka-cef: records in ArcSight's Common Event Format, made and read.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args as ClapArgs, Parser, Subcommand};
use heka::cef::{CONSTANTS, Config, Event, FieldOptions, Form, Mapping, Parsed, RecordOptions, put_fields, put_record};
use heka::message::{MessageBuilder, MessageView, TextHeader, Value, now_ns, uuid};
use heka::pipeline::{
    self, Checkpoint, Exit, Failure, Flow, InputArgs, Output, RunOptions, Signals, Stage, Stats, StatsArgs, WaitOn,
    Wake, describe, parse_duration, parse_size, read_text, report_once,
};
use heka::sandbox::{Encoded, Encoder, Kind, ScriptArgs, Section, Terminated, prepare_process};
use heka::sink::Backoff;
use heka::sink::syslog::{Address, Sender, is_too_long};
use heka::stream::{Frame, put_frame};

const EXAMPLES: &str = "\
Examples:
  A record of what happened, as a message:
    heka-cef \"Login failed\" --severity 5 --signature AUTH_FAILURE --vendor mozilla --product weave \\
        --device-version 3 --environ env.json | heka-cat

  Its text alone, as Mozilla's library for Python writes it:
    heka-cef \"Login failed\" --compat --config cef.ini --environ - < env.json | heka-cat --format payload

  Records of what decoded messages say:
    heka-decode --lua nginx_access day.hpb | heka-cef format --vendor nginx --product nginx --device-version 1 \\
        --map src=Fields[remote_addr] --map request=Fields[request] | heka-cat --format payload

  Records to syslog on this machine, or on another:
    heka-cef \"Login failed\" --config cef.ini | heka-cef syslog
    heka-cef syslog --address tls://logs.example.com --facility LOCAL4 --checkpoint c records.hpb

  The variables of the process that calls it:
    env | heka-cef \"Login failed\" --config cef.ini --environ - | heka-cef syslog

  Records of a log become fields:
    heka-tail cef.log | heka-cef parse --labels | heka-match \"Fields[src] == '10.0.0.1'\" | heka-cat";

/// Make and read records in ArcSight's Common Event Format (CEF)
#[derive(Parser)]
#[command(name = "heka-cef", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    log: LogArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Make a message of one record, as without a command
    Log(Box<LogArgs>),
    /// Take the records in payloads apart into fields; the payload stays as it is
    Parse(ParseArgs),
    /// Make a record of each message's fields, in its payload; what `parse` read comes out as it was
    #[command(long_flag = "from-fields")]
    Format(Box<FormatArgs>),
    /// Send payloads to syslog, with the facility, the priority and the ident of their messages
    Syslog(SyslogArgs),
}

#[derive(ClapArgs)]
struct LogArgs {
    /// What happened
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// How bad it is: 0 to 10, or Unknown, Low, Medium, High, Very-High
    #[arg(long, value_name = "N", default_value = "5", allow_hyphen_values = true)]
    severity: String,

    /// What kind of event it is [default: its name]; AUTH_FAILURE, CAPTCHA_FAILURE, OVERRIDE_FAILURE, ACCOUNT_LOCKED and
    /// PASSWD_RESET_CLR stand for the library's
    #[arg(long, value_name = "ID")]
    signature: Option<String>,

    /// Whom it is about
    #[arg(long, value_name = "NAME", default_value = "none")]
    username: String,

    /// Who made the device
    #[arg(long, value_name = "TEXT")]
    vendor: Option<String>,

    /// What the device is
    #[arg(long, value_name = "TEXT")]
    product: Option<String>,

    /// The device's version
    #[arg(long, value_name = "TEXT")]
    device_version: Option<String>,

    /// The format's version [default: 0]
    #[arg(long, value_name = "N")]
    cef_version: Option<String>,

    /// INI file with `cef.vendor = …` and the like, and settings of [heka_plugin_cef]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// A request's CGI variables, as a JSON object or as lines KEY=VALUE; `-` is standard input
    #[arg(long, value_name = "FILE")]
    environ: Option<PathBuf>,

    /// More of the extension
    #[arg(long, value_name = "KEY=VALUE")]
    ext: Vec<String>,

    /// What the record begins with [default: now, as Feb 10 08:46:41]
    #[arg(long, value_name = "TEXT")]
    date: Option<String>,

    /// The host in the record [default: this machine's name]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    /// Write the record byte for byte as Mozilla's `cef` library for Python: not everything is escaped, keys that pass 1,024
    /// bytes are left out
    #[arg(long)]
    compat: bool,

    /// Leave out keys that would make the record longer
    #[arg(long, value_name = "BYTES", value_parser = parse_size, conflicts_with = "compat")]
    max_length: Option<usize>,

    /// Where syslog shall put it: KERN USER MAIL DAEMON AUTH LPR NEWS UUCP CRON LOCAL0 to LOCAL7 [default: LOCAL4]
    #[arg(long, value_name = "NAME")]
    syslog_facility: Option<String>,

    /// What syslog shall call the program
    #[arg(long, value_name = "NAME")]
    syslog_ident: Option<String>,

    /// How urgent syslog shall take it: EMERG ALERT CRIT ERR WARNING NOTICE INFO DEBUG
    #[arg(long, value_name = "NAME")]
    syslog_priority: Option<String>,

    /// Header Logger
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    logger: String,
}

#[derive(ClapArgs)]
struct ParseArgs {
    #[command(flatten)]
    input: InputArgs,

    /// Name cs1, cn1, flexString1 and their like by their labels
    #[arg(long)]
    labels: bool,

    /// Make numbers of the keys that are numbers or times by CEF's dictionary (times in ms)
    #[arg(long)]
    typed: bool,

    /// Header Severity from the record's: 9 and 10 are 2, 7 and 8 are 3, 4 to 6 are 4, 0 to 3 are 6
    #[arg(long)]
    severity: bool,

    /// Exit with 1 if a payload was no record
    #[arg(long)]
    strict: bool,

    #[command(flatten)]
    stats: StatsArgs,
}

#[derive(ClapArgs)]
struct FormatArgs {
    #[command(flatten)]
    input: InputArgs,

    /// The extension: a key and the variable of the message that it has; may be repeated [default: all fields]
    #[arg(long, value_name = "KEY=VARIABLE")]
    map: Vec<String>,

    /// Make the records with a Lua encoder instead: a file, or the name of one that ships
    #[arg(long, value_name = "SCRIPT", conflicts_with = "map")]
    encoder: Option<PathBuf>,

    #[command(flatten)]
    script: ScriptArgs,

    /// Vendor of messages without Fields[cef.device_vendor]
    #[arg(long, value_name = "TEXT", default_value = "Mozilla")]
    vendor: String,

    /// Product of messages without Fields[cef.device_product]
    #[arg(long, value_name = "TEXT", default_value = "Heka")]
    product: String,

    /// Version of the device in messages without Fields[cef.device_version]
    #[arg(long, value_name = "TEXT", default_value = "1")]
    device_version: String,

    /// Only keys of CEF's dictionary, with values of their types and lengths; exit with 1 if a message made no record
    #[arg(long)]
    strict: bool,

    #[command(flatten)]
    stats: StatsArgs,
}

#[derive(ClapArgs)]
struct SyslogArgs {
    #[command(flatten)]
    input: InputArgs,

    /// unix:PATH, udp://HOST[:514], tcp://HOST[:514] or tls://HOST[:6514] [default: this machine's, /dev/log]
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,

    /// PEM file of the authorities that a server's certificate may come from [default: the system's]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Facility, whatever messages say [default: Fields[cef_meta.syslog_facility], or LOCAL4]
    #[arg(long, value_name = "NAME")]
    facility: Option<String>,

    /// Priority, whatever messages say [default: Fields[cef_meta.syslog_priority], or INFO]
    #[arg(long, value_name = "NAME")]
    priority: Option<String>,

    /// Ident, whatever messages say [default: Fields[cef_meta.syslog_ident], or heka_no_ident]
    #[arg(long, value_name = "NAME")]
    ident: Option<String>,

    /// Leave out what a payload has before CEF:, since syslog adds a time and a host of its own
    #[arg(long)]
    strip: bool,

    /// Write the header of RFC 5424
    #[arg(long)]
    rfc5424: bool,

    /// Keep in this file how far the stream has been sent
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,

    /// End when nothing could be sent for so long
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = parse_duration)]
    give_up_after: Duration,

    #[command(flatten)]
    stats: StatsArgs,
}

const FACILITIES: [&str; 17] = [
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
const PRIORITIES: [&str; 8] = ["EMERG", "ALERT", "CRIT", "ERR", "WARNING", "NOTICE", "INFO", "DEBUG"];

fn main() -> ExitCode {
    prepare_process();
    pipeline::main(|args: Args| match args.command {
        None => log(args.log),
        Some(Command::Log(args)) => log(*args),
        Some(Command::Parse(args)) => parse(args),
        Some(Command::Format(args)) => format_messages(*args),
        Some(Command::Syslog(args)) => syslog(args),
    })
}

fn log(args: LogArgs) -> Result<Exit, Failure> {
    let name = args.name.ok_or_else(|| Failure::usage("what happened is missing: heka-cef NAME …, or a command"))?;
    let ini = args.config.as_deref().map(read_ini).transpose()?.unwrap_or_default();
    let setting = |given: &Option<String>, key: &str| given.clone().or_else(|| ini.get(key).cloned());
    let known = |key: &str, names: &[&str], default: &str, given: &Option<String>, what: &str| {
        let name = setting(given, key).unwrap_or_else(|| default.to_string());
        if name.is_empty() || names.contains(&name.as_str()) {
            return Ok(name);
        }
        Err(Failure::usage(format!("{what} should be one of: {}, not {name:?}", names.join(" "))))
    };
    let facility = known("syslog_facility", &FACILITIES, "LOCAL4", &args.syslog_facility, "Facility")?;
    let priority = known("syslog_priority", &PRIORITIES, "", &args.syslog_priority, "Priority")?;
    let ident = setting(&args.syslog_ident, "syslog_ident").unwrap_or_default();
    let required = |given: &Option<String>, key: &str, option: &str| {
        let wrong = || Failure::usage(format!("{option} is missing (or cef.{key} in --config)"));
        setting(given, &format!("cef.{key}")).ok_or_else(wrong)
    };
    let mut extension = Vec::new();
    for pair in &args.ext {
        let wrong = || Failure::usage(format!("--ext {pair}: expected KEY=VALUE"));
        let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
        extension.push((key.to_string(), value.to_string()));
    }
    let signature = args.signature.map(|own| {
        let constant = CONSTANTS.iter().find(|(name, _)| *name == own);
        constant.map_or(own, |(_, value)| value.to_string())
    });
    let event = Event {
        name,
        severity: args.severity,
        signature,
        username: args.username,
        config: Config {
            version: setting(&args.cef_version, "cef.version").unwrap_or_else(|| "0".into()),
            vendor: required(&args.vendor, "vendor", "--vendor")?,
            product: required(&args.product, "product", "--product")?,
            device_version: required(&args.device_version, "device_version", "--device-version")?,
        },
        environ: args.environ.as_deref().map(read_environ).transpose()?.unwrap_or_default(),
        extension,
        date: args.date.unwrap_or_else(|| jiff::Zoned::now().strftime("%b %d %H:%M:%S").to_string()),
        host: args.host.unwrap_or_else(|| String::from_utf8_lossy(&pipeline::hostname()).into_owned()),
    };
    let form = if args.compat { Form::Compat } else { Form::Safe { max_length: args.max_length } };
    let made = event.record(form).map_err(Failure::usage)?;
    if !made.left_out.is_empty() {
        pipeline::report(&format!("the record would be too long; left out: {}", made.left_out.join(" ")));
    }
    let mut message = Vec::new();
    MessageBuilder::new(&mut message, &uuid::new_v4(), now_ns())
        .text(TextHeader::Type, b"cef")
        .text(TextHeader::Logger, args.logger.as_bytes())
        .severity(6)
        .text(TextHeader::Payload, &made.text)
        .text(TextHeader::EnvVersion, b"0.8")
        .pid(std::process::id() as i32)
        .text(TextHeader::Hostname, &pipeline::hostname())
        .string_field(b"cef_meta.syslog_priority", priority.as_bytes(), b"")
        .string_field(b"cef_meta.syslog_ident", ident.as_bytes(), b"")
        .string_field(b"cef_meta.syslog_facility", facility.as_bytes(), b"");
    let mut out = Output::frames()?;
    put_frame(out.buf(), None, &message);
    out.flush()?;
    Ok(Exit::Success)
}

/// `key = value` lines: the settings of a `[heka_plugin_…]` section (or `[metlog_plugin_…]`), and whatever begins with
/// `cef.`, by their names.
fn read_ini(path: &Path) -> Result<BTreeMap<String, String>, Failure> {
    const SETTINGS: [&str; 5] = ["provider", "override", "syslog_facility", "syslog_ident", "syslog_priority"];
    let mut settings = BTreeMap::new();
    let mut in_plugin = false;
    for (place, line) in read_text(path)?.lines().enumerate() {
        let line = line.trim();
        let wrong = |message: String| Failure::usage(format!("{}:{}: {message}", path.display(), place + 1));
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            in_plugin = ["heka_plugin_", "metlog_plugin_"].iter().any(|prefix| section.starts_with(prefix));
            continue;
        }
        let (key, value) = line.split_once(['=', ':']).ok_or_else(|| wrong("expected key = value".into()))?;
        let (key, value) = (key.trim(), value.trim());
        if key.starts_with("cef.") || in_plugin && SETTINGS.contains(&key) {
            settings.insert(key.to_string(), value.to_string());
        } else if in_plugin {
            return Err(wrong(format!("Unexpected arguments: [{key}]")));
        }
    }
    Ok(settings)
}

fn read_environ(path: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let wrong = |error: String| Failure::usage(format!("{}: {error}", path.display()));
    let text = if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|error| wrong(describe(&error)))?;
        text
    } else {
        read_text(path)?
    };
    if !text.trim_start().starts_with(['{', '[']) {
        let pair = |line: &str| line.split_once('=').map(|(key, value)| (key.to_string(), value.to_string()));
        return Ok(text.lines().filter_map(pair).collect());
    }
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&text).map_err(|error| wrong(format!("no JSON object: {error}")))?;
    Ok(object.into_iter().map(|(key, value)| (key, as_python_writes(&value))).collect())
}

/// The text that the library makes of a value.
fn as_python_writes(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => "None".into(),
        serde_json::Value::Bool(true) => "True".into(),
        serde_json::Value::Bool(false) => "False".into(),
        other => other.to_string(),
    }
}

struct Parse {
    fields: FieldOptions,
    severity: bool,
    parsed: Parsed,
    message: Vec<u8>,
    records: u64,
    others: u64,
}

impl Stage for Parse {
    fn message(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<Flow, Failure> {
        let view = frame.view();
        let text = view.payload();
        self.message.clear();
        self.message.extend_from_slice(frame.message());
        let mut builder = MessageBuilder::more(&mut self.message);
        match self.parsed.parse(text) {
            Ok(()) => {
                self.records += 1;
                put_fields(&mut builder, text, &self.parsed, self.fields);
                if let Some(severity) = self.syslog_severity(text) {
                    MessageBuilder::more(&mut self.message).severity(severity);
                }
            }
            Err(error) => {
                self.others += 1;
                report_once("payloads that are no CEF", || format!("a payload is no CEF: {error}"));
                builder.string_field(b"cef_error", error.to_string().as_bytes(), b"");
            }
        }
        put_frame(out.buf(), frame.header().cursor(), &self.message);
        out.filled()?;
        Ok(Flow::Continue)
    }

    fn stats(&self, stats: &mut Stats) {
        stats.set("messages_out", self.records + self.others).set("cef_errors", self.others);
    }
}

impl Parse {
    fn syslog_severity(&self, text: &[u8]) -> Option<i32> {
        let [.., severity] = &self.parsed.header;
        let severity = text.get(severity.clone()).filter(|_| self.severity)?;
        match severity {
            b"Very-High" => Some(2),
            b"High" => Some(3),
            b"Medium" => Some(4),
            b"Low" => Some(6),
            number => match std::str::from_utf8(number).ok()?.parse().ok()? {
                9..=10u8 => Some(2),
                7..=8 => Some(3),
                4..=6 => Some(4),
                0..=3 => Some(6),
                _ => None,
            },
        }
    }
}

fn parse(args: ParseArgs) -> Result<Exit, Failure> {
    let mut out = Output::frames()?;
    let operands = pipeline::open_operands(&args.input.files, "messages")?;
    let options = RunOptions::new(&args.input, args.stats);
    let mut stage = Parse {
        fields: FieldOptions { labels: args.labels, typed: args.typed },
        severity: args.severity,
        parsed: Parsed::default(),
        message: Vec::new(),
        records: 0,
        others: 0,
    };
    let ran = pipeline::run(operands, options, &mut out, &mut stage)?;
    Ok(exit(ran.unreadable, stage.others > 0 && args.strict))
}

struct Format {
    options: RecordOptions,
    encoder: Option<Encoder>,
    parsed: Parsed,
    record: Vec<u8>,
    /// What the payload's own fields are, and the record that they would make.
    own: Vec<u8>,
    own_record: Vec<u8>,
    message: Vec<u8>,
    records: u64,
    failed: u64,
}

impl Format {
    /// Makes the record. Answers whether there is one, and what is wrong if it can't be made.
    fn make(&mut self, frame: &Frame<'_>, view: &MessageView<'_>) -> Result<Result<bool, String>, Failure> {
        self.record.clear();
        let Some(encoder) = &mut self.encoder else {
            return Ok(put_record(&mut self.record, view, &self.options).map(|no_keys| {
                if no_keys > 0 {
                    report_once("messages with names that can't be keys", || {
                        "a field was left out: its name can't be a key; see --map".into()
                    });
                }
                true
            }));
        };
        match encoder.encode(frame.message(), view.index()) {
            Err(Terminated(reason)) => Err(Failure::failed(reason)),
            Ok(Err(reason)) => Ok(Err(reason)),
            Ok(Ok(Encoded::Nothing)) => Ok(Ok(false)),
            Ok(Ok(Encoded::Bytes(bytes))) => {
                self.record.extend_from_slice(bytes);
                Ok(self.parsed.parse(bytes).map(|()| true).map_err(|error| format!("what the encoder made: {error}")))
            }
        }
    }

    /// Whether the fields are those of the record in the payload: then that is the record, to the last blank.
    fn is_unchanged(&mut self, view: &MessageView<'_>) -> bool {
        let text = view.payload();
        if self.encoder.is_some() || !self.options.map.is_empty() || self.parsed.parse(text).is_err() {
            return false;
        }
        self.own.clear();
        let mut own = MessageBuilder::new(&mut self.own, view.uuid(), view.timestamp());
        put_fields(&mut own, text, &self.parsed, FieldOptions::default());
        self.own_record.clear();
        let own = MessageView::new(&self.own);
        own.is_some_and(|own| put_record(&mut self.own_record, &own, &self.options).is_ok())
            && self.own_record == self.record
    }
}

impl Stage for Format {
    fn message(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<Flow, Failure> {
        let view = frame.view();
        match self.make(frame, &view)? {
            Ok(false) => return Ok(Flow::Continue),
            Ok(true) if self.is_unchanged(&view) => {
                self.records += 1;
                out.push(frame.raw())?;
                return Ok(Flow::Continue);
            }
            Ok(true) => {
                self.records += 1;
                self.message.clear();
                let mut builder = MessageBuilder::new(&mut self.message, view.uuid(), view.timestamp());
                builder.text(TextHeader::Type, b"cef");
                for header in [TextHeader::Logger, TextHeader::EnvVersion, TextHeader::Hostname] {
                    if let Some(text) = view.text(header) {
                        builder.text(header, text);
                    }
                }
                builder.severity(view.severity().unwrap_or(6)).text(TextHeader::Payload, &self.record);
                if let Some(pid) = view.pid() {
                    builder.pid(pid);
                }
                for field in view.fields().filter(|field| field.name.starts_with(b"cef_meta.")) {
                    builder.copy_field(&field);
                }
            }
            Err(wrong) => {
                self.failed += 1;
                report_once("messages that make no record", || format!("a message makes no record: {wrong}"));
                self.message.clear();
                self.message.extend_from_slice(frame.message());
                MessageBuilder::more(&mut self.message).string_field(b"cef_error", wrong.as_bytes(), b"");
            }
        }
        put_frame(out.buf(), frame.header().cursor(), &self.message);
        out.filled()?;
        Ok(Flow::Continue)
    }

    fn stats(&self, stats: &mut Stats) {
        stats.set("messages_out", self.records + self.failed).set("cef_errors", self.failed);
    }
}

fn format_messages(args: FormatArgs) -> Result<Exit, Failure> {
    let encoder = match &args.encoder {
        Some(script) => {
            let settings = args.script.settings(script, &Section::default(), Kind::Encoder)?;
            Some(Encoder::new(&settings).map_err(Failure::usage)?)
        }
        None => None,
    };
    let map: Result<Vec<Mapping>, String> = args.map.iter().map(|text| Mapping::parse(text)).collect();
    let mut stage = Format {
        options: RecordOptions {
            config: Config {
                version: "0".into(),
                vendor: args.vendor,
                product: args.product,
                device_version: args.device_version,
            },
            map: map.map_err(|message| Failure::usage(format!("--map: {message}")))?,
            strict: args.strict,
        },
        encoder,
        parsed: Parsed::default(),
        record: Vec::new(),
        own: Vec::new(),
        own_record: Vec::new(),
        message: Vec::new(),
        records: 0,
        failed: 0,
    };
    let mut out = Output::frames()?;
    let operands = pipeline::open_operands(&args.input.files, "messages")?;
    let ran = pipeline::run(operands, RunOptions::new(&args.input, args.stats), &mut out, &mut stage)?;
    Ok(exit(ran.unreadable, stage.failed > 0 && args.strict))
}

fn exit(unreadable: bool, failed: bool) -> Exit {
    match (unreadable, failed) {
        (true, _) => Exit::Failed,
        (false, true) => Exit::Negative,
        (false, false) => Exit::Success,
    }
}

fn facility_number(name: &str) -> Option<u8> {
    ALL_FACILITIES.iter().find(|(own, _)| *own == name).map(|(_, number)| *number)
}

fn priority_number(name: &str) -> Option<u8> {
    PRIORITIES.iter().position(|own| *own == name).map(|number| number as u8)
}

const LOCAL4: u8 = 20;
const INFO: u8 = 6;
/// How often a checkpoint is written while messages keep coming.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

struct Syslog {
    sender: Sender,
    facility: Option<u8>,
    priority: Option<u8>,
    ident: Option<String>,
    strip: bool,
    rfc5424: bool,
    checkpoint: Option<Checkpoint>,
    committed_at: Instant,
    give_up_after: Duration,
    host: String,
    /// The time of the last line, in seconds and as text.
    time: (i64, String),
    parsed: Parsed,
    line: Vec<u8>,
    sent: u64,
    too_long: u64,
}

impl Syslog {
    fn put_line(&mut self, view: &MessageView<'_>) {
        let text = |name: &str| match view.value(name.as_bytes()) {
            Some(Value::String(text)) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        };
        let facility = self.facility.or_else(|| facility_number(&text("cef_meta.syslog_facility")?)).unwrap_or(LOCAL4);
        let priority = self.priority.or_else(|| priority_number(&text("cef_meta.syslog_priority")?)).unwrap_or(INFO);
        let ident = self.ident.clone().or_else(|| text("cef_meta.syslog_ident"));
        let ident = ident.unwrap_or_else(|| "heka_no_ident".into());
        // On a machine's own socket receivers expect what the C library writes: the short time, and no host.
        let short = self.sender.is_unix() && !self.rfc5424;
        let second = now_ns().div_euclid(1_000_000_000);
        if self.time.0 != second {
            let form = if short { "%b %e %H:%M:%S" } else { "%Y-%m-%dT%H:%M:%S%:z" };
            self.time = (second, jiff::Zoned::now().strftime(form).to_string());
        }
        let time = &self.time.1;
        let (host, pid) = (&self.host, std::process::id());
        self.line.clear();
        let number = facility as u32 * 8 + priority as u32;
        // Writing to memory can't fail.
        let _ = if self.rfc5424 {
            let ident = if ident.is_empty() { "-" } else { ident.as_str() };
            write!(self.line, "<{number}>1 {time} {host} {ident} {pid} - - ")
        } else if short {
            write!(self.line, "<{number}>{time} {ident}[{pid}]: ")
        } else {
            write!(self.line, "<{number}>{time} {host} {ident}[{pid}]: ")
        };
        let payload = view.payload();
        let from = if self.strip && self.parsed.parse(payload).is_ok() { self.parsed.mark } else { 0 };
        let payload = payload.get(from..).unwrap_or_default();
        self.line.extend_from_slice(payload.strip_suffix(b"\n").unwrap_or(payload));
    }

    /// Tries until it works, or for too long.
    fn until_sent(&mut self, mut result: std::io::Result<()>) -> Result<(), Failure> {
        let since = Instant::now();
        let mut backoff = Backoff::default();
        while let Err(error) = result {
            if is_too_long(&error) {
                self.too_long += 1;
                self.sent -= 1;
                self.sender.forget();
                report_once("messages too long for a datagram", || {
                    "a message is too long for a datagram; use tcp:// or tls://".into()
                });
                return Ok(());
            }
            // A server that is not who it should be: trying again doesn't help.
            if since.elapsed() >= self.give_up_after || error.kind() == std::io::ErrorKind::InvalidData {
                return Err(Failure::failed(format!("syslog: {}; given up", describe(&error))));
            }
            report_once("attempts to reach syslog", || format!("syslog: {}; trying again", describe(&error)));
            let stopped = Signals::get().is_some_and(|signals| {
                let timeout = Some(backoff.next(None));
                signals.wait(WaitOn { timeout, ..WaitOn::default() }) == Wake::Stop
            });
            if stopped {
                return Err(Failure::failed("syslog: stopped before everything was sent"));
            }
            result = self.sender.flush();
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Failure> {
        let flushed = self.sender.flush();
        self.until_sent(flushed)?;
        self.committed_at = Instant::now();
        self.checkpoint.as_mut().map_or(Ok(()), Checkpoint::save)
    }
}

impl Stage for Syslog {
    fn message(&mut self, frame: &Frame<'_>, _: &mut Output) -> Result<Flow, Failure> {
        self.put_line(&frame.view());
        let line = std::mem::take(&mut self.line);
        self.sent += 1;
        let result = self.sender.send(&line);
        self.line = line;
        self.until_sent(result)?;
        if let Some(checkpoint) = &mut self.checkpoint
            && let Some(cursor) = frame.header().cursor()
        {
            checkpoint.advance(&cursor);
        }
        if self.committed_at.elapsed() >= COMMIT_EVERY {
            self.commit()?;
        }
        Ok(Flow::Continue)
    }

    fn idle(&mut self, _: &mut Output) -> Result<(), Failure> {
        self.commit()
    }

    fn finish(&mut self, _: &mut Output) -> Result<(), Failure> {
        self.commit()
    }

    fn stats(&self, stats: &mut Stats) {
        stats.set("messages_sent", self.sent).set("messages_too_long", self.too_long);
    }
}

fn syslog(args: SyslogArgs) -> Result<Exit, Failure> {
    let address = match &args.address {
        None => Address::Local,
        Some(text) => Address::parse(text, args.ca.as_deref())
            .map_err(|message| Failure::usage(format!("--address: {message}")))?,
    };
    let facility = |name: &String| {
        facility_number(name)
            .ok_or_else(|| Failure::usage(format!("Facility should be one of: {}", FACILITIES.join(" "))))
    };
    let priority = |name: &String| {
        priority_number(name)
            .ok_or_else(|| Failure::usage(format!("Priority should be one of: {}", PRIORITIES.join(" "))))
    };
    let mut stage = Syslog {
        sender: Sender::new(address),
        facility: args.facility.as_ref().map(facility).transpose()?,
        priority: args.priority.as_ref().map(priority).transpose()?,
        ident: args.ident,
        strip: args.strip,
        rfc5424: args.rfc5424,
        checkpoint: args.checkpoint.as_deref().map(Checkpoint::load).transpose()?,
        committed_at: Instant::now(),
        give_up_after: args.give_up_after,
        host: String::from_utf8_lossy(&pipeline::hostname()).into_owned(),
        time: (0, String::new()),
        parsed: Parsed::default(),
        line: Vec::new(),
        sent: 0,
        too_long: 0,
    };
    let mut out = Output::text();
    let operands = pipeline::open_operands(&args.input.files, "messages")?;
    let ran = pipeline::run(operands, RunOptions::new(&args.input, args.stats), &mut out, &mut stage)?;
    Ok(exit(ran.unreadable, stage.too_long > 0))
}
