//! heka-match: grep for messages.

use std::process::ExitCode;

use clap::Parser;
use heka::matcher::Matcher;
use heka::pipeline::{self, Exit, Failure, Flow, InputArgs, Output, RunOptions, Stage, Stats, StatsArgs};
use heka::stream::{Frame, Keys, verify};

const EXAMPLES: &str = "\
Examples:
  Server errors of an nginx log:
    heka-tail access.log | heka-decode --lua nginx_access |
        heka-match 'Fields[status] >= 500' | heka-cat

  How many messages are not from one of two machines:
    heka-match -v -c \"Hostname == 'web1' || Hostname =~ /^db/\" day.hpb

Expressions:
  Variables: Uuid Type Logger Payload EnvVersion Hostname, Timestamp Severity Pid,
    Fields[name][instance][element].
  Operators: == != < <= > >=, =~ and !~ with /regex/ or a 'Lua pattern', && || and parentheses,
    TRUE, FALSE, NIL.

Exit status: 0 a message was selected, 1 none was, 2 an error.";

/// Keep the messages that a matcher expression selects
#[derive(Parser)]
#[command(name = "heka-match", version, after_help = EXAMPLES)]
struct Args {
    /// What to select, for example "Type == 'nginx' && Severity < 4"
    #[arg(value_name = "EXPRESSION")]
    expression: String,

    #[command(flatten)]
    input: InputArgs,

    /// Select what does not match
    #[arg(short = 'v', long)]
    invert_match: bool,

    /// Print how many messages are selected, nothing else
    #[arg(short, long)]
    count: bool,

    /// Stop after N selected messages
    #[arg(short, long, value_name = "N")]
    max_count: Option<u64>,

    /// Write nothing; stop at the first selected message
    #[arg(short, long)]
    quiet: bool,

    /// Only messages of this signer, whose signature the keys in --keys verify
    #[arg(long, value_name = "NAME", requires = "keys")]
    signer: Option<String>,

    /// TOML file of the signers' keys: NAME_VERSION = "key"
    #[arg(long, value_name = "FILE")]
    keys: Option<std::path::PathBuf>,

    #[command(flatten)]
    stats: StatsArgs,
}

fn main() -> ExitCode {
    pipeline::main(run)
}

struct Match {
    matcher: Matcher,
    invert: bool,
    silent: bool,
    limit: Option<u64>,
    signer: Option<(String, Keys)>,
    selected: u64,
    refused: u64,
    /// What is probably wrong with the expression, if nothing is selected; messages that were looked at for it.
    hint: Option<String>,
    looked: u32,
}

/// The first messages say what is wrong with an expression; the others would only be slower.
const LOOK_AT: u32 = 100;

impl Stage for Match {
    #[inline]
    fn message(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<Flow, Failure> {
        if self.matcher.matches(&frame.view()) == self.invert {
            if self.looked < LOOK_AT {
                self.looked += 1;
                self.hint = self.hint.take().or_else(|| self.matcher.mistaken_type(&frame.view()));
            }
            return Ok(Flow::Continue);
        }
        if let Some((name, keys)) = &self.signer {
            match verify(&frame.header(), frame.message(), keys) {
                Ok(Some(signer)) if signer == name.as_bytes() => {}
                Ok(_) => return Ok(Flow::Continue),
                Err(_) => {
                    self.refused += 1;
                    return Ok(Flow::Continue);
                }
            }
        }
        self.selected += 1;
        if !self.silent {
            out.push(frame.raw())?;
        }
        let enough = self.limit.is_some_and(|limit| self.selected >= limit);
        Ok(if enough { Flow::Stop } else { Flow::Continue })
    }

    fn stats(&self, stats: &mut Stats) {
        stats.set("messages_out", self.selected).set("signatures_refused", self.refused);
        stats.set("patterns_given_up", self.matcher.overruns());
    }
}

fn run(args: Args) -> Result<Exit, Failure> {
    let matcher = Matcher::parse_quoting(&args.expression).map_err(Failure::usage)?;
    let signer = match (args.signer, args.keys) {
        (Some(name), Some(path)) => Some((name, pipeline::load_keys(&path)?)),
        _ => None,
    };
    let silent = args.count || args.quiet;
    let mut out = if silent { Output::text() } else { Output::frames()? };
    let operands = pipeline::open_operands(&args.input.files, "messages")?;
    let options = RunOptions::new(&args.input, args.stats);
    let limit = if args.quiet { Some(1) } else { args.max_count };
    let mut stage = Match {
        matcher,
        invert: args.invert_match,
        silent,
        limit,
        signer,
        selected: 0,
        refused: 0,
        hint: None,
        looked: 0,
    };
    let ran =
        if limit == Some(0) { Default::default() } else { pipeline::run(operands, options, &mut out, &mut stage)? };
    if stage.refused > 0 {
        pipeline::report(&format!("{} messages left out: their signature could not be verified", stage.refused));
    }
    if let Some(hint) = stage.hint.filter(|_| stage.selected == 0) {
        pipeline::report(&hint);
    }
    if stage.matcher.overruns() > 0 {
        pipeline::report(&format!(
            "{} messages were not selected: the patterns take too long",
            stage.matcher.overruns()
        ));
    }
    if args.count && !args.quiet {
        out.buf().extend_from_slice(format!("{}\n", stage.selected).as_bytes());
        out.flush()?;
    }
    // As grep: an error outweighs a selection, unless only asked whether there is one.
    Ok(match (stage.selected > 0, ran.unreadable || ran.stopped) {
        (true, _) if args.quiet => Exit::Success,
        (_, true) => Exit::Usage,
        (true, false) => Exit::Success,
        (false, false) => Exit::Negative,
    })
}
