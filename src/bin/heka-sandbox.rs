//! heka-sandbox: run a Lua filter with a timer and kept state.

use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use heka::matcher::Matcher;
use heka::pipeline::{self, Exit, Failure, InputArgs, Operand, Output, RunOptions, StatsArgs, parse_seconds};
use heka::sandbox::{Clock, FilterOptions, FilterStage, Kind, ScriptArgs, Section, named_script, prepare_process};

const EXAMPLES: &str = "\
Examples:
  Requests by status for each minute, from a day's log, as fast as the machine can:
    heka-tail access.log | heka-decode --lua nginx_access |
        heka-sandbox --lua http_status --ticker 60 | heka-cat --format payload

  The same live; the counts survive a restart:
    heka-tail -f --checkpoint c --commit sink access.log | heka-decode --lua nginx_access |
        heka-sandbox --lua http_status --ticker 60 --preserve status.state | heka-hec --checkpoint c …

  A filter as a hekad.toml configures it, timed:
    heka-sandbox --config-file hekad.toml:FxaAuthServerFrequentIP --profile day.hpb > report.hpb

Timers go by the messages' own Timestamps when files are read, and by the machine's clock when something is followed; a
pipe is taken as a replay until it has been silent for 5 seconds. Both call timer_event at whole multiples of --ticker.

Exit status: 0 all well, 2 wrong usage or a script that can't be loaded, 3 the script was terminated (with --can-exit the
run goes on without it), or another failure.";

/// Run a Lua filter (Heka's SandboxFilter) over messages
#[derive(Parser)]
#[command(name = "heka-sandbox", version, after_help = EXAMPLES)]
struct Args {
    #[command(flatten)]
    input: InputArgs,

    /// The filter: a file, or the name of one that ships
    #[arg(long, value_name = "SCRIPT")]
    lua: Option<PathBuf>,

    /// Read a SandboxFilter section of a hekad.toml: script, matcher, ticker, limits, configuration
    #[arg(long, value_name = "FILE[:SECTION]")]
    config_file: Option<String>,

    /// The filter's name, the Logger of its messages [default: the section's, or the script's]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Give the script only messages that this expression selects (see heka-match)
    #[arg(long = "match", value_name = "EXPRESSION")]
    matcher: Option<String>,

    /// Call timer_event that often
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    ticker: Option<Duration>,

    /// What timers go by [default: message for files, wall when following]
    #[arg(long, value_name = "CLOCK")]
    clock: Option<ClockArg>,

    /// Don't call timer_event once more at the end of the input
    #[arg(long)]
    no_final_timer: bool,

    /// Call timer_event once more when a signal ends the run
    #[arg(long)]
    timer_event_on_shutdown: bool,

    /// Keep the script's global data in this file, together with how far the input is counted in it
    #[arg(long, value_name = "FILE")]
    preserve: Option<PathBuf>,

    /// Save the state that often, and at the end
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    preserve_interval: Duration,

    #[command(flatten)]
    script: ScriptArgs,

    /// Messages that process_message may inject in one call; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_process_inject: usize,

    /// Messages that timer_event may inject in one call; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_timer_inject: usize,

    /// When the script is terminated, go on without it
    #[arg(long)]
    can_exit: bool,

    /// Pass the input through, with what the script injects in between
    #[arg(long)]
    pass: bool,

    /// End with how long calls took, and what they used, on stderr
    #[arg(long)]
    profile: bool,

    /// Go on at the end of the last FILE
    #[arg(short, long)]
    follow: bool,

    #[command(flatten)]
    stats: StatsArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ClockArg {
    /// The machine's clock
    Wall,
    /// The newest Timestamp so far
    Message,
}

fn main() -> ExitCode {
    prepare_process();
    pipeline::main(run)
}

fn run(args: Args) -> Result<Exit, Failure> {
    let section = match &args.config_file {
        Some(file) => Section::load(file, "SandboxFilter")?,
        None => Section::default(),
    };
    let scripts = named_script(args.lua.as_slice(), &section, "--lua http_status")?;
    let [script] = &scripts[..] else { return Err(Failure::usage("one script at a time")) };
    let mut settings = args.script.settings(script, &section, Kind::Filter)?;
    if let Some(name) = args.name {
        settings.identity.name = name.into_bytes();
    }
    if section.preserve_data && args.preserve.is_none() {
        return Err(Failure::usage("preserve_data = true: say where with --preserve FILE"));
    }
    let expression = args.matcher.as_deref().or(section.message_matcher.as_deref());
    let matcher = expression
        .map(|text| Matcher::parse(text).map_err(|error| Failure::usage(format!("{text}: {error}"))))
        .transpose()?;
    if section.message_signer.is_some() {
        pipeline::report(
            "message_signer: frames are taken at their word; whoever wrote the stream has to check signatures",
        );
    }
    let operands = pipeline::open_operands(&args.input.files, "messages")?;
    let clock = match args.clock {
        Some(ClockArg::Wall) => Clock::Wall,
        Some(ClockArg::Message) => Clock::Message,
        None if args.follow => Clock::Wall,
        None => default_clock(&operands),
    };
    let ticker = args.ticker.or(section.ticker_interval.map(Duration::from_secs)).unwrap_or_default();
    let options = FilterOptions {
        matcher,
        signer: section.message_signer.map(String::into_bytes),
        ticker,
        clock,
        final_timer: !args.no_final_timer,
        timer_on_shutdown: args.timer_event_on_shutdown || section.timer_event_on_shutdown,
        can_exit: args.can_exit,
        pass: args.pass,
        profile: args.profile || section.profile,
        preserve: args.preserve,
        save_every: args.preserve_interval,
        max_process_inject: args.max_process_inject,
        max_timer_inject: args.max_timer_inject,
    };
    let mut out = Output::frames()?;
    let mut stage = FilterStage::new(&settings, options)?;
    let mut run = RunOptions::new(&args.input, args.stats);
    run.follow = args.follow;
    Ok(pipeline::run(operands, run, &mut out, &mut stage)?.exit())
}

/// Files end, sockets don't; of a pipe only time tells.
fn default_clock(operands: &[Result<Operand, String>]) -> Clock {
    let socket = |operand: &Operand| match operand {
        Operand::Stdin => pipeline::is_socket(std::io::stdin().as_fd()),
        Operand::File { .. } => false,
    };
    let opened = || operands.iter().flatten();
    if opened().any(socket) {
        Clock::Wall
    } else if opened().all(Operand::is_regular) {
        Clock::Message
    } else {
        Clock::Auto
    }
}
