//! heka-decode: run Lua decoders over messages.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use heka::pipeline::{self, Exit, Failure, InputArgs, Output, RunOptions, StatsArgs, parse_size};
use heka::sandbox::{
    ConfigValue, DecodeStage, Limits, ModulePath, OnFailure, Script, Section, Settings, prepare_process,
};

const EXAMPLES: &str = "\
Examples:
  nginx's combined format, and a format of your own:
    heka-tail access.log | heka-decode --lua nginx_access | heka-cat
    heka-tail access.log | heka-decode --lua nginx_access \\
        --config log_format='$remote_addr [$time_iso8601] \"$request\" $status $request_time' | heka-cat

  A decoder as a hekad.toml configures it, on two cores; what it rejects goes to a file:
    heka-decode --config-file hekad.toml:FxaNginxAccessDecoder -j 2 --on-failure file=bad.hpb day.hpb > decoded.hpb

  Test a decoder in CI: fail when a line is not decoded
    heka-tail sample.log | heka-decode --lua ./my_decoder.lua --strict | heka-cat -c

Scripts that ship: apache_access, nginx_access, rsyslog. Each begins with what it can be told by --config.";

/// Run Lua decoders (Heka's SandboxDecoder) over messages
#[derive(Parser)]
#[command(name = "heka-decode", version, after_help = EXAMPLES)]
struct Args {
    #[command(flatten)]
    input: InputArgs,

    /// The decoder: a file, or the name of one that ships; repeat it for a chain
    #[arg(long, value_name = "SCRIPT")]
    lua: Vec<PathBuf>,

    /// A configuration variable of the scripts, with a TOML value (other text is taken as it stands)
    #[arg(long, value_name = "KEY=VALUE", value_parser = ConfigValue::from_argument)]
    config: Vec<(String, ConfigValue)>,

    /// Read a SandboxDecoder section of a hekad.toml: script, limits, configuration
    #[arg(long, value_name = "FILE[:SECTION]")]
    config_file: Option<String>,

    /// Where scripts and modules are looked for before those that ship; `;` separates several
    #[arg(long, value_name = "DIR", visible_alias = "lua-path")]
    module_directory: Vec<String>,

    /// Memory that a script may use; 0 is no limit [default: 8M]
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    memory_limit: Option<usize>,

    /// Lua instructions that a script may run for a message; 0 is no limit [default: 1000000]
    #[arg(long, value_name = "N")]
    instruction_limit: Option<u64>,

    /// Longest message that a script may make; 0 is no limit [default: 63K]
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    output_limit: Option<usize>,

    /// Headers that a message doesn't have read as nil instead of as an empty string
    #[arg(long)]
    strict_nil: bool,

    /// What to do with a message that a decoder rejects: drop, keep (with two fields that say why), stop, or file=PATH
    #[arg(long, value_name = "WHAT", default_value = "drop")]
    on_failure: String,

    /// Exit with 1 when any message was rejected
    #[arg(long)]
    strict: bool,

    /// Decode on so many threads; the order is kept
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    jobs: u16,

    #[command(flatten)]
    stats: StatsArgs,
}

fn main() -> ExitCode {
    prepare_process();
    pipeline::main(run)
}

fn run(args: Args) -> Result<Exit, Failure> {
    let chain = chain(&args)?;
    let on_failure = OnFailure::open(&args.on_failure)?;
    let mut stage = DecodeStage::new(chain, args.jobs.max(1).into(), on_failure)?;
    let mut out = Output::frames()?;
    let operands = pipeline::open_operands(&args.input.files, "messages")?;
    let ran = pipeline::run(operands, RunOptions::new(&args.input, args.stats), &mut out, &mut stage)?;
    let rejected = args.strict && stage.failed() > 0;
    Ok(if rejected { ran.exit().max(Exit::Negative) } else { ran.exit() })
}

/// The scripts in order, each with the limits and the configuration of the section and the command line.
fn chain(args: &Args) -> Result<Vec<Settings>, Failure> {
    let section = match &args.config_file {
        Some(file) => Section::load(file, "SandboxDecoder")?,
        None => Section::default(),
    };
    let directories: Vec<String> = args.module_directory.iter().chain(&section.module_directory).cloned().collect();
    let modules = ModulePath::new(&directories);
    let mut scripts = args.lua.clone();
    if scripts.is_empty() {
        scripts.extend(section.filename.clone());
    }
    if scripts.is_empty() {
        return Err(Failure::usage("which decoder? Name it: --lua nginx_access, --lua ./mine.lua, or --config-file"));
    }
    let default = Limits::default();
    let limits = Limits {
        memory: args.memory_limit.or(section.memory).unwrap_or(default.memory),
        instructions: args.instruction_limit.or(section.instructions).unwrap_or(default.instructions),
        output: args.output_limit.or(section.output).unwrap_or(default.output),
    };
    let mut config = section.config.clone();
    config.extend(args.config.iter().cloned());
    scripts
        .iter()
        .map(|name| {
            Ok(Settings {
                script: Script::find(name, &modules)?,
                limits,
                config: config.clone(),
                modules: modules.clone(),
                strict_nil: args.strict_nil,
            })
        })
        .collect()
}
