//! heka-hec: messages to Splunk's HTTP Event Collector.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use heka::message::Interpolation;
use heka::pipeline::{
    self, Checkpoint, Exit, Failure, InputArgs, Output, RunOptions, StatsArgs, parse_seconds, parse_size,
};
use heka::sink::hec::{
    Client, ClientOptions, Endpoint, EventForm, EventOptions, IndexedFields, Sender, SenderOptions, await_health,
};

const EXAMPLES: &str = "\
Examples:
  Ship a log; the token stands in a file that only you can read:
    heka-tail access.log | heka-decode --lua nginx_access | heka-hec --url https://splunk:8088 --token-file token

  Lose nothing, whatever is killed: the source resumes at what the indexers have acknowledged
    heka-tail -f --checkpoint c --commit sink access.log | heka-hec --ack --checkpoint c --url … --token-file token

  Try it without Splunk:
    heka-listen --hec 127.0.0.1:8088 --token-file token | heka-cat

  An index for each application, and two fields that tstats finds:
    heka-hec --index '%{Fields[app]}' --fields status,request_time --url … --token-file token decoded.hpb

Events: `time` is the Timestamp, `host` the Hostname, `source` the Logger, `sourcetype` the Type, unless options say
otherwise; in their templates %{Fields[name]} and %{Hostname} stand for a message's values. The event is the Payload, or
an object of the fields when there is none, or what --event says.

Exit status: 0 all delivered (with --ack: acknowledged), 1 some events were not, 2 wrong usage, 3 the server will not
take anything, or another failure.";

/// Send messages to Splunk's HTTP Event Collector
#[derive(Parser)]
#[command(name = "heka-hec", version, after_help = EXAMPLES)]
struct Args {
    #[command(flatten)]
    input: InputArgs,

    /// The server, such as https://splunk.example.com:8088
    #[arg(long, value_name = "URL")]
    url: String,

    /// File with the token; without it the environment variable HEKA_HEC_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Send JSON events, or the payloads as lines of text
    #[arg(long, value_name = "KIND", default_value = "event")]
    endpoint: Kind,

    /// What an event is
    #[arg(long, value_name = "FORM", default_value = "payload")]
    event: Form,

    /// Fields that Splunk is to index, with commas between them, or * for all
    #[arg(long, value_name = "NAMES", default_value = "", hide_default_value = true)]
    fields: String,

    /// Splunk index for the events, such as web or %{Fields[app]} [default: the token's]
    #[arg(long, value_name = "TEMPLATE", value_parser = Interpolation::parse)]
    index: Option<Interpolation>,

    /// host of the events [default: the Hostname]
    #[arg(long, value_name = "TEMPLATE", value_parser = Interpolation::parse)]
    host: Option<Interpolation>,

    /// source of the events [default: the Logger]
    #[arg(long, value_name = "TEMPLATE", value_parser = Interpolation::parse)]
    source: Option<Interpolation>,

    /// sourcetype of the events [default: the Type]
    #[arg(long, value_name = "TEMPLATE", value_parser = Interpolation::parse)]
    sourcetype: Option<Interpolation>,

    /// Read nothing before the server says that it is healthy
    #[arg(long)]
    health_check: bool,

    /// Wait for indexer acknowledgement; what is not acknowledged is sent again
    #[arg(long)]
    ack: bool,

    /// Longest time between two questions for acks
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    ack_interval: Duration,

    /// Send a batch again that is not acknowledged in that time
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = parse_seconds)]
    ack_timeout: Duration,

    /// Events in a request
    #[arg(long, value_name = "N", default_value_t = 1000)]
    max_batch_events: usize,

    /// Bytes in a request, before compression
    #[arg(long, value_name = "BYTES", default_value = "1000000", value_parser = parse_size)]
    max_batch_bytes: usize,

    /// Send a batch that is not full after that time
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = parse_seconds)]
    batch_age: Duration,

    /// Requests at a time
    #[arg(long, value_name = "N", default_value_t = 4)]
    in_flight: usize,

    /// Stop reading while so many bytes of messages are sent or wait for their ack
    #[arg(long, value_name = "BYTES", default_value = "12M", value_parser = parse_size)]
    max_in_flight_bytes: usize,

    /// Attempts for a batch; 0 is for ever [default: for ever if the source can read again, else 5]
    #[arg(long, value_name = "N")]
    max_attempts: Option<u32>,

    /// Append messages that are given up to this file, as a stream that heka-hec can send later
    #[arg(long, value_name = "FILE")]
    backup: Option<PathBuf>,

    /// Commit the cursors of what is delivered to this file, for a source that resumes from it
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,

    /// Compress requests
    #[arg(long)]
    gzip: bool,

    /// Time-out of a request; the server may need long to take a batch
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_seconds)]
    timeout: Duration,

    /// PEM file of the authorities that may have signed the server's certificate
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Don't verify the server's certificate
    #[arg(long)]
    insecure: bool,

    #[command(flatten)]
    stats: StatsArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Event,
    Raw,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// The payload, or an object of the fields when it is empty
    Payload,
    /// An object of the fields
    Fields,
    /// An object of headers and fields
    Message,
}

fn main() -> ExitCode {
    pipeline::main(run)
}

fn run(args: Args) -> Result<Exit, Failure> {
    let token = pipeline::read_secret(args.token_file.as_deref(), "HEKA_HEC_TOKEN", "--token-file")?;
    let endpoint = if args.endpoint == Kind::Raw { Endpoint::Raw } else { Endpoint::Event };
    let client = Client::new(ClientOptions {
        url: args.url,
        token,
        endpoint,
        gzip: args.gzip,
        timeout: args.timeout,
        insecure: args.insecure,
        ca: args.ca,
    })
    .map_err(Failure::usage)?;
    if endpoint == Endpoint::Raw && !args.fields.is_empty() {
        return Err(Failure::usage("--fields: --endpoint raw has none"));
    }
    if args.health_check {
        await_health(&client)?;
    }
    let operands = pipeline::open_operands(&args.input.files, "messages")?;
    let mut sender = Sender::new(
        client,
        SenderOptions {
            event: EventOptions {
                endpoint,
                form: match args.event {
                    Form::Payload => EventForm::Payload,
                    Form::Fields => EventForm::Fields,
                    Form::Message => EventForm::Message,
                },
                fields: IndexedFields::parse(&args.fields),
                host: args.host,
                source: args.source,
                sourcetype: args.sourcetype,
                index: args.index,
            },
            max_batch_events: args.max_batch_events,
            max_batch_bytes: args.max_batch_bytes,
            batch_age: args.batch_age,
            in_flight: args.in_flight,
            max_in_flight_bytes: args.max_in_flight_bytes,
            max_attempts: args.max_attempts,
            ack: args.ack,
            ack_interval: args.ack_interval,
            ack_timeout: args.ack_timeout,
            backup: args.backup,
            checkpoint: args.checkpoint.as_deref().map(Checkpoint::load).transpose()?,
        },
    )?;
    let ran = pipeline::run(operands, RunOptions::new(&args.input, args.stats), &mut Output::text(), &mut sender)?;
    Ok(ran.exit().max(sender.exit()))
}
