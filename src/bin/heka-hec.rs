//! heka-hec: messages to Splunk's HTTP Event Collector.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use heka::message::Interpolation;
use heka::pipeline::{self, Exit, Failure, InputArgs, Output, RunOptions, StatsArgs, parse_seconds, parse_size};
use heka::sandbox::{Encoder, Kind, LastingScriptArgs, Section, prepare_process};
use heka::sink::args::{DeliveryArgs, TlsArgs};
use heka::sink::delivery::DeliveryOptions;
use heka::sink::hec::{
    Client, ClientOptions, Endpoint, EventForm, EventOptions, IndexedFields, Sender, SenderOptions, await_health,
};

const EXAMPLES: &str = "\
Examples:
  Ship a log; the token stands in a file that only you can read:
    heka-tail access.log | heka-decode --lua nginx_access |
        heka-hec --url https://splunk:8088 --token-file token

  Lose nothing, whatever is killed: the source resumes at what the indexers have acknowledged
    heka-tail -f --checkpoint c --commit sink access.log |
        heka-hec --ack --checkpoint c --url https://splunk:8088 --token-file token

  Try it without Splunk:
    heka-listen --hec 127.0.0.1:8088 --token-file token | heka-cat

  An index for each application, and two fields that tstats finds:
    heka-hec --index '%{Fields[app]}' --fields status,request_time \\
        --url https://splunk:8088 --token-file token decoded.hpb

  What comes by the network can't be read again: it lies on disk until Splunk has it
    heka-listen --tcp 514 | heka-hec --spool /var/spool/heka-hec --ack \\
        --url https://s1:8088 --url https://s2:8088 --token-file token

Events: `time` is the Timestamp, `host` the Hostname, `source` the Logger, `sourcetype` the Type,
unless options say otherwise; in their templates %{Fields[name]} and %{Hostname} stand for a
message's values. The event is the Payload, or an object of the fields when there is none, or what
--event says.

Replies are judged by HEC's code, else by their status: what names an event takes that event out
(--backup keeps it, once the server has taken another one), 413 halves the batch, 408, 425, 429
and 5xx are tried again; everything else, such as a wrong token, a redirect or a page of a proxy,
leaves that server to the others, and ends the run when there is none. What was not delivered
stays at its source or in the spool. The environment's HTTP_PROXY, HTTPS_PROXY and NO_PROXY are
obeyed.

Exit status: 0 all delivered (with --ack: acknowledged), 1 some events were not, 2 wrong usage, 3
the server will not take anything, or another failure.";

/// Send messages to Splunk's HTTP Event Collector
#[derive(Parser)]
#[command(name = "heka-hec", version, after_help = EXAMPLES)]
struct Args {
    #[command(flatten)]
    input: InputArgs,

    /// The server, such as https://splunk.example.com:8088; given several times, the threads share the servers, and turn to
    /// another one when theirs fails
    #[arg(long, value_name = "URL", required = true)]
    url: Vec<String>,

    /// File with the token; without it the environment variable HEKA_HEC_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Send JSON events, or the payloads as lines of text
    #[arg(long, value_name = "KIND", default_value = "event")]
    endpoint: EndpointArg,

    /// What an event is: payload (an object of the fields when it is empty), fields (an object of them), message (an object
    /// of headers and fields), or lua=SCRIPT: what an encoder makes, JSON or text
    #[arg(long, value_name = "FORM", default_value = "payload", value_parser = parse_form)]
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
    #[arg(long, value_name = "N", default_value_t = 5000)]
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

    #[command(flatten)]
    delivery: DeliveryArgs,

    /// Requests that a thread makes through one channel and its connections, before it takes new ones, to the next server if
    /// there are several; 0 is any number
    #[arg(long, value_name = "N", default_value_t = 0)]
    rotate_after: u64,

    /// Keep batches in this directory until they are delivered: for inputs that can't be read again, and servers that are
    /// down for hours. What is there is sent first; at the end of the input, what no server takes within --drain seconds is
    /// left to the next run
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,

    /// Stop reading while the spool has so many bytes
    #[arg(long, value_name = "BYTES", default_value = "1G", value_parser = parse_size)]
    spool_max: usize,

    /// Compress requests
    #[arg(long)]
    gzip: bool,

    /// Time-out of a request; the server may need long to take a batch
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_seconds)]
    timeout: Duration,

    #[command(flatten)]
    tls: TlsArgs,

    /// What tells this run from others in what it says: heka-hec[LABEL]: …
    #[arg(long, value_name = "LABEL")]
    label: Option<String>,

    /// Report each request
    #[arg(short, long)]
    verbose: bool,

    // For --event lua=SCRIPT.
    #[command(flatten)]
    script: LastingScriptArgs,

    #[command(flatten)]
    stats: StatsArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EndpointArg {
    Event,
    Raw,
}

#[derive(Clone)]
enum Form {
    Plain(EventForm),
    Script(PathBuf),
}

fn parse_form(text: &str) -> Result<Form, String> {
    Ok(match text.split_once('=') {
        None if text == "payload" => Form::Plain(EventForm::Payload),
        None if text == "fields" => Form::Plain(EventForm::Fields),
        None if text == "message" => Form::Plain(EventForm::Message),
        Some(("lua", script)) if !script.is_empty() => Form::Script(script.into()),
        _ => return Err("expected payload, fields, message or lua=SCRIPT".into()),
    })
}

fn main() -> ExitCode {
    prepare_process();
    pipeline::main(run)
}

fn run(args: Args) -> Result<Exit, Failure> {
    if args.script.help(Kind::Encoder)? {
        return Ok(Exit::Success);
    }
    let token = pipeline::read_secret(args.token_file.as_deref(), "HEKA_HEC_TOKEN", "--token-file")?;
    let endpoint = if args.endpoint == EndpointArg::Raw { Endpoint::Raw } else { Endpoint::Event };
    if let Some(label) = &args.label {
        pipeline::set_label(label);
    }
    let client = |url: &String| {
        let options = ClientOptions {
            url: url.clone(),
            token: token.clone(),
            endpoint,
            gzip: args.gzip,
            timeout: args.timeout,
            tls: args.tls.options(),
        };
        Client::new(options).map_err(Failure::usage)
    };
    let clients: Vec<Client> = args.url.iter().map(client).collect::<Result<_, _>>()?;
    if endpoint == Endpoint::Raw && !args.fields.is_empty() {
        return Err(Failure::usage("--fields: --endpoint raw has none"));
    }
    if args.ack {
        pipeline::return_large_buffers();
    }
    if args.health_check {
        await_health(&clients)?;
    }
    let operands = pipeline::open_operands(&args.input.files, "messages")?;
    let kept = args.delivery.open("hec", &operands)?;
    let (form, encoder) = match &args.event {
        Form::Plain(form) => (*form, None),
        Form::Script(script) => {
            let settings = args.script.settings(script, &Section::default(), Kind::Encoder)?;
            (EventForm::Made, Some(Encoder::new(&settings).map_err(Failure::usage)?))
        }
    };
    let mut sender = Sender::new(
        clients,
        encoder,
        SenderOptions {
            event: EventOptions {
                endpoint,
                form,
                fields: IndexedFields::parse(&args.fields),
                host: args.host,
                source: args.source,
                sourcetype: args.sourcetype,
                index: args.index,
            },
            max_batch_events: args.max_batch_events,
            max_batch_bytes: args.max_batch_bytes,
            batch_age: args.batch_age,
            delivery: DeliveryOptions {
                name: "hec",
                in_flight: args.in_flight,
                max_in_flight_bytes: args.max_in_flight_bytes,
                limits: args.delivery.limits(),
                drain: args.delivery.drain,
                ack: args.ack,
                ack_interval: args.ack_interval,
                ack_timeout: args.ack_timeout,
                rotate_after: args.rotate_after,
                verbose: args.verbose,
                spool: args.spool,
                spool_max: args.spool_max as u64,
                dead_letters: kept.dead_letters,
                checkpoint: kept.checkpoint,
            },
        },
    )?;
    let ran = pipeline::run(operands, RunOptions::new(&args.input, args.stats), &mut Output::text(), &mut sender)?;
    Ok(ran.exit(false).max(sender.exit()))
}
