//! heka-tail: files become messages.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use encoding_rs::Encoding;
use heka::pipeline::{self, Checkpoint, Exit, Failure, Operand, Output, StatsArgs, parse_duration, parse_size};
use heka::source::logstream::{
    Commit, Cutting, FollowOptions, Follower, Input, Lines, LogstreamSection, Origin, RESCAN, Selection,
    SelectionOptions, Selector, Shape, Splitter, SplitterKind, SplitterSection, Text, Tree, is_stdin, load_translation,
    unescape,
};
use heka::source::{Signed, Template};
use heka::stream::{DEFAULT_READ_MESSAGE, Keys, begins_record};

const EXAMPLES: &str = "\
Examples:
  Read a log (compressed ones too) from its beginning:
    heka-tail access.log access.log.1.gz | heka-cat

  Follow it, through rotation, and go on after a restart where the last run stopped:
    heka-tail -f --checkpoint access.ckpt access.log | heka-decode --lua nginx_access | heka-cat

  Resume at what the sink has delivered, so that a crash anywhere loses nothing:
    heka-tail -f --checkpoint c --commit sink access.log |
        heka-hec --checkpoint c --ack --url https://splunk:8088 --token-file token

  Stack traces: a record begins where a log line's time does:
    heka-tail -f --splitter regex --delimiter '\\n(\\d{4}-\\d\\d-\\d\\d)' --delimiter-at start java.log |
        heka-cat

  All of a rotated log, oldest first; first see what would be read:
    heka-tail --logstream /var/log --match 'app\\.log\\.?(?P<Seq>\\d+)?(\\.gz)?' --priority ^Seq --list
    heka-tail --logstream /var/log --match 'app\\.log\\.?(?P<Seq>\\d+)?(\\.gz)?' --priority ^Seq |
        heka-cat

  A stream for each host's log, named web-HOST:
    heka-tail -f --logstream /var/log --match '(?P<Host>[^/]+)/access\\.log' \\
        --differentiator web-,Host | heka-cat

  The LogstreamerInput sections of Heka's configuration, going on where hekad stopped:
    heka-tail -f --config hekad.toml --heka-journal /var/cache/hekad/logstreamer --checkpoint c |
        heka-cat";

/// Read files, or follow them, and make a Heka message of each record
#[derive(Parser)]
#[command(name = "heka-tail", version, after_help = EXAMPLES)]
struct Args {
    /// Files or quoted patterns; `-` is standard input, which is also read when nothing else is named
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Read the log streams below this directory: the files that `--match` selects
    #[arg(long, value_name = "DIR", requires = "file_match", help_heading = "Log streams")]
    logstream: Option<PathBuf>,

    /// A regex for the whole path below the directory; `(?P<Name>…)` names parts of it
    #[arg(
        long = "match",
        id = "file_match",
        value_name = "REGEX",
        requires = "logstream",
        help_heading = "Log streams"
    )]
    file_match: Option<String>,

    /// What orders the files of a stream: names of groups, the most important first; `^Name` is descending
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "logstream", help_heading = "Log streams")]
    priority: Vec<String>,

    /// What names a stream, and so its Logger: names of groups and other text, joined
    #[arg(long, value_name = "PART", value_delimiter = ',', requires = "logstream", help_heading = "Log streams")]
    differentiator: Vec<String>,

    /// TOML file of numbers for the values of groups: `[NAME] value = 1`; `missing` where a group matched nothing
    #[arg(long, value_name = "FILE", requires = "logstream", help_heading = "Log streams")]
    translate: Option<PathBuf>,

    /// Leave out files that were last changed longer ago, such as 720h [default: none; 720h with --config]
    #[arg(long, value_name = "AGE", value_parser = parse_duration, help_heading = "Log streams")]
    oldest: Option<Duration>,

    /// Look for new files at least so often; a changed directory is noticed at once [default: 5s]
    #[arg(long, value_name = "INTERVAL", value_parser = parse_duration, help_heading = "Log streams")]
    rescan: Option<Duration>,

    /// Read the LogstreamerInput sections of a hekad.toml, or the one named (its decoder is not run)
    #[arg(long, value_name = "FILE[:SECTION]", help_heading = "Log streams")]
    config: Vec<String>,

    /// Where Heka kept its journals (or one of them): streams without a checkpoint go on there
    #[arg(long, value_name = "PATH", help_heading = "Log streams")]
    heka_journal: Option<PathBuf>,

    /// Show the streams, their files in reading order, and where reading would resume; read nothing
    #[arg(long, help_heading = "Log streams")]
    list: bool,

    /// Go on at the end of the files, by name: through rename, truncation and absence
    #[arg(short, long)]
    follow: bool,

    /// Where to begin a file, or a log stream, that has no checkpoint [default: start]
    #[arg(long, value_name = "WHERE")]
    from: Option<From>,

    /// After a rotation, go on to the new file when the old one has been quiet for so long
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    rotate_wait: Duration,

    /// Resume from this file and keep it up to date; with `--commit sink` give each sink's file
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,

    /// Who writes the checkpoint: this program, for what it has handed on, or the sink, for what it has delivered
    #[arg(long, value_name = "WHO", default_value = "source", requires = "checkpoint")]
    commit: Who,

    /// Without -f, a last line that has no end yet: it waits for the next run, or comes as it is [default: wait with
    /// --checkpoint, else emit; with --config as deliver_incomplete_final says; what is compressed or was
    /// rotated can't grow any more, and comes]
    #[arg(long, value_name = "WHAT")]
    final_line: Option<FinalLine>,

    /// How a file is cut into records [default: token]
    #[arg(long, value_name = "KIND")]
    splitter: Option<Kind>,

    /// What ends a record: a text (\n \r \t \0 \xHH are understood), or a regex with `--splitter regex` or `group`
    #[arg(long, value_name = "TEXT", default_value = "\\n", allow_hyphen_values = true)]
    delimiter: String,

    /// Join so many delimited parts into one record
    #[arg(long, value_name = "N", default_value_t = 1)]
    delimiter_count: usize,

    /// Where the text of a regex's group stays: at the end of a record or at the start of the next
    #[arg(long, value_name = "WHERE", default_value = "end")]
    delimiter_at: Side,

    /// With `--splitter group`: a regex for the lines that belong to the line before them; with `pattern-group`: for those
    /// that belong together
    #[arg(
        long,
        value_name = "REGEX",
        allow_hyphen_values = true,
        required_if_eq_any([("splitter", "group"), ("splitter", "pattern-group")])
    )]
    grouping: Option<String>,

    /// With `--splitter group` or `pattern-group`: most lines of a record
    #[arg(long, value_name = "N", default_value_t = 99)]
    max_lines: usize,

    /// With `--splitter heka`: TOML file of signers' keys, [NAME_VERSION] with hmac_key: what is signed otherwise is dropped
    #[arg(long, value_name = "FILE")]
    signers: Option<PathBuf>,

    /// Drop messages that this signer has not signed
    #[arg(long, value_name = "NAME", requires = "signers")]
    require_signer: Option<String>,

    /// A record that waits for the next one's beginning (regex, group) goes out after so long
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    flush_timeout: Duration,

    /// Leave the delimiter in the payload, as Heka does, and bytes as they are: else a \r before \n is part of it, and a byte
    /// order mark and NULs at the beginning of a file are left out
    #[arg(long)]
    keep_delimiter: bool,

    /// What files are written in that don't say it: utf-16le, windows-1252 … Payloads are UTF-8 [default: as it is; UTF-16 is
    /// known by its byte order mark]
    #[arg(long, value_name = "NAME")]
    encoding: Option<String>,

    /// Drop, and report, records that are longer (K, M and G are powers of 1024)
    #[arg(long, value_name = "BYTES", default_value = "63K", value_parser = parse_size)]
    max_record: usize,

    /// Cut records that are too long instead of dropping them
    #[arg(long)]
    keep_truncated: bool,

    /// Header Logger [default: the file's name, or the stream's]
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
enum FinalLine {
    Wait,
    Emit,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// At a text, a line end by default
    Token,
    /// At what matches a regex
    Regex,
    /// Lines, each with those after it that match --grouping
    Group,
    /// Consecutive lines that match --grouping, together; others alone (Heka's PatternGroupingSplitter)
    PatternGroup,
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
    let inputs = inputs(&args)?;
    let options = FollowOptions { follow: args.follow, commit: commit(&args)?, journal: args.heka_journal.clone() };
    if args.list {
        let mut follower = Follower::new(inputs, options)?;
        let (text, streams) = follower.list()?;
        let mut out = Output::text();
        out.push(format!("Found {streams} Logstream(s)\n\n{text}").as_bytes())?;
        out.flush()?;
        return Ok(match (follower.failed(), streams) {
            (true, _) => Exit::Failed,
            (false, 0) => Exit::Negative,
            (false, _) => Exit::Success,
        });
    }
    let mut out = Output::frames()?;
    let mut follower = Follower::new(inputs, options)?;
    let result = follower.run(&mut out);
    if args.stats.stats {
        follower.stats(&out).print();
    }
    result?;
    Ok(if follower.failed() { Exit::Failed } else { Exit::Success })
}

fn inputs(args: &Args) -> Result<Vec<Input>, Failure> {
    let mut inputs = Vec::new();
    for argument in &args.config {
        for section in LogstreamSection::load(argument)? {
            inputs.push(section_input(args, section)?);
        }
    }
    if let (Some(directory), Some(file_match)) = (&args.logstream, &args.file_match) {
        let options = SelectionOptions {
            file_match: file_match.clone(),
            priority: args.priority.clone(),
            differentiator: args.differentiator.clone(),
            translation: args.translate.as_deref().map(load_translation).transpose()?.unwrap_or_default(),
            name: args.logger.clone().unwrap_or_default(),
        };
        let selection = Selection::new(&options).map_err(|message| Failure::usage(format!("--match: {message}")))?;
        let rescan = args.rescan.unwrap_or(RESCAN);
        let tree = Tree::new(directory.clone(), Selector::Selected(selection), args.oldest, rescan);
        // With a differentiator the stream's name is the Logger, unless another was asked for.
        inputs.push(Input { shape: shape(args, None)?, origin: Origin::Tree(Box::new(tree)) });
    }
    let files = match args.files.is_empty() && inputs.is_empty() {
        true => vec![PathBuf::from("-")],
        false => args.files.clone(),
    };
    // Only to refuse a terminal: nobody types log lines.
    if files.iter().any(|file| is_stdin(file)) && !args.list {
        pipeline::open_operands(&[], "log lines")?;
    }
    if args.splitter.is_none()
        && let Some(stream) = files.iter().find(|file| is_stream(file))
    {
        let name = stream.display();
        let words = format!("{name}: it is a stream of Heka messages, no log: heka-cat reads it, or --splitter heka");
        return Err(Failure::usage(words));
    }
    if !files.is_empty() {
        inputs.push(Input { shape: shape(args, None)?, origin: Origin::Files(files) });
    }
    Ok(inputs)
}

/// Whether a file, which may be compressed, has Heka's records.
fn is_stream(path: &Path) -> bool {
    let Some(operand) = Operand::open(path).ok().filter(Operand::is_regular) else { return false };
    let mut head = [0; 512];
    !is_stdin(path) && operand.read(&mut head).is_ok_and(|count| begins_record(&head[..count]))
}

fn section_input(args: &Args, section: LogstreamSection) -> Result<Input, Failure> {
    let name = &section.name;
    if let Some(decoder) = &section.decoder {
        pipeline::report(&format!("[{name}] decoder {decoder} is not run here: pipe the messages into heka-decode"));
    }
    let wrong = |message| Failure::usage(format!("[{name}] {message}"));
    let selection = Selection::new(&section.selection).map_err(wrong)?;
    let oldest = args.oldest.unwrap_or(section.oldest_duration);
    let rescan = args.rescan.or(section.rescan_interval).unwrap_or(RESCAN);
    let oldest = Some(oldest).filter(|oldest| !oldest.is_zero());
    let tree = Tree::new(section.log_directory.clone(), Selector::Selected(selection), oldest, rescan);
    Ok(Input { shape: shape(args, Some(&section))?, origin: Origin::Tree(Box::new(tree)) })
}

fn shape(args: &Args, section: Option<&LogstreamSection>) -> Result<Shape, Failure> {
    let from_end = match args.from {
        Some(from) => from == From::End,
        None => section.is_some_and(|section| section.initial_tail),
    };
    let cutting = match section.filter(|_| args.splitter.is_none()) {
        Some(section) => section_cutting(args, &section.name, &section.splitter)?,
        None => cutting(args)?,
    };
    if args.signers.is_some() && !matches!(cutting, Cutting::Frames { .. }) {
        return Err(Failure::usage("--signers: only messages are signed, and lines are read here (--splitter heka)"));
    }
    Ok(Shape {
        cutting,
        template: template(args, section.and_then(|section| section.hostname.clone())),
        from_end,
        follow: args.follow,
        final_line_waits: match (args.final_line, section) {
            (Some(what), _) => what == FinalLine::Wait,
            (None, Some(section)) => !section.splitter.deliver_incomplete_final,
            (None, None) => !args.checkpoint.is_empty(),
        },
        rotate_wait: args.rotate_wait,
        flush_timeout: args.flush_timeout,
    })
}

fn cutting(args: &Args) -> Result<Cutting, Failure> {
    let usage = |message| Failure::usage(format!("--delimiter: {message}"));
    let splitter = match args.splitter.unwrap_or(Kind::Token) {
        Kind::Token => {
            let delimiter = unescape(&args.delimiter).map_err(usage)?;
            Splitter::token(&delimiter, args.delimiter_count, args.keep_delimiter).map_err(usage)?
        }
        Kind::Regex => Splitter::regex(&args.delimiter, args.delimiter_at == Side::Start).map_err(usage)?,
        kind @ (Kind::Group | Kind::PatternGroup) => {
            let grouping = args.grouping.as_deref().unwrap_or_default();
            let lines = if kind == Kind::Group { Lines::Continuing } else { Lines::Matching };
            Splitter::group(&args.delimiter, grouping, lines, args.max_lines, args.keep_delimiter)
                .map_err(|message| Failure::usage(format!("--grouping: {message}")))?
        }
        Kind::Null => Splitter::Null,
        Kind::Heka => return frames(args, None),
    };
    let text = Text { tidy: !args.keep_delimiter, encoding: encoding(args)? };
    Ok(Cutting::Records { splitter, max: args.max_record.max(1), keep_truncated: args.keep_truncated, text })
}

fn frames(args: &Args, keys: Option<Keys>) -> Result<Cutting, Failure> {
    let given = args.signers.as_deref().map(pipeline::load_keys).transpose()?;
    let signed = Signed::new(given.or(keys), args.require_signer.clone());
    Ok(Cutting::Frames { max_message: DEFAULT_READ_MESSAGE, signed })
}

fn encoding(args: &Args) -> Result<Option<&'static Encoding>, Failure> {
    let labelled = args.encoding.as_deref().map(Text::labelled).transpose();
    labelled.map_err(|message| Failure::usage(format!("--encoding: {message}")))
}

fn section_cutting(args: &Args, name: &str, splitter: &SplitterSection) -> Result<Cutting, Failure> {
    // As hekad leaves records to decoders.
    let keep = true;
    let made = match &splitter.kind {
        SplitterKind::Token { delimiter, count } => Splitter::token(delimiter.as_bytes(), *count, keep),
        SplitterKind::Regex { delimiter, at_start } => Splitter::regex(delimiter, *at_start),
        SplitterKind::Group { delimiter, grouping, max_lines } => {
            Splitter::group(delimiter, grouping, Lines::Matching, *max_lines, keep)
        }
        SplitterKind::Null => Ok(Splitter::Null),
        SplitterKind::Heka { signers } => return frames(args, signers.clone()),
    };
    let made = made.map_err(|message| Failure::usage(format!("[{name}] splitter: {message}")))?;
    let keep_truncated = splitter.keep_truncated || args.keep_truncated;
    let text = Text { tidy: false, encoding: encoding(args)? };
    Ok(Cutting::Records { splitter: made, max: args.max_record.max(1), keep_truncated, text })
}

fn template(args: &Args, hostname: Option<String>) -> Template {
    let hostname = args.hostname.clone().or(hostname).map(String::into_bytes);
    Template {
        message_type: args.message_type.clone().into_bytes(),
        logger: args.logger.clone().unwrap_or_default().into_bytes(),
        severity: args.severity,
        env_version: args.env_version.clone().into_bytes(),
        hostname: hostname.unwrap_or_else(pipeline::hostname),
    }
}

fn commit(args: &Args) -> Result<Commit, Failure> {
    // Who writes a file has it to itself.
    let writes = args.commit == Who::Source && args.checkpoint.len() == 1 && !args.list;
    let open = if writes { Checkpoint::open } else { Checkpoint::load };
    let checkpoints = args.checkpoint.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
    match (args.commit, checkpoints.len()) {
        (_, 0) => Ok(Commit::None),
        (Who::Sink, _) => Ok(Commit::Sinks(checkpoints)),
        (Who::Source, 1) => Ok(checkpoints.into_iter().next().map_or(Commit::None, Commit::Source)),
        (Who::Source, _) => {
            Err(Failure::usage("several --checkpoint files need --commit sink: each sink writes its own"))
        }
    }
}
