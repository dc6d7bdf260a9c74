//! Apache httpd: `LogFormat`.

use super::value::{Kind, strftime};
use super::{AccessLog, Compiler};

/// Compiles the text of an Apache `LogFormat`.
///
/// # Errors
/// Heka's sentence, with what is wrong.
pub fn apache(format: &str) -> Result<AccessLog, String> {
    let mut compiler = Compiler::default();
    let bytes = format.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'\\' => {
                let (character, len) = escape(&bytes[at..]);
                compiler.text(character);
                at += len;
            }
            b'%' => at += directive(&format[at..], &mut compiler)?,
            byte => compiler.text(byte),
        }
    }
    compiler.finish()
}

/// `\" \\ \t \n \ddd`; any other backslash stands for itself.
fn escape(rest: &[u8]) -> (u8, usize) {
    match rest {
        [b'"', ..] => (b'"', 1),
        [b'\\', ..] => (b'\\', 1),
        [b't', ..] => (b'\t', 1),
        [b'n', ..] => (b'\n', 1),
        [a, b, c, ..] if [a, b, c].iter().all(|byte| byte.is_ascii_digit()) => {
            let value = (a - b'0') as u32 * 100 + (b - b'0') as u32 * 10 + (c - b'0') as u32;
            if value < 256 { (value as u8, 3) } else { (b'\\', 0) }
        }
        _ => (b'\\', 0),
    }
}

/// What follows a `%`: its variable is added, its length answered.
fn directive(rest: &str, compiler: &mut Compiler) -> Result<usize, String> {
    let bytes = rest.as_bytes();
    // Conditions (`!200,304`) and `<` `>` change which requests are logged, or of which; not how.
    let mut at =
        bytes.iter().take_while(|byte| matches!(byte, b'!' | b',' | b'<' | b'>') || byte.is_ascii_digit()).count();
    let mut argument = None;
    if bytes.get(at) == Some(&b'{') {
        let end = rest[at..].find('}').ok_or("could not parse the log_format configuration: a { without its }")?;
        argument = Some(&rest[at + 1..at + end]);
        at += end + 1;
        at += bytes[at..].iter().take_while(|byte| matches!(byte, b'<' | b'>')).count();
    }
    let letter = rest[at..].chars().next().ok_or("could not parse the log_format configuration: it ends in %")?;
    at += letter.len_utf8();
    if letter == '%' {
        compiler.text(b'%');
        return Ok(at);
    }
    let (name, kind) = match argument {
        Some(argument) => apache_with_argument(letter, argument)?,
        None => {
            let (name, kind) = apache_variable(letter).ok_or(format!("unknown variable: {letter}"))?;
            (name.to_string(), kind)
        }
    };
    compiler.variable(&format!("%{}", &rest[..at]), &name, kind);
    Ok(at)
}

fn apache_variable(letter: char) -> Option<(&'static str, Kind)> {
    Some(match letter {
        'a' | 'h' => ("remote_addr", Kind::Host),
        'A' => ("server_addr", Kind::Host),
        'b' | 'B' => ("body_bytes_sent", Kind::Integer("B")),
        'D' => ("request_time", Kind::Integer("us")),
        'T' => ("request_time", Kind::Integer("s")),
        'I' => ("request_length", Kind::Integer("B")),
        'O' => ("response_length", Kind::Integer("B")),
        'S' => ("total_length", Kind::Integer("B")),
        's' => ("status", Kind::Integer("")),
        'k' => ("connection_requests", Kind::Integer("")),
        'p' => ("server_port", Kind::Integer("")),
        'P' => ("pid", Kind::Integer("")),
        't' => ("time", Kind::Clf { bracketed: true }),
        'v' | 'V' => ("server_name", Kind::Host),
        'H' => ("server_protocol", Kind::Protocol),
        'm' => ("request_method", Kind::Text),
        'X' => ("connection_status", Kind::Word(&["X", "+", "-"])),
        'l' | 'u' => ("remote_user", Kind::Text),
        'r' => ("request", Kind::Text),
        'q' => ("query_string", Kind::Text),
        'U' => ("uri", Kind::Text),
        'f' => ("request_filename", Kind::Text),
        'L' => ("request_log_id", Kind::Text),
        'R' => ("request_handler", Kind::Text),
        _ => return None,
    })
}

fn apache_with_argument(letter: char, argument: &str) -> Result<(String, Kind), String> {
    let lower = argument.to_ascii_lowercase().replace('-', "_");
    Ok(match letter {
        'i' => (format!("http_{lower}"), Kind::Text),
        'o' => (format!("sent_http_{lower}"), Kind::Text),
        'C' => (format!("cookie_{argument}"), Kind::Text),
        'e' => (format!("env_{argument}"), Kind::Text),
        'n' => (format!("module_{argument}"), Kind::Text),
        // mod_ssl's variables, such as SSL_PROTOCOL.
        'x' | 'c' => (lower, Kind::Text),
        'a' => ("remote_addr".into(), Kind::Host),
        'p' => match argument {
            "canonical" | "local" => ("server_port".into(), Kind::Integer("")),
            "remote" => ("remote_port".into(), Kind::Integer("")),
            _ => return Err(format!("unknown port format: {argument}")),
        },
        'P' => match argument {
            "pid" | "tid" => (argument.into(), Kind::Integer("")),
            "hextid" => ("tid".into(), Kind::Hexadecimal),
            _ => return Err(format!("unknown pid format: {argument}")),
        },
        'T' => match argument {
            "s" => ("request_time".into(), Kind::Integer("s")),
            "ms" => ("request_time".into(), Kind::Integer("ms")),
            "us" => ("request_time".into(), Kind::Integer("us")),
            _ => return Err(format!("unknown time unit: {argument}")),
        },
        't' => {
            let format = argument.strip_prefix("begin:").or(argument.strip_prefix("end:")).unwrap_or(argument);
            match format {
                "%z" => ("zone".into(), Kind::Zone),
                "sec" => ("time".into(), Kind::Epoch { per_second: 1 }),
                "msec" => ("time".into(), Kind::Epoch { per_second: 1_000 }),
                "usec" => ("time".into(), Kind::Epoch { per_second: 1_000_000 }),
                "msec_frac" => ("sec_frac".into(), Kind::SubSecond(1_000)),
                "usec_frac" => ("sec_frac".into(), Kind::SubSecond(1_000_000)),
                _ => {
                    date_time_format(format)?;
                    ("time".into(), Kind::Strftime(format.to_string()))
                }
            }
        }
        _ => return Err(format!("unknown variable: {letter}")),
    })
}

/// Refuses a format that could never be read.
fn date_time_format(format: &str) -> Result<(), String> {
    let sample = jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
    let broken = || format!("could not parse the strftime format: {format}");
    let text = jiff::fmt::strtime::format(format, &sample).map_err(|_| broken())?;
    if format.is_empty() || strftime(&text, format).is_none() {
        return Err(broken());
    }
    Ok(())
}
