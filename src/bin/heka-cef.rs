//! heka-cef: records in ArcSight's Common Event Format, made and read.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};
use heka::cef::{
    CONSTANTS, Config, Event, FieldOptions, Form, FormatStage, Mapping, ParseStage, RecordOptions, read_environ,
    read_ini,
};
use heka::message::{MessageBuilder, TextHeader, now_ns, uuid};
use heka::pipeline::{
    self, Checkpoint, Exit, Failure, InputArgs, Output, RunOptions, StatsArgs, parse_duration, parse_size,
};
use heka::sandbox::{Encoder, Kind, LastingScriptArgs, Section, prepare_process};
use heka::sink::syslog::{
    Address, FACILITIES, PRIORITIES, SyslogOptions, SyslogStage, facility_number, priority_number,
};
use heka::stream::put_frame;

const EXAMPLES: &str = "\
Examples:
  A record of what happened, as a message:
    heka-cef \"Login failed\" --severity 5 --signature AUTH_FAILURE --vendor mozilla --product weave \\
        --device-version 3 --environ env.json | heka-cat

  Its text alone, as Mozilla's library for Python writes it:
    heka-cef \"Login failed\" --compat --config cef.ini --environ - < env.json |
        heka-cat --format payload

  Records of what decoded messages say:
    heka-cef format --vendor nginx --product nginx --device-version 1 \\
        --map src=Fields[remote_addr] --map request=Fields[request] decoded.hpb |
        heka-cat --format payload

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
    script: LastingScriptArgs,

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

fn parse(args: ParseArgs) -> Result<Exit, Failure> {
    let mut out = Output::frames()?;
    let operands = pipeline::open_operands(&args.input.files, "messages")?;
    let options = RunOptions::new(&args.input, args.stats);
    let fields = FieldOptions { labels: args.labels, typed: args.typed };
    let mut stage = ParseStage::new(fields, args.severity);
    let ran = pipeline::run(operands, options, &mut out, &mut stage)?;
    Ok(ran.exit(stage.others > 0 && args.strict))
}

fn format_messages(args: FormatArgs) -> Result<Exit, Failure> {
    if args.script.help(Kind::Encoder)? {
        return Ok(Exit::Success);
    }
    let encoder = match &args.encoder {
        Some(script) => {
            let settings = args.script.settings(script, &Section::default(), Kind::Encoder)?;
            Some(Encoder::new(&settings).map_err(Failure::usage)?)
        }
        None => None,
    };
    let map: Result<Vec<Mapping>, String> = args.map.iter().map(|text| Mapping::parse(text)).collect();
    let options = RecordOptions {
        config: Config {
            version: "0".into(),
            vendor: args.vendor,
            product: args.product,
            device_version: args.device_version,
        },
        map: map.map_err(|message| Failure::usage(format!("--map: {message}")))?,
        strict: args.strict,
    };
    let mut stage = FormatStage::new(options, encoder);
    let mut out = Output::frames()?;
    let operands = pipeline::open_operands(&args.input.files, "messages")?;
    let ran = pipeline::run(operands, RunOptions::new(&args.input, args.stats), &mut out, &mut stage)?;
    Ok(ran.exit(stage.failed > 0 && args.strict))
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
    let mut stage = SyslogStage::new(SyslogOptions {
        address,
        facility: args.facility.as_ref().map(facility).transpose()?,
        priority: args.priority.as_ref().map(priority).transpose()?,
        ident: args.ident,
        strip: args.strip,
        rfc5424: args.rfc5424,
        checkpoint: args.checkpoint.as_deref().map(Checkpoint::open).transpose()?,
        give_up_after: args.give_up_after,
    });
    let mut out = Output::text();
    let operands = pipeline::open_operands(&args.input.files, "messages")?;
    let ran = pipeline::run(operands, RunOptions::new(&args.input, args.stats), &mut out, &mut stage)?;
    Ok(ran.exit(stage.too_long > 0))
}
