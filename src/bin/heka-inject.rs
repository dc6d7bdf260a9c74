//! heka-inject: one message from the command line.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use heka::control::Settings;
use heka::message::{FieldArgument, MessageBuilder, TextHeader, now_ns, put_field_arguments, uuid};
use heka::pipeline::{self, Exit, Failure};
use heka::sink::syslog::{PRIORITIES, priority_number};

const EXAMPLES: &str = "\
Examples:
  A message into a pipe:
    heka-inject --type deploy --payload 'version 7 is live' --field host=web1 \\
        --field took:double:s=2.5 | heka-cat

  What a filter is tested with; a field with several values:
    heka-inject --type counter --field status:integer=200 --field status:integer=304 |
        heka-sandbox --lua my_filter.lua | heka-cat

  Signed, to a server; who signs and where it goes is in a file as heka-sbmgr's:
    heka-inject --type alert --payload 'disk full' --severity crit --config sbmgr.toml --send";

/// Make one message, for a pipe or for a Heka server
#[derive(Parser)]
#[command(name = "heka-inject", version, after_help = EXAMPLES)]
struct Args {
    /// Header Type
    #[arg(long = "type", value_name = "TEXT", default_value = "inject.message")]
    message_type: String,

    /// Header Logger
    #[arg(long, value_name = "TEXT", default_value = "Inject Client")]
    logger: String,

    /// Header Severity: 0 to 7, or emerg, alert, crit, err, warning, notice, info, debug
    #[arg(long, value_name = "N", default_value = "7", value_parser = parse_severity)]
    severity: i32,

    /// Header Payload; `-` reads standard input
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    payload: String,

    /// Header EnvVersion
    #[arg(long, value_name = "TEXT")]
    env_version: Option<String>,

    /// Header Pid [default: this process's]
    #[arg(long, value_name = "N")]
    pid: Option<i32>,

    /// Header Hostname [default: this machine's]
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,

    /// Header Timestamp, as RFC 3339 or as seconds since 1970 with a fraction [default: now]
    #[arg(long, value_name = "TIME", value_parser = pipeline::parse_time)]
    timestamp: Option<i64>,

    /// A field, NAME[:TYPE[:REPRESENTATION]]=VALUE; TYPE is string, bytes (base64), integer, double or bool; more values
    /// where the same is given again
    #[arg(long, value_name = "FIELD")]
    field: Vec<FieldArgument>,

    /// TOML file with a signer, and a server's address and TLS, as for heka-sbmgr
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// File of the signer's key, if --config has none; else the environment variable HEKA_SIGNER_KEY
    #[arg(long, value_name = "FILE", requires = "config")]
    key_file: Option<PathBuf>,

    /// Send it to the server of --config instead of standard output
    #[arg(long, requires = "config")]
    send: bool,

    /// Send it to this server instead of standard output
    #[arg(long, value_name = "HOST:PORT", alias = "heka")]
    address: Option<String>,
}

fn parse_severity(text: &str) -> Result<i32, String> {
    let number = text.parse().ok().filter(|number| (0..8).contains(number));
    let named = || priority_number(&text.to_uppercase()).map(i32::from);
    number.or_else(named).ok_or_else(|| format!("expected 0 to 7, or one of {}", PRIORITIES.join(", ").to_lowercase()))
}

fn main() -> ExitCode {
    pipeline::main_with_single_dashes(run)
}

fn run(args: Args) -> Result<Exit, Failure> {
    let mut settings = match &args.config {
        Some(path) => Settings::load(path, args.key_file.as_deref())?,
        None => Settings::default(),
    };
    if args.address.is_some() {
        settings.address.clone_from(&args.address);
    }
    let mut payload = args.payload.into_bytes();
    if payload == b"-" {
        payload.clear();
        std::io::stdin()
            .read_to_end(&mut payload)
            .map_err(|error| Failure::failed(format!("standard input: {error}")))?;
    }
    let mut message = Vec::new();
    let mut builder = MessageBuilder::new(&mut message, &uuid::new_v4(), args.timestamp.unwrap_or_else(now_ns));
    builder.text(TextHeader::Type, args.message_type.as_bytes()).text(TextHeader::Logger, args.logger.as_bytes());
    builder.severity(args.severity).text(TextHeader::Payload, &payload);
    if let Some(version) = &args.env_version {
        builder.text(TextHeader::EnvVersion, version.as_bytes());
    }
    builder.pid(args.pid.unwrap_or(std::process::id() as i32));
    builder.text(TextHeader::Hostname, &args.hostname.map_or_else(pipeline::hostname, String::into_bytes));
    put_field_arguments(&mut builder, &args.field);
    let mut frame = Vec::new();
    settings.put_frame(&mut frame, &message);
    settings.hand_over(&frame, !args.send && args.address.is_none())?;
    Ok(Exit::Success)
}
