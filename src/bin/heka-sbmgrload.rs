//! heka-sbmgrload: many filters for a manager's test.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use heka::control::{
    Action, COUNTER_SCRIPT, ControlArgs, Settings, counter_config, counter_name, put_load, put_unload,
};
use heka::pipeline::{self, Exit, Failure};

const EXAMPLES: &str = "\
Examples:
  A thousand filters, CounterSandbox0 to CounterSandbox999, and away with them:
    heka-sbmgrload -config=sbmgrload.toml -action=load -num=1000
    heka-sbmgrload -config=sbmgrload.toml -action=unload -num=1000

Each counts the messages of Type 'hekabench' and says every second how many came.";

/// Load and unload many filters of a sandbox manager, to test it
#[derive(Parser)]
#[command(name = "heka-sbmgrload", version, after_help = EXAMPLES)]
struct Args {
    /// TOML file: ip_address, use_tls, [signer], [tls]
    #[arg(long, value_name = "FILE", default_value = "sbmgrload.toml")]
    config: PathBuf,

    /// How many filters
    #[arg(long, value_name = "N", default_value_t = 1)]
    num: u32,

    #[command(flatten)]
    control: ControlArgs,
}

fn main() -> ExitCode {
    pipeline::main_with_single_dashes(run)
}

fn run(args: Args) -> Result<Exit, Failure> {
    let settings = Settings::load(&args.config, args.control.key_file.as_deref())?;
    let (mut message, mut frames) = (Vec::new(), Vec::new());
    for number in 0..args.num {
        message.clear();
        match args.control.action {
            Action::Load => put_load(&mut message, COUNTER_SCRIPT.as_bytes(), counter_config(number).as_bytes()),
            Action::Unload => put_unload(&mut message, counter_name(number).as_bytes()),
        }
        settings.put_frame(&mut frames, &message);
    }
    settings.hand_over(&frames, args.control.stdout)?;
    Ok(Exit::Success)
}
