//! heka-firehose: messages to AWS Kinesis Data Firehose.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use heka::message::Interpolation;
use heka::pipeline::{self, Exit, Failure, InputArgs, Output, RunOptions, StatsArgs, parse_seconds, parse_size};
use heka::sink::args::KeepArgs;
use heka::sink::firehose::{ClientOptions, Firehose, FirehoseOptions, Format, RecordOptions};

const EXAMPLES: &str = "\
Examples:
  Ship a log; credentials and region are found as by every AWS program (environment, ~/.aws):
    heka-tail -f access.log | heka-firehose --stream logs

  Lose nothing, whatever is killed: the source resumes at what is in the spool
    heka-tail -f --checkpoint c --commit sink access.log |
        heka-firehose --checkpoint c --stream logs

  Try it without AWS, with moto's server:
    export AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x
    heka-tail access.log | heka-firehose --stream logs --region us-east-1 \\
        --endpoint-url http://127.0.0.1:5000 --owner 123456789012

Records: gzip JSON documents as CloudWatch Logs subscriptions send them, one for each logGroup
(the Type) and logStream (Fields[sender], or the Hostname). The text of an event is Fields[raw],
or the Payload; its id is the Uuid, its timestamp the Timestamp in ms.

Without a stop, too, the end waits no longer than --drain for a success. The environment's
HTTP_PROXY, HTTPS_PROXY and NO_PROXY are obeyed.

Exit status: 0 all delivered, 1 some records are left in the spool (the next run sends them) or
messages were too long, 2 wrong usage, 3 Firehose will not take anything, or another failure; what
was read stays in the spool.";

/// Send messages to AWS Kinesis Data Firehose
#[derive(Parser)]
#[command(name = "heka-firehose", version, after_help = EXAMPLES)]
struct Args {
    #[command(flatten)]
    input: InputArgs,

    /// The delivery stream
    #[arg(long, value_name = "NAME")]
    stream: String,

    /// AWS region [default: the environment's or the profile's]
    #[arg(long, value_name = "NAME")]
    region: Option<String>,

    /// Profile of the AWS configuration and credentials files
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,

    /// Where Firehose is, instead of the region's own; also AWS_ENDPOINT_URL_FIREHOSE
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,

    /// What records hold
    #[arg(long, value_name = "FORMAT", default_value = "cloudwatch")]
    format: FormatName,

    /// How records are compressed
    #[arg(long, value_name = "KIND", default_value = "gzip")]
    compression: Compression,

    /// 1 is fast, 9 is small
    #[arg(long, value_name = "LEVEL", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=9))]
    compression_level: u32,

    /// logGroup of records, such as web/%{Hostname} or %{Fields[app]} [default: the Type; syslog_message
    /// and gelf_message for what heka-listen makes]
    #[arg(long, value_name = "TEMPLATE", value_parser = Interpolation::parse)]
    log_group: Option<Interpolation>,

    /// The account's number in records [default: AWS STS is asked for it]
    #[arg(long, value_name = "NUMBER")]
    owner: Option<String>,

    /// Make records when so much is collected
    #[arg(long, value_name = "BYTES", default_value = "4M", value_parser = parse_size)]
    buffer_bytes: usize,

    /// … or when a message has waited so long
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_seconds)]
    buffer_age: Duration,

    /// Send records after that time, or when a request is full
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_seconds)]
    flush_interval: Duration,

    /// Directory where records lie until Firehose has taken them [default: heka/firehose/STREAM in STATE_DIRECTORY or
    /// ~/.local/state]
    #[arg(long, value_name = "DIR")]
    spool_dir: Option<PathBuf>,

    /// Stop reading while so much lies there
    #[arg(long, value_name = "BYTES", default_value = "1G", value_parser = parse_size)]
    spool_max: usize,

    /// Requests at a time
    #[arg(long, value_name = "N", default_value_t = 2)]
    in_flight: usize,

    #[command(flatten)]
    keep: KeepArgs,

    #[command(flatten)]
    stats: StatsArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum FormatName {
    /// JSON documents as CloudWatch Logs subscriptions send them
    Cloudwatch,
    /// Messages as JSON, a line each
    Json,
    /// Payloads, a line each
    Payload,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Compression {
    Gzip,
    None,
}

fn main() -> ExitCode {
    pipeline::main(run)
}

fn run(args: Args) -> Result<Exit, Failure> {
    let valid = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if args.stream.is_empty() || args.stream.len() > 64 || !args.stream.chars().all(valid) {
        return Err(Failure::usage("--stream: expected 1 to 64 letters, digits, and _ . -"));
    }
    let spool_dir = args.spool_dir.or_else(|| state_directory(&args.stream)).ok_or_else(|| {
        Failure::usage("--spool-dir is needed: there is neither STATE_DIRECTORY nor HOME in the environment")
    })?;
    let operands = pipeline::open_operands(&args.input.files, "messages")?;
    let kept = args.keep.open("firehose", &operands)?;
    let mut firehose = Firehose::new(FirehoseOptions {
        client: ClientOptions {
            stream: args.stream,
            region: args.region,
            profile: args.profile,
            endpoint_url: args.endpoint_url,
        },
        record: RecordOptions {
            format: match args.format {
                FormatName::Cloudwatch => Format::CloudWatch,
                FormatName::Json => Format::Json,
                FormatName::Payload => Format::Payload,
            },
            level: (args.compression == Compression::Gzip).then_some(args.compression_level),
        },
        owner: args.owner,
        log_group: args.log_group,
        buffer_bytes: args.buffer_bytes.max(1),
        buffer_age: args.buffer_age,
        spool_dir,
        spool_max: args.spool_max as u64,
        flush_interval: args.flush_interval,
        in_flight: args.in_flight,
        drain: args.keep.drain,
        dead_letters: kept.dead_letters,
        checkpoint: kept.checkpoint,
    })?;
    let ran = pipeline::run(operands, RunOptions::new(&args.input, args.stats), &mut Output::text(), &mut firehose)?;
    Ok(ran.exit(false).max(firehose.exit()))
}

/// Never a shared /tmp: another user's files there would be sent, and ours read.
fn state_directory(stream: &str) -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // Of several, systemd's first is the service's own.
    let systemd = || Some(PathBuf::from(set("STATE_DIRECTORY")?.to_str()?.split(':').next()?));
    let home = || Some(set("HOME")?.join(".local/state"));
    let state = systemd().or_else(|| set("XDG_STATE_HOME")).or_else(home)?;
    Some(state.join("heka/firehose").join(stream))
}
