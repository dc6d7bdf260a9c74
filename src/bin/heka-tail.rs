//! heka-tail: files become messages.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use heka::pipeline::{self, Checkpoint, Exit, Failure, Output, StatsArgs, parse_size};
use heka::source::{Commit, Cutting, FollowOptions, Follower, Splitter, Template, unescape};
use heka::stream::DEFAULT_READ_MESSAGE;

const EXAMPLES: &str = "\
Examples:
  Read a log (compressed ones too) from its beginning:
    heka-tail access.log access.log.1.gz | heka-cat

  Follow it, through rotation, and go on after a restart where the last run stopped:
    heka-tail -f --checkpoint access.ckpt access.log | heka-decode --lua nginx_access.lua | heka-cat

  Resume at what the sink has delivered, so that a crash anywhere loses nothing:
    heka-tail -f --checkpoint c --commit sink access.log | heka-hec --checkpoint c --ack …

  Records that begin with a line of their own:
    heka-tail --splitter regex --delimiter '\\n(# User@Host:)' --delimiter-at start slow.log | heka-cat";

/// Read files, or follow them, and make a Heka message of each record
#[derive(Parser)]
#[command(name = "heka-tail", version, after_help = EXAMPLES)]
struct Args {
    /// Files or quoted patterns; `-` is standard input, which is also read when none is given
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Go on at the end of the files, by name: through rename, truncation and absence
    #[arg(short, long)]
    follow: bool,

    /// Where to begin a file that has no checkpoint
    #[arg(long, value_name = "WHERE", default_value = "start")]
    from: From,

    /// Resume from this file and keep it up to date; with `--commit sink` give each sink's file
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,

    /// Who writes the checkpoint: this program, for what it has handed on, or the sink, for what it has delivered
    #[arg(long, value_name = "WHO", default_value = "source", requires = "checkpoint")]
    commit: Who,

    /// How a file is cut into records
    #[arg(long, value_name = "KIND", default_value = "token")]
    splitter: Kind,

    /// What ends a record: a text (\n \r \t \0 \xHH are understood), or a regex with `--splitter regex`
    #[arg(long, value_name = "TEXT", default_value = "\\n", allow_hyphen_values = true)]
    delimiter: String,

    /// Join so many delimited parts into one record
    #[arg(long, value_name = "N", default_value_t = 1)]
    delimiter_count: usize,

    /// Where the text of a regex's group stays: at the end of a record or at the start of the next
    #[arg(long, value_name = "WHERE", default_value = "end")]
    delimiter_at: Side,

    /// Leave the delimiter in the payload, as Heka does
    #[arg(long)]
    keep_delimiter: bool,

    /// Drop, and report, records that are longer (K, M and G are powers of 1024)
    #[arg(long, value_name = "BYTES", default_value = "63K", value_parser = parse_size)]
    max_record: usize,

    /// Cut records that are too long instead of dropping them
    #[arg(long)]
    keep_truncated: bool,

    /// Header Logger [default: the file's name]
    #[arg(long, value_name = "NAME")]
    logger: Option<String>,

    /// Header Type
    #[arg(long = "type", value_name = "TYPE", default_value = "logfile")]
    message_type: String,

    /// Header Hostname [default: this machine's]
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,

    /// Header Severity, 0 to 7 [default: none, which counts as 7]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..=7))]
    severity: Option<i32>,

    /// Header EnvVersion
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    env_version: String,

    #[command(flatten)]
    stats: StatsArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum From {
    Start,
    End,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Who {
    Source,
    Sink,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// At a text, a line end by default
    Token,
    /// At what matches a regex
    Regex,
    /// Each read is a record
    Null,
    /// Framed Heka messages, passed on as they are
    Heka,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Side {
    Start,
    End,
}

fn main() -> ExitCode {
    pipeline::main(run)
}

fn run(args: Args) -> Result<Exit, Failure> {
    let mut out = Output::frames()?;
    let files = match args.files.is_empty() {
        true => vec![PathBuf::from("-")],
        false => args.files.clone(),
    };
    // Only to refuse a terminal: nobody types log lines.
    if files.iter().any(|file| file.as_os_str() == "-") {
        pipeline::open_operands(&[], "log lines")?;
    }
    let options = FollowOptions {
        cutting: cutting(&args)?,
        follow: args.follow,
        from_end: args.from == From::End,
        template: template(&args),
        commit: commit(&args)?,
    };
    let mut follower = Follower::new(&files, options);
    let result = follower.run(&mut out);
    if args.stats.stats {
        follower.stats(&out).print();
    }
    result?;
    Ok(if follower.failed() { Exit::Failed } else { Exit::Success })
}

fn cutting(args: &Args) -> Result<Cutting, Failure> {
    let usage = |message| Failure::usage(format!("--delimiter: {message}"));
    let splitter = match args.splitter {
        Kind::Token => {
            let delimiter = unescape(&args.delimiter).map_err(usage)?;
            Splitter::token(&delimiter, args.delimiter_count, args.keep_delimiter).map_err(usage)?
        }
        Kind::Regex => Splitter::regex(&args.delimiter, args.delimiter_at == Side::Start).map_err(usage)?,
        Kind::Null => Splitter::Null,
        Kind::Heka => return Ok(Cutting::Frames { max_message: DEFAULT_READ_MESSAGE }),
    };
    Ok(Cutting::Records { splitter, max: args.max_record.max(1), keep_truncated: args.keep_truncated })
}

fn template(args: &Args) -> Template {
    let hostname = args.hostname.clone().map(String::into_bytes);
    Template {
        message_type: args.message_type.clone().into_bytes(),
        logger: args.logger.clone().unwrap_or_default().into_bytes(),
        severity: args.severity,
        env_version: args.env_version.clone().into_bytes(),
        hostname: hostname.unwrap_or_else(pipeline::hostname),
    }
}

fn commit(args: &Args) -> Result<Commit, Failure> {
    let checkpoints = args.checkpoint.iter().map(|path| Checkpoint::load(path)).collect::<Result<Vec<_>, _>>()?;
    match (args.commit, checkpoints.len()) {
        (_, 0) => Ok(Commit::None),
        (Who::Sink, _) => Ok(Commit::Sinks(checkpoints)),
        (Who::Source, 1) => Ok(checkpoints.into_iter().next().map_or(Commit::None, Commit::Source)),
        (Who::Source, _) => {
            Err(Failure::usage("several --checkpoint files need --commit sink: each sink writes its own"))
        }
    }
}
