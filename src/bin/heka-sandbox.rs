//! heka-sandbox: run a Lua filter with a timer and kept state; manage many that come and go.

use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use heka::matcher::Matcher;
use heka::pipeline::{
    self, Exit, Failure, InputArgs, Operand, Output, RunOptions, StatsArgs, load_keys, parse_seconds,
};
use heka::sandbox::manager::{Allowed, ManagerOptions, ManagerStage, list, to_json_lines, to_table};
use heka::sandbox::{
    Clock, FilterOptions, FilterStage, HostArgs, Kind, ScriptArgs, Section, named_script, prepare_process,
};

const EXAMPLES: &str = "\
Examples:
  Requests by status for each minute, from a day's log, as fast as the machine can:
    heka-tail access.log | heka-decode --lua nginx_access |
        heka-sandbox --lua http_status --ticker 60 | heka-cat --format payload

  The same live; the counts survive a restart:
    heka-tail -f --checkpoint c --commit sink access.log | heka-decode --lua nginx_access |
        heka-sandbox --lua http_status --ticker 60 --preserve status.state |
        heka-hec --checkpoint c --url https://splunk:8088 --token-file token

  A filter as a hekad.toml configures it, timed:
    heka-sandbox --config-file hekad.toml:FxaAuthServerFrequentIP --profile day.hpb > report.hpb

  Filters that a group of people load and unload while the stream flows (heka-sbmgr sends them):
    heka-listen --heka --tcp 5565 --signers signers.toml |
        heka-sandbox manage --name PlatformDevs --signer PlatformDevs --dir /var/heka/sandbox \\
            --keys signers.toml --max-filters 100 |
        heka-hec --url https://splunk:8088 --token-file token
    heka-sandbox list --dir /var/heka/sandbox

Timers go by the messages' own Timestamps when files are read, and by the machine's clock when
something is followed; a pipe is taken as a replay until it has been silent for 5 seconds. Both
call timer_event at whole multiples of --ticker.

Exit status: 0 all well, 2 wrong usage or a script that can't be loaded, 3 the script was
terminated (with --can-exit the run goes on without it), or another failure.";

/// Run a Lua filter (Heka's SandboxFilter) over messages, or manage many of them
#[derive(Parser)]
#[command(name = "heka-sandbox", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Load and unload filters as signed messages in the stream ask for (Heka's SandboxManagerFilter)
    Manage(Box<ManageArgs>),
    /// Show the filters of a manager's directory: what they use, of what, and why they ended
    List(ListArgs),
}

#[derive(clap::Args)]
struct FilterArgs {
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

#[derive(clap::Args)]
struct ManageArgs {
    #[command(flatten)]
    input: InputArgs,

    /// Read a SandboxManagerFilter section of a hekad.toml: signer, matcher, directory, limits
    #[arg(long, value_name = "FILE[:SECTION]")]
    config_file: Option<String>,

    /// The manager's name, the first part of its filters' names [default: the section's]
    #[arg(long, value_name = "MANAGER")]
    name: Option<String>,

    /// Where configurations, scripts and data of the filters are kept; what is there is loaded at the start
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Obey messages that this signer has signed
    #[arg(long, value_name = "NAME")]
    signer: Option<String>,

    /// Obey anybody who can write to the stream
    #[arg(long, conflicts_with_all = ["signer", "keys"])]
    any_signer: bool,

    /// Check signatures with these keys, as heka-listen --signers does; without, the stream is believed
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,

    /// Refuse control messages whose Timestamp is that far from now, or farther, and such as were obeyed before; 0: none
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = parse_seconds)]
    max_age: Duration,

    /// Which messages are control messages
    #[arg(long = "match", value_name = "EXPRESSION")]
    matcher: Option<String>,

    /// Filters that may run at a time
    #[arg(long, value_name = "N")]
    max_filters: Option<usize>,

    // They hold for every filter, whatever it asks for.
    #[command(flatten)]
    host: HostArgs,

    /// Messages that process_message may inject in one call; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 1)]
    max_process_inject: usize,

    /// Messages that timer_event may inject in one call; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 10)]
    max_timer_inject: usize,

    /// End a filter that takes longer for a message, on average, while messages wait; 0: none
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 100)]
    max_process_duration: u64,

    /// Threads that share the filters
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    jobs: u16,

    /// What timers go by
    #[arg(long, value_name = "CLOCK", default_value = "wall")]
    clock: ClockArg,

    /// Don't call timer_event once more at the end of the input
    #[arg(long)]
    no_final_timer: bool,

    /// Save the state of filters that keep it that often, and at the end
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    preserve_interval: Duration,

    /// Pass the input through, with what the filters inject in between
    #[arg(long)]
    pass: bool,

    /// Go on at the end of the last FILE
    #[arg(short, long)]
    follow: bool,

    #[command(flatten)]
    stats: StatsArgs,
}

#[derive(clap::Args)]
struct ListArgs {
    /// The directory of `heka-sandbox manage`
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// A JSON object for each filter, with all that is known of it
    #[arg(long)]
    json: bool,
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

impl From<ClockArg> for Clock {
    fn from(clock: ClockArg) -> Clock {
        match clock {
            ClockArg::Wall => Clock::Wall,
            ClockArg::Message => Clock::Message,
        }
    }
}

fn run(args: Args) -> Result<Exit, Failure> {
    match args.command {
        None => filter(args.filter),
        Some(Command::Manage(args)) => manage(*args),
        Some(Command::List(args)) => show(args),
    }
}

fn parse_matcher(text: &str) -> Result<Matcher, Failure> {
    Matcher::parse_quoting(text).map_err(Failure::usage)
}

fn manage(args: ManageArgs) -> Result<Exit, Failure> {
    let section = match &args.config_file {
        Some(file) => Section::load(file, "SandboxManagerFilter")?,
        None => Section::default(),
    };
    let missing = |what: &str| Failure::usage(what.to_string());
    let name =
        args.name.or(section.name.clone()).ok_or_else(|| missing("what is the manager called? --name MANAGER"))?;
    let directory = args.dir.or(section.working_directory.clone());
    let directory = directory.ok_or_else(|| missing("where are its filters kept? --dir DIR"))?;
    let signer = args.signer.or(section.message_signer.clone()).filter(|_| !args.any_signer);
    if signer.is_none() && !args.any_signer {
        return Err(missing(
            "whom does it obey? --signer NAME; or --any-signer, if only friends can write to the stream",
        ));
    }
    let max_filters = args.max_filters.or(section.max_filters.map(|most| most as usize));
    let max_filters = max_filters.ok_or_else(|| missing("how many filters may run at a time? --max-filters N"))?;
    let control = args.matcher.as_deref().or(section.message_matcher.as_deref());
    let control = parse_matcher(control.unwrap_or("Type == 'heka.control.sandbox'"))?;
    if args.keys.is_none() && !args.any_signer {
        pipeline::report(
            "signatures are not checked here: whoever writes the stream has to, as heka-listen --signers does (or name --keys FILE)",
        );
    }
    let options = ManagerOptions {
        name,
        directory,
        control,
        signer,
        keys: args.keys.as_deref().map(load_keys).transpose()?,
        max_age: args.max_age,
        max_filters,
        allowed: Allowed {
            limits: args.host.limits(&section, Kind::Filter),
            modules: args.host.modules(&section),
            strict_nil: args.host.strict_nil,
        },
        max_process_inject: args.max_process_inject,
        max_timer_inject: args.max_timer_inject,
        max_process_duration: Duration::from_micros(args.max_process_duration),
        jobs: args.jobs.into(),
        clock: args.clock.into(),
        final_timer: !args.no_final_timer,
        pass: args.pass,
        save_every: args.preserve_interval,
    };
    let operands = pipeline::open_operands(&args.input.files, "messages")?;
    let mut out = Output::frames()?;
    let mut stage = ManagerStage::new(options, &mut out)?;
    let mut run = RunOptions::new(&args.input, args.stats);
    run.follow = args.follow;
    Ok(pipeline::run(operands, run, &mut out, &mut stage)?.exit(false))
}

fn show(args: ListArgs) -> Result<Exit, Failure> {
    let filters = list(&args.dir)?;
    let text = if args.json { to_json_lines(&filters) } else { to_table(&filters) };
    let mut out = Output::text();
    out.push(text.as_bytes())?;
    out.flush()?;
    Ok(Exit::Success)
}

fn filter(args: FilterArgs) -> Result<Exit, Failure> {
    if args.script.help(Kind::Filter)? {
        return Ok(Exit::Success);
    }
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
    let matcher = expression.map(parse_matcher).transpose()?;
    if section.message_signer.is_some() {
        pipeline::report(
            "message_signer: frames are taken at their word; whoever wrote the stream has to check signatures",
        );
    }
    let operands = pipeline::open_operands(&args.input.files, "messages")?;
    let clock = match args.clock {
        Some(clock) => clock.into(),
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
    Ok(pipeline::run(operands, run, &mut out, &mut stage)?.exit(false))
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
