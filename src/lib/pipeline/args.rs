//! Starting a program: arguments that several share, usage errors on one line, generated man pages and completions.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser};

use super::signals::outlive_signals;
use super::thread::report_panics;
use super::{Exit, Failure, report, set_program, summarize};
use crate::grammar::date_time::{iso, unix_seconds};
use crate::stream::DEFAULT_READ_MESSAGE;

/// For programs that read messages.
#[derive(Args, Clone, Debug)]
pub struct InputArgs {
    /// Files of framed Heka messages; `-` is standard input, which is also read when none is given
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Skip, and report, messages that are longer (K, M and G are powers of 1024)
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_READ_MESSAGE, value_parser = parse_size,
          hide_default_value = true)]
    pub max_message_size: usize,
}

/// For every program.
#[derive(Args, Clone, Copy, Debug)]
pub struct StatsArgs {
    /// End with one line of counters in JSON on stderr (SIGUSR1 prints it at any time)
    #[arg(long)]
    pub stats: bool,
}

/// Reads `65536`, `64K`, `4M`.
pub fn parse_size(text: &str) -> Result<usize, String> {
    let (digits, shift) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 10),
        Some((at, 'm' | 'M')) => (&text[..at], 20),
        Some((at, 'g' | 'G')) => (&text[..at], 30),
        _ => (text, 0),
    };
    let number: usize = digits.parse().map_err(|_| "expected a size such as 65536, 64K or 4M".to_string())?;
    number.checked_shl(shift).filter(|size| size >> shift == number).ok_or("this size is too large".into())
}

/// Parses the arguments, runs the program, prints the one line if it failed.
pub fn main<A: Parser + CommandFactory>(run: impl FnOnce(A) -> Result<Exit, Failure>) -> ExitCode {
    main_with(std::env::args_os().collect(), run)
}

/// The same, for programs whose long options may have one dash, as Go's flags do: `-action=load`.
pub fn main_with_single_dashes<A: Parser + CommandFactory>(run: impl FnOnce(A) -> Result<Exit, Failure>) -> ExitCode {
    let command = A::command();
    let options: Vec<&str> = command.get_arguments().flat_map(long_names).collect();
    let is_long = |name: &str| options.contains(&name);
    let doubled = std::env::args_os().map(|argument| {
        let name = argument.to_str().and_then(|text| text.strip_prefix('-')).map(|text| text.split('=').next());
        if name.flatten().is_some_and(is_long) {
            [OsString::from("-"), argument].into_iter().collect()
        } else {
            argument
        }
    });
    main_with(doubled.collect(), run)
}

fn long_names(argument: &clap::Arg) -> impl Iterator<Item = &str> {
    argument.get_long().into_iter().chain(argument.get_all_aliases().into_iter().flatten())
}

fn main_with<A: Parser + CommandFactory>(
    arguments: Vec<OsString>,
    run: impl FnOnce(A) -> Result<Exit, Failure>,
) -> ExitCode {
    let name = A::command().get_name().to_string();
    set_program(&name);
    if let [_, flag, what] = &arguments[..]
        && flag == "--generate"
    {
        return generate(A::command(), &what.to_string_lossy());
    }
    let args = match A::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            report(&usage_line(&error));
            return ExitCode::from(Exit::Usage as u8);
        }
    };
    report_panics();
    outlive_signals();
    let exit = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(args))) {
        Ok(Ok(exit)) => exit,
        Ok(Err(Failure::ClosedPipe)) => Exit::Success,
        Ok(Err(Failure::Message(exit, message))) => {
            report(&message);
            exit
        }
        Err(_) => Exit::Failed,
    };
    summarize();
    ExitCode::from(exit as u8)
}

/// clap explains over several lines: the error, a tip, the usage. The first two say it.
fn usage_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let mut line = String::new();
    for part in text.lines().map(str::trim).filter(|part| !part.is_empty()) {
        if part.starts_with("Usage:") || part.starts_with("For more information") {
            break;
        }
        let part = part.strip_prefix("error: ").unwrap_or(part);
        if !line.is_empty() {
            line.push_str(if line.ends_with(':') { " " } else { "; " });
        }
        line.push_str(part);
    }
    line + " (see --help)"
}

fn generate(mut command: clap::Command, what: &str) -> ExitCode {
    use clap_complete::Shell;
    let name = command.get_name().to_string();
    // The help wraps to the terminal; the generated files must not depend on it.
    command = command.term_width(100);
    let mut out = std::io::stdout();
    let shell = match what {
        "man" => {
            let written = render_man(command, &mut out);
            return if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(Exit::Failed as u8) };
        }
        "bash" => Shell::Bash,
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        _ => {
            report("--generate takes man, bash, zsh or fish");
            return ExitCode::from(Exit::Usage as u8);
        }
    };
    clap_complete::generate(shell, &mut command, name, &mut out);
    ExitCode::SUCCESS
}

/// The man page, its commands' arguments included.
fn render_man(command: clap::Command, out: &mut impl std::io::Write) -> std::io::Result<()> {
    let commands: Vec<clap::Command> = command.get_subcommands().cloned().collect();
    let name = command.get_name().to_string();
    clap_mangen::Man::new(command).render(out)?;
    for command in commands.into_iter().filter(|command| command.get_name() != "help") {
        writeln!(out, ".SH \"{name} {}\"", command.get_name())?;
        let section = clap_mangen::Man::new(command);
        section.render_description_section(out)?;
        section.render_options_section(out)?;
    }
    Ok(())
}

/// Reads seconds, with a fraction if need be.
pub fn parse_seconds(text: &str) -> Result<std::time::Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected seconds, such as 10 or 0.5".to_string())?;
    std::time::Duration::try_from_secs_f64(seconds).map_err(|_| "expected seconds, such as 10 or 0.5".to_string())
}

/// Reads `250ms`, `1h30m`, `720h`: numbers with a unit, as Heka's files have them.
pub fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let wrong = || "expected a number with a unit, such as 500ms, 10s, 5m or 720h".to_string();
    // Go writes minutes as m, and so do people; a bare 0 needs no unit.
    if text == "0" {
        return Ok(std::time::Duration::ZERO);
    }
    let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    std::time::Duration::try_from(span).map_err(|_| wrong())
}

/// A moment, ns since 1970: RFC 3339, or seconds with a fraction.
pub fn parse_time(text: &str) -> Result<i64, String> {
    let full = iso(text.as_bytes()).filter(|&(_, offset, len)| offset.is_some() && len == text.len());
    let time = full.map(|(time, ..)| time).or_else(|| unix_seconds(text));
    time.ok_or_else(|| "expected a time such as 2026-11-21T06:00:00Z, or seconds since 1970".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn durations_have_units() {
        for (text, milliseconds) in [
            ("250ms", 250),
            ("720h", 2_592_000_000),
            ("2h45m", 9_900_000),
            ("1.5h", 5_400_000),
            ("0", 0),
            ("0s", 0),
            ("5m", 300_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["5000", "", "h", "-5s", "5 parsecs"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
