//! heka-lua: run scripts in the sandbox without a stream, for those who write them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use heka::message::text::{Style, write_text};
use heka::message::{MessageBuilder, MessageView, TextHeader, now_ns, uuid};
use heka::pipeline::{self, Exit, Failure, read_text, report};
use heka::sandbox::{
    Kind, Outcome, Sandbox, Script, ScriptArgs, Section, Settings, Terminated, cases, prepare_process,
};

const EXAMPLES: &str = "\
Examples:
  What does a decoder make of a line?
    heka-lua nginx_access --line \"$(head -1 access.log)\"
    heka-lua ./mine.lua --config type=app --line 'x=1 y=2'
    heka-lua alert --kind encoder --message '{\"Logger\":\"disk\",\"Payload\":\"full\"}'

  Try a grammar, with the limits and libraries that scripts have:
    heka-lua -e 'require \"lpeg\" print(lpeg.match(lpeg.R\"09\"^1, \"42\"))'

  Test scripts in CI, by case files (what they look like: `heka-lua test --help-cases`):
    heka-lua test tests/scripts

What a script prints, puts into its payload buffer or injects goes to standard output. Exit
status: 0 all well, 1 the script failed or a case did, 2 wrong usage.";

const CASES: &str = "\
A case file ends in .case. Its sections begin with \"--- \" and are run in order:

    Anything up to the first section is a comment.
    --- script http_status filter
    --- config
    rows = 3
    --- input messages
    {\"Timestamp\":60e9,\"Fields\":{\"status\":200}}
    --- tick 180e9
    --- expect payload cbuf HTTP Status
    {\"time\":0,...}

script NAME [decoder|filter|encoder]   a file beside the case file, or a script that ships
config                                 TOML
input lines | text | messages          each line is a Payload | all of it is | each line is a message in JSON
tick NS                                call timer_event
restart                                save the state and restore it into a new sandbox
expect                                 messages in JSON, a line each: {\"Type\":...,\"Fields\":{\"name\":value}}
expect payload TYPE NAME               a message with that text
expect text                            an encoder's bytes
expect nothing
expect rejected|terminated|error WORDS
";

/// Run Lua scripts in the sandbox without a stream, and their tests
#[derive(Parser)]
#[command(name = "heka-lua", version, after_help = EXAMPLES)]
struct Args {
    /// The script: a file, or the name of one that ships; or `test`, and files or folders of cases
    #[arg(value_name = "SCRIPT | test CASES")]
    arguments: Vec<PathBuf>,

    /// Run this text instead of a file
    #[arg(short, value_name = "CODE", conflicts_with = "arguments")]
    execute: Option<String>,

    /// Give the script a message with this Payload, and show what it makes of it; may be repeated
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    line: Vec<String>,

    /// Give the script a message in JSON, such as {"Type":"x","Logger":"l","Fields":{"n":1}}; may be repeated
    #[arg(long, value_name = "JSON")]
    message: Vec<String>,

    /// What the script is
    #[arg(long, value_name = "KIND", default_value = "decoder")]
    kind: KindArg,

    /// Read the section of a hekad.toml that configures the script
    #[arg(long, value_name = "FILE[:SECTION]")]
    config_file: Option<String>,

    #[command(flatten)]
    script: ScriptArgs,

    /// Explain case files
    #[arg(long)]
    help_cases: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KindArg {
    Decoder,
    Filter,
    Encoder,
}

fn main() -> ExitCode {
    prepare_process();
    pipeline::main(run)
}

fn run(args: Args) -> Result<Exit, Failure> {
    if args.script.help(Kind::Decoder)? {
        return Ok(Exit::Success);
    }
    if args.help_cases {
        return print(CASES.as_bytes()).map(|()| Exit::Success);
    }
    if let Some((first, cases)) = args.arguments.split_first()
        && first.as_os_str() == "test"
    {
        return test(cases, &args.script);
    }
    let kind = match args.kind {
        KindArg::Decoder => Kind::Decoder,
        KindArg::Filter => Kind::Filter,
        KindArg::Encoder => Kind::Encoder,
    };
    let section = match &args.config_file {
        Some(file) => {
            let name = ["SandboxDecoder", "SandboxFilter", "SandboxEncoder"][args.kind as usize];
            Section::load(file, name)?
        }
        None => Section::default(),
    };
    let settings = match (&args.execute, &args.arguments[..]) {
        (Some(code), _) => {
            let script = Script::new("-e", code.clone());
            args.script.settings_of(script, &section, kind)
        }
        (None, [script]) => args.script.settings(script, &section, kind)?,
        (None, []) => match &section.filename {
            Some(script) => args.script.settings(script, &section, kind)?,
            None => return Err(Failure::usage("which script? heka-lua FILE, heka-lua -e CODE, or heka-lua test DIR")),
        },
        _ => return Err(Failure::usage("one script at a time")),
    };
    let mut sandbox = Sandbox::prepare(&settings).map_err(Failure::usage)?;
    sandbox.allow_print().map_err(Failure::failed)?;
    let loaded = sandbox.load(&settings.script);
    show(&mut sandbox, kind)?;
    if let Err(error) = loaded {
        return Ok(explain(&settings, &error, None));
    }
    if args.execute.is_none() && !sandbox.has_process() && !(kind == Kind::Filter && sandbox.has_timer()) {
        let functions = settings.script.code.split("function ").skip(1).filter_map(|rest| rest.split('(').next());
        let similar = functions.map(str::trim).find(|name| strsim::jaro_winkler(name, "process_message") > 0.9);
        let hint = similar.map_or(String::new(), |name| format!(", but {name}()"));
        // Without a message it may do all that it does while it is loaded.
        if similar.is_some() || !args.line.is_empty() || !args.message.is_empty() {
            report(&format!("{}: there is no function process_message(){hint}", settings.script.name));
        }
    }
    let mut inputs: Vec<(&str, Vec<u8>)> = Vec::new();
    for line in &args.line {
        let mut message = Vec::new();
        MessageBuilder::new(&mut message, &uuid::new_v4(), now_ns()).text(TextHeader::Payload, line.as_bytes());
        inputs.push((line, message));
    }
    for json in &args.message {
        let message = cases::encode_message(json).map_err(|error| Failure::usage(format!("--message: {error}")))?;
        inputs.push((json, message));
    }
    for (line, message) in &inputs {
        let Some(view) = MessageView::new(message) else { continue };
        match sandbox.process(view) {
            Ok(Outcome::Done) => {
                let changed = sandbox.injected().next().is_some() || kind == Kind::Filter;
                if !changed {
                    let message = sandbox.edited().unwrap_or(message).to_vec();
                    show_message(&message, kind)?;
                }
                show(&mut sandbox, kind)?;
            }
            Ok(Outcome::Rejected { words, status }) => {
                show(&mut sandbox, kind)?;
                let words = words.unwrap_or_else(|| format!("process_message() answered {status}"));
                return Ok(explain(&settings, &format!("rejected: {words}"), Some(line)));
            }
            Err(Terminated(reason)) => {
                show(&mut sandbox, kind)?;
                return Ok(explain(&settings, &reason, Some(line)));
            }
        }
    }
    if kind == Kind::Filter && !inputs.is_empty() {
        let ended = sandbox.timer_event(now_ns(), true);
        show(&mut sandbox, kind)?;
        if let Err(Terminated(reason)) = ended {
            return Ok(explain(&settings, &reason, None));
        }
    }
    Ok(Exit::Success)
}

/// What the last call injected, and what is in the payload buffer.
fn show(sandbox: &mut Sandbox, kind: Kind) -> Result<(), Failure> {
    let messages: Vec<Vec<u8>> = sandbox.injected().map(<[u8]>::to_vec).collect();
    messages.iter().try_for_each(|message| show_message(message, kind))?;
    print(&sandbox.take_payload())
}

fn show_message(message: &[u8], kind: Kind) -> Result<(), Failure> {
    match MessageView::new(message).filter(|_| kind != Kind::Encoder) {
        Some(view) => {
            let mut text = Vec::new();
            write_text(&view, Style { colour: false }, &mut text);
            print(&text)
        }
        None => print(message),
    }
}

fn print(text: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    // The reader may have seen enough.
    out.write_all(text).and_then(|()| out.flush()).map_err(|_| Failure::ClosedPipe)
}

/// The error, the line of the script that it names, and what the script was given.
fn explain(settings: &Settings, error: &str, input: Option<&str>) -> Exit {
    report(error);
    let script = &settings.script;
    let place = error.find(&format!("{}:", script.name)).map(|at| &error[at + script.name.len() + 1..]);
    let number = place.and_then(|text| text.split(':').next()?.parse::<usize>().ok());
    let line = number.and_then(|number| Some((number, script.code.lines().nth(number.checked_sub(1)?)?)));
    if let Some((number, line)) = line {
        report(&format!("{number:>6} | {line}"));
    }
    if let Some(input) = input {
        report(&format!("input: {input}"));
    }
    Exit::Negative
}

/// Runs case files; folders stand for those in them.
fn test(paths: &[PathBuf], args: &ScriptArgs) -> Result<Exit, Failure> {
    if paths.is_empty() {
        return Err(Failure::usage("which cases? heka-lua test DIR"));
    }
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    files.sort();
    let mut failed = 0;
    for file in &files {
        if let Err(message) = cases::run(file, args) {
            failed += 1;
            report(&format!("{}: {message}", file.display()));
        }
    }
    print(format!("{} passed, {failed} failed\n", files.len() - failed).as_bytes())?;
    if files.is_empty() {
        return Err(Failure::usage("no .case files there"));
    }
    Ok(if failed > 0 { Exit::Negative } else { Exit::Success })
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    if !path.is_dir() {
        // Says why if it can't be read.
        read_text(path)?;
        files.push(path.to_path_buf());
        return Ok(());
    }
    let entries = std::fs::read_dir(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "case") {
            files.push(path);
        }
    }
    Ok(())
}
