//! heka-http: messages to any HTTP endpoint, in bodies that a Lua encoder makes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine as _;
use clap::Parser;
use heka::matcher::Matcher;
use heka::pipeline::{self, Exit, Failure, InputArgs, Output, RunOptions, StatsArgs, parse_seconds, parse_size};
use heka::sandbox::{Encoder, Kind, LastingScriptArgs, OutputSection, Section, prepare_process};
use heka::sink::args::{DeliveryArgs, TlsArgs};
use heka::sink::delivery::DeliveryOptions;
use heka::sink::http::{Condition, HttpSink, HttpSinkOptions, Target, TargetOptions};

const EXAMPLES: &str = "\
Examples:
  Lines of a log to Slack, those of 15 seconds in a message:
    heka-tail -f app.log | heka-sandbox --lua log_aggregator --ticker 15 |
        heka-http --encoder slack --url \"$HOOK\"

  Numbers to InfluxDB, a thousand in a request, nothing lost:
    heka-tail -f --checkpoint c --commit sink stats.json | heka-decode --lua json |
        heka-http --encoder schema_influx_line --batch 1000 --checkpoint c \\
        --url 'http://localhost:8086/write?db=stats'

  As a hekad.toml has it, the encoder included:
    heka-http --config-file hekad.toml:HttpOutput alerts.hpb

Replies 408, 425, 429 and 5xx, and servers that can't be reached, are tried again, later and
later, or when Retry-After says, if that is later. 400, 409, 413 and 422 are about one message:
--backup keeps it, once the server has taken another one. Everything else, and redirects, end the
run; what was not delivered stays at its source. To an address that ends in /_bulk (Elasticsearch,
OpenSearch), each item of the reply is judged by itself. The environment's HTTP_PROXY, HTTPS_PROXY
and NO_PROXY are obeyed.

Exit status: 0 all delivered, 1 some messages were not, 2 wrong usage, 3 the server will not take
anything, the encoder was terminated, or another failure.";

/// Send messages to an HTTP endpoint, encoded by a Lua script
#[derive(Parser)]
#[command(name = "heka-http", version, after_help = EXAMPLES)]
struct Args {
    #[command(flatten)]
    input: InputArgs,

    /// Where to [default: the environment variable HEKA_HTTP_URL, which other users don't see]
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// File with the address, where it is a secret
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    url_file: Option<PathBuf>,

    /// The encoder: a file, or the name of one that ships [default: payload]
    #[arg(long, value_name = "SCRIPT")]
    encoder: Option<PathBuf>,

    /// Read an HttpOutput section of a hekad.toml: address, encoder, matcher, headers
    #[arg(long, value_name = "FILE[:SECTION]")]
    config_file: Option<String>,

    /// Send only messages that this expression selects (see heka-match)
    #[arg(long = "match", value_name = "EXPRESSION")]
    matcher: Option<String>,

    #[command(flatten)]
    script: LastingScriptArgs,

    /// The request's method
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,

    /// A header of the request; may be repeated
    #[arg(long, value_name = "NAME: VALUE", value_parser = parse_header)]
    header: Vec<(String, String)>,

    /// File with headers that are secrets, a line each
    #[arg(long, value_name = "FILE")]
    header_file: Option<PathBuf>,

    /// The user for basic authentication
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// File with the password; without it the environment variable HEKA_HTTP_PASSWORD
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,

    /// Statuses that mean success, and ranges of them
    #[arg(long, value_name = "LIST", default_value = "200-299", value_parser = parse_statuses)]
    success: Statuses,

    /// What a successful reply has to say: a text that is in it, or /POINTER=VALUE of its JSON (RFC 6901), such as
    /// /errors=false
    #[arg(long, value_name = "CONDITION", value_parser = Condition::parse)]
    success_if: Option<Condition>,

    /// Messages in a request: their bodies one after the other
    #[arg(long, value_name = "N", default_value_t = 1)]
    batch: usize,

    /// Send a batch that is not full after that time
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = parse_seconds)]
    batch_age: Duration,

    /// Requests at a time; messages of one stream keep their order
    #[arg(long, value_name = "N", default_value_t = 1)]
    in_flight: usize,

    /// Stop reading while so many bytes of messages are under way
    #[arg(long, value_name = "BYTES", default_value = "12M", value_parser = parse_size)]
    max_in_flight_bytes: usize,

    #[command(flatten)]
    delivery: DeliveryArgs,

    /// Compress bodies
    #[arg(long)]
    gzip: bool,

    /// Time-out of a request [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    timeout: Option<Duration>,

    #[command(flatten)]
    tls: TlsArgs,

    #[command(flatten)]
    stats: StatsArgs,
}

#[derive(Clone, Debug)]
struct Statuses(Vec<u16>);

fn main() -> ExitCode {
    prepare_process();
    pipeline::main(run)
}

fn run(args: Args) -> Result<Exit, Failure> {
    if args.script.help(Kind::Encoder)? {
        return Ok(Exit::Success);
    }
    let section = match &args.config_file {
        Some(file) => OutputSection::load(file)?,
        None => OutputSection::default(),
    };
    let url = match (&args.url, &args.url_file) {
        (Some(url), _) => url.clone(),
        (None, Some(file)) => pipeline::read_text(file)?.trim().to_string(),
        (None, None) => section
            .address
            .clone()
            .or_else(|| std::env::var("HEKA_HTTP_URL").ok())
            .ok_or_else(|| Failure::usage("where to? Name it: --url URL, --url-file FILE, or set HEKA_HTTP_URL"))?,
    };
    let mut headers = section.headers.clone();
    headers.extend(args.header.iter().cloned());
    if let Some(file) = &args.header_file {
        for line in pipeline::read_text(file)?.lines().filter(|line| !line.trim().is_empty()) {
            // The line itself may be a secret.
            let header = parse_header(line).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
            headers.push(header);
        }
    }
    if let Some(user) = args.user.as_ref().or(section.username.as_ref()) {
        let password = match &section.password {
            Some(password) if args.user.is_none() => password.clone(),
            _ => pipeline::read_secret(args.password_file.as_deref(), "HEKA_HTTP_PASSWORD", "--password-file")?,
        };
        let both = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        headers.push(("Authorization".into(), format!("Basic {both}")));
    }
    let expression = args.matcher.as_deref().or(section.message_matcher.as_deref());
    let matcher = expression.map(|text| Matcher::parse_quoting(text).map_err(Failure::usage)).transpose()?;

    let encoder_section = section.encoder.clone().unwrap_or_default();
    let named = args.encoder.clone().or(encoder_section.filename.clone()).unwrap_or_else(|| PathBuf::from("payload"));
    let encoder = encoder(&args.script, &named, &encoder_section)?;
    let operands = pipeline::open_operands(&args.input.files, "messages")?;
    let kept = args.delivery.open("http", &operands)?;
    let target = Target::new(TargetOptions {
        url,
        method: args.method.or(section.method).unwrap_or_else(|| "POST".into()),
        headers,
        gzip: args.gzip,
        success: args.success.0,
        success_if: args.success_if,
        timeout: args.timeout.or(section.timeout).unwrap_or(Duration::from_secs(60)),
        tls: args.tls.options(),
    });
    let mut sink = HttpSink::new(
        target.map_err(Failure::usage)?,
        encoder,
        HttpSinkOptions {
            matcher,
            batch: args.batch,
            batch_age: args.batch_age,
            delivery: DeliveryOptions {
                name: "http",
                in_flight: args.in_flight,
                max_in_flight_bytes: args.max_in_flight_bytes,
                limits: args.delivery.limits(),
                drain: args.delivery.drain,
                ack: false,
                ack_interval: Duration::ZERO,
                ack_timeout: Duration::ZERO,
                rotate_after: 0,
                verbose: false,
                spool: None,
                spool_max: 0,
                dead_letters: kept.dead_letters,
                checkpoint: kept.checkpoint,
            },
        },
    )?;
    let ran = pipeline::run(operands, RunOptions::new(&args.input, args.stats), &mut Output::text(), &mut sink)?;
    Ok(ran.exit(false).max(sink.exit()))
}

fn encoder(script: &LastingScriptArgs, name: &Path, section: &Section) -> Result<Encoder, Failure> {
    Encoder::new(&script.settings(name, section, Kind::Encoder)?).map_err(Failure::usage)
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("expected NAME: VALUE")?;
    Ok((name.trim().to_string(), value.trim().to_string()))
}

fn parse_statuses(text: &str) -> Result<Statuses, String> {
    let mut statuses = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u16>().ok().filter(|number| (100..600).contains(number));
        let (Some(first), Some(last)) = (number(first), number(last)) else {
            return Err("expected statuses such as 200,204 or 200-299".into());
        };
        statuses.extend(first..=last);
    }
    Ok(Statuses(statuses))
}
