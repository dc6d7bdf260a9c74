//! heka-decode: run Lua decoders over messages.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use heka::pipeline::{self, Exit, Failure, InputArgs, Output, RunOptions, StatsArgs};
use heka::sandbox::{
    DecodeStage, Kind, LastingScriptArgs, OnFailure, Section, Settings, named_script, prepare_process,
};

const EXAMPLES: &str = "\
Examples:
  nginx's combined format, and a format of your own:
    heka-tail access.log | heka-decode --lua nginx_access | heka-cat
    heka-tail timed.log | heka-decode --lua nginx_access \\
        --config log_format='$remote_addr [$time_iso8601] \"$request\" $status $request_time' |
        heka-cat

  A decoder as a hekad.toml configures it, on two cores; what it rejects goes to a file:
    heka-decode --config-file hekad.toml:FxaNginxAccessDecoder -j 2 \\
        --on-failure file=bad.hpb day.hpb > decoded.hpb

  Test a decoder in CI: fail when a line is not decoded
    heka-tail sample.log | heka-decode --lua ./my_decoder.lua --strict | heka-cat -c

Scripts that ship: apache_access, bind_query_log, graylog_extended, json, linux_diskstats,
linux_loadavg, linux_memstats, linux_netdev, linux_netstat, linux_procstat, mariadb_slow_query,
mysql_slow_query, nginx_access, nginx_error, nginx_stub_status, rsyslog. --help-script NAME shows
what each is for and can be told by --config.";

/// Run Lua decoders (Heka's SandboxDecoder) over messages
#[derive(Parser)]
#[command(name = "heka-decode", version, after_help = EXAMPLES)]
struct Args {
    #[command(flatten)]
    input: InputArgs,

    /// The decoder: a file, or the name of one that ships; repeat it for a chain
    #[arg(long, value_name = "SCRIPT")]
    lua: Vec<PathBuf>,

    /// Read a SandboxDecoder section of a hekad.toml: script, limits, configuration
    #[arg(long, value_name = "FILE[:SECTION]")]
    config_file: Option<String>,

    #[command(flatten)]
    script: LastingScriptArgs,

    /// What to do with a message that a decoder rejects: drop, keep (with two fields that say why), stop, or file=PATH
    #[arg(long, value_name = "WHAT", default_value = "drop")]
    on_failure: String,

    /// Exit with 1 when any message was rejected, not only when all were
    #[arg(long)]
    strict: bool,

    /// Decode on so many threads; the order is kept. Unless given: as many as there are processors, at most 4, for decoders
    /// that ship; your own run on one, since they may keep something between messages
    #[arg(short, long, value_name = "N")]
    jobs: Option<u16>,

    #[command(flatten)]
    stats: StatsArgs,
}

fn main() -> ExitCode {
    prepare_process();
    pipeline::main(run)
}

fn run(args: Args) -> Result<Exit, Failure> {
    if args.script.help(Kind::Decoder)? {
        return Ok(Exit::Success);
    }
    let chain = chain(&args)?;
    let operands = pipeline::open_operands(&args.input.files, "messages")?;
    let on_failure = OnFailure::open(&args.on_failure, &operands)?;
    let mut stage = DecodeStage::new(chain, args.jobs.map(|jobs| jobs.max(1).into()), on_failure)?;
    let mut out = Output::frames()?;
    let ran = pipeline::run(operands, RunOptions::new(&args.input, args.stats), &mut out, &mut stage)?;
    let rejected = stage.all_failed() || args.strict && stage.failed() > 0;
    Ok(ran.exit(rejected))
}

/// The scripts in order, each with the limits and the configuration of the section and the command line.
fn chain(args: &Args) -> Result<Vec<Settings>, Failure> {
    let section = match &args.config_file {
        Some(file) => Section::load(file, "SandboxDecoder")?,
        None => Section::default(),
    };
    let scripts = named_script(&args.lua, &section, "--lua nginx_access")?;
    args.script.settings_of_chain(&scripts, &section, Kind::Decoder)
}
