//! heka-cat: show, count, convert.

use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use heka::matcher::Matcher;
use heka::message::json::{read_json, write_json};
use heka::message::text::{Style, write_text};
use heka::pipeline::{
    self, Checkpoint, Exit, Failure, Flow, InputArgs, Output, RunOptions, Stage, Stats, StatsArgs, report_once,
};
use heka::sandbox::{Encoded, Encoder, Kind, LastingScriptArgs, Section, Terminated, prepare_process};
use heka::source::logstream::{Cut, Records, Splitter, Tail, Text};
use heka::stream::Frame;

const EXAMPLES: &str = "\
Examples:
  Read messages:
    heka-cat day.hpb
    heka-tail access.log | heka-cat --format json | jq .payload

  The last 10 of those that match, and whatever comes after them:
    heka-cat -f -n 10 --match \"Severity < 4\" day.hpb

  Through a Lua encoder:
    heka-cat --encoder schema_influx_line --config timestamp_precision=s stats.hpb

  Edit a stream with jq:
    heka-cat --format json day.hpb | jq -c '.hostname = \"web1\"' | heka-cat --from-json > edited.hpb";

/// Show, count or convert messages
#[derive(Parser)]
#[command(name = "heka-cat", version, after_help = EXAMPLES)]
struct Args {
    #[command(flatten)]
    input: InputArgs,

    /// What to write for each message
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,

    /// Write what a Lua encoder makes of each message: a file, or the name of one that ships
    #[arg(long, value_name = "SCRIPT", conflicts_with_all = ["format", "count"])]
    encoder: Option<PathBuf>,

    #[command(flatten)]
    script: LastingScriptArgs,

    /// The same as --format count
    #[arg(short, long, conflicts_with = "format")]
    count: bool,

    /// Only messages that this expression selects (see heka-match)
    #[arg(long = "match", value_name = "EXPRESSION")]
    matcher: Option<String>,

    /// Only the last N messages
    #[arg(short = 'n', long, value_name = "N")]
    last: Option<usize>,

    /// Begin at this byte of each FILE
    #[arg(long, value_name = "BYTES", default_value_t = 0, hide_default_value = true)]
    offset: u64,

    /// Go on at the end of the last FILE, also when it is renamed (heka-tail -f --splitter heka follows names)
    #[arg(short, long)]
    follow: bool,

    /// Read lines of JSON, as --format json writes them, and write messages
    #[arg(long, conflicts_with_all = ["format", "count", "matcher", "last", "offset", "follow"])]
    from_json: bool,

    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: When,

    /// Commit the cursors of what has been written to this file, for a source that resumes from it
    #[arg(long, value_name = "FILE", conflicts_with = "last")]
    checkpoint: Option<PathBuf>,

    #[command(flatten)]
    stats: StatsArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Heka's own text form, for people
    Text,
    /// One object a line, lossless; --from-json reads it back
    Json,
    /// The payloads, each ended by a newline
    Payload,
    /// How many messages there are
    Count,
    /// Framed messages, byte for byte
    Heka,
    #[value(skip)]
    Encoder,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

fn main() -> ExitCode {
    prepare_process();
    pipeline::main(run)
}

struct Cat {
    format: Format,
    encoder: Option<Encoder>,
    rejected: u64,
    style: Style,
    matcher: Option<Matcher>,
    /// The newest messages, when only the last ones are wanted; then what follows goes out at once.
    last: Option<(usize, VecDeque<Vec<u8>>)>,
    follow: bool,
    checkpoint: Option<pipeline::Committer>,
    selected: u64,
}

impl Cat {
    #[inline]
    fn write(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<(), Failure> {
        let buf = out.buf();
        match self.format {
            Format::Count => return Ok(()),
            Format::Encoder => {
                let Some(encoder) = &mut self.encoder else { return Ok(()) };
                match encoder.encode(frame.view()) {
                    Ok(Ok(Encoded::Bytes(bytes))) => buf.extend_from_slice(bytes),
                    Ok(Ok(Encoded::Nothing)) => {}
                    Ok(Err(reason)) => {
                        self.rejected += 1;
                        report_once("messages that the encoder rejected", || reason);
                    }
                    Err(Terminated(reason)) => return Err(Failure::failed(reason)),
                }
            }
            Format::Heka => buf.extend_from_slice(frame.raw()),
            Format::Text => write_text(&frame.view(), self.style, buf),
            Format::Json => write_json(frame, buf),
            Format::Payload => {
                let payload = frame.view().payload();
                buf.extend_from_slice(payload);
                if payload.last() != Some(&b'\n') {
                    buf.push(b'\n');
                }
            }
        }
        out.filled()
    }

    fn write_last(&mut self, out: &mut Output) -> Result<(), Failure> {
        let Some((_, frames)) = self.last.take() else { return Ok(()) };
        for raw in frames {
            if let Some(frame) = Frame::parse(&raw) {
                self.write(&frame, out)?;
            }
        }
        Ok(())
    }
}

impl Stage for Cat {
    #[inline]
    fn message(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<Flow, Failure> {
        let wanted = self.matcher.as_ref().is_none_or(|matcher| matcher.matches(&frame.view()));
        if wanted {
            self.selected += 1;
            match &mut self.last {
                None => self.write(frame, out)?,
                Some((limit, frames)) => {
                    if frames.len() == *limit {
                        frames.pop_front();
                    }
                    if *limit > 0 {
                        frames.push_back(frame.raw().to_vec());
                    }
                }
            }
        }
        if let Some(committer) = &mut self.checkpoint {
            committer.delivered(frame, out)?;
        }
        Ok(Flow::Continue)
    }

    fn idle(&mut self, out: &mut Output) -> Result<(), Failure> {
        // A pipe that pauses isn't at its end; a followed file is, until it grows.
        if self.follow {
            self.write_last(out)?;
        }
        match &mut self.checkpoint {
            Some(committer) => committer.commit(out),
            None => Ok(()),
        }
    }

    fn finish(&mut self, out: &mut Output) -> Result<(), Failure> {
        self.write_last(out)?;
        if self.format == Format::Count {
            out.buf().extend_from_slice(format!("{}\n", self.selected).as_bytes());
        }
        match &mut self.checkpoint {
            Some(committer) => committer.commit(out),
            None => Ok(()),
        }
    }

    fn stats(&self, stats: &mut Stats) {
        stats.set("messages_out", self.selected - self.rejected).set("messages_rejected", self.rejected);
    }
}

fn run(args: Args) -> Result<Exit, Failure> {
    if args.script.help(Kind::Encoder)? {
        return Ok(Exit::Success);
    }
    if args.from_json {
        return from_json(&args);
    }
    let format = match args.format {
        _ if args.encoder.is_some() => Format::Encoder,
        _ if args.count => Format::Count,
        format => format,
    };
    let encoder = match &args.encoder {
        Some(script) => {
            let settings = args.script.settings(script, &Section::default(), Kind::Encoder)?;
            Some(Encoder::new(&settings).map_err(Failure::usage)?)
        }
        None => None,
    };
    let mut out = if format == Format::Heka { Output::frames()? } else { Output::text() };
    let colour = match args.color {
        When::Auto => {
            std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        }
        When::Always => true,
        When::Never => false,
    };
    let matcher = args
        .matcher
        .as_deref()
        .map(|text| Matcher::parse_quoting(text).map_err(|error| Failure::usage(format!("--match {error}"))));
    let mut stage = Cat {
        format,
        encoder,
        rejected: 0,
        style: Style { colour },
        matcher: matcher.transpose()?,
        last: args.last.map(|last| (last, VecDeque::new())),
        follow: args.follow,
        checkpoint: args.checkpoint.as_deref().map(Checkpoint::open).transpose()?.map(pipeline::Committer::new),
        selected: 0,
    };
    let operands = pipeline::open_operands(&args.input.files, "messages")?;
    let mut options = RunOptions::new(&args.input, args.stats);
    (options.follow, options.offset) = (args.follow, args.offset);
    let ran = pipeline::run(operands, options, &mut out, &mut stage)?;
    Ok(ran.exit(stage.rejected > 0))
}

fn from_json(args: &Args) -> Result<Exit, Failure> {
    let mut out = Output::frames()?;
    let mut exit = Exit::Success;
    for operand in pipeline::open_operands(&args.input.files, "lines of JSON")? {
        let operand = match operand {
            Ok(operand) => operand,
            Err(message) => {
                pipeline::report(&message);
                exit = Exit::Failed;
                continue;
            }
        };
        // A line of JSON is longer than its message: base64 adds a third, `raw` says it once more.
        let splitter = Splitter::token(b"\n", 1, false).map_err(Failure::usage)?;
        let mut records = Records::new(splitter, args.input.max_message_size.saturating_mul(8), false)
            .with_text(Text { tidy: true, encoding: None });
        let mut line = 0u64;
        let mut tail = Tail::More;
        while tail == Tail::More {
            let mut reader = operand.reader(&mut out)?;
            let read = records.fill(&mut reader);
            if read.map_err(|error| Failure::failed(format!("{}: {error}", operand.name())))? == 0 {
                tail = Tail::End;
            }
            loop {
                let payload = match records.next(tail) {
                    Cut::Record { payload, .. } => payload,
                    Cut::Dropped { bytes, .. } => {
                        line += 1;
                        exit = exit.max(Exit::Negative);
                        report_once("lines that are no message", || {
                            format!("{}: line {line}: {bytes} bytes are over --max-message-size", operand.name())
                        });
                        continue;
                    }
                    Cut::Incomplete => break,
                };
                line += 1;
                if payload.trim_ascii().is_empty() {
                    continue;
                }
                if let Err(message) = read_json(payload, out.buf()) {
                    exit = exit.max(Exit::Negative);
                    report_once("lines that are no message", || format!("{}: line {line}: {message}", operand.name()));
                }
                out.filled()?;
            }
        }
    }
    out.flush()?;
    Ok(exit)
}
