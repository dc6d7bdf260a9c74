//! heka-sbmgr: loads and unloads a manager's filters by signed messages.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use heka::control::{Action, ControlArgs, Settings, put_load, put_unload};
use heka::pipeline::{self, Exit, Failure, describe};

const EXAMPLES: &str = "\
Examples:
  Load a filter, and unload it:
    heka-sbmgr -action=load -config=PlatformDevs.toml -script=example.lua -scriptconfig=example.toml
    heka-sbmgr -action=unload -config=PlatformDevs.toml -filtername=Example

  PlatformDevs.toml:
    ip_address = \":5565\"
    [signer]
        name = \"PlatformDevs\"
        hmac_hash = \"sha1\"
        hmac_key = \"Platform devs signing key\"
        version = 1

  The signed message alone, for a pipe:
    heka-sbmgr --action load --config PlatformDevs.toml --script example.lua \\
        --scriptconfig example.toml --stdout | heka-cat";

/// Load and unload the filters of a sandbox manager, by signed messages
#[derive(Parser)]
#[command(name = "heka-sbmgr", version, after_help = EXAMPLES)]
struct Args {
    /// TOML file: ip_address, use_tls, [signer], [tls]
    #[arg(long, value_name = "FILE", default_value = "sbmgr.toml")]
    config: PathBuf,

    /// Script of the filter to load
    #[arg(long, value_name = "FILE", default_value = "xyz.lua")]
    script: PathBuf,

    /// Configuration of the filter to load: one section of TOML
    #[arg(long, value_name = "FILE", default_value = "xyz.toml")]
    scriptconfig: PathBuf,

    /// Name of the filter to unload: its section's
    #[arg(long, value_name = "NAME", default_value = "filter")]
    filtername: String,

    #[command(flatten)]
    control: ControlArgs,
}

fn main() -> ExitCode {
    pipeline::main_with_single_dashes(run)
}

fn run(args: Args) -> Result<Exit, Failure> {
    let settings = Settings::load(&args.config, args.control.key_file.as_deref())?;
    let mut message = Vec::new();
    match args.control.action {
        Action::Load => {
            let script = std::fs::read(&args.script)
                .map_err(|error| Failure::usage(format!("{}: {}", args.script.display(), describe(&error))))?;
            // What the manager would refuse is said here.
            pipeline::read_toml(&args.scriptconfig)?;
            put_load(&mut message, &script, pipeline::read_text(&args.scriptconfig)?.as_bytes());
        }
        Action::Unload => put_unload(&mut message, args.filtername.as_bytes()),
    }
    let mut frame = Vec::new();
    settings.put_frame(&mut frame, &message);
    settings.hand_over(&frame, args.control.stdout)?;
    Ok(Exit::Success)
}
