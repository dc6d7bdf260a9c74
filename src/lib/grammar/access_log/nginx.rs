//! nginx: `log_format`.

use super::Escapes;
use super::value::{Kind, Upstream};
use super::{AccessLog, Compiler};

/// Compiles the text of an nginx `log_format`, or the directive as nginx's configuration has it.
///
/// # Errors
/// Heka's sentence, with what is wrong.
pub fn nginx(format: &str) -> Result<AccessLog, String> {
    let mut compiler = Compiler::default();
    let (format, escapes) = directive(format)?;
    let format = format.as_str();
    compiler.escapes = escapes;
    let bytes = format.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte != b'$' {
            compiler.text(byte);
            continue;
        }
        let braced = bytes.get(at) == Some(&b'{');
        at += braced as usize;
        let len = bytes[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        let name = &format[at..at + len];
        at += len;
        if name.is_empty() || (braced && bytes.get(at) != Some(&b'}')) {
            return Err("could not parse the log_format configuration: a $ without a variable's name".into());
        }
        at += braced as usize;
        let label = format!("${name}");
        let (name, kind) = nginx_variable(name);
        compiler.variable(&label, name, kind);
    }
    compiler.finish()
}

/// The text of a format, and how values are escaped: of `log_format NAME [escape=…] 'TEXT' …;`, else of what stands there,
/// of which nothing says it.
fn directive(text: &str) -> Result<(String, Escapes), String> {
    let Some(rest) = text.trim_start().strip_prefix("log_format").filter(|rest| rest.starts_with(char::is_whitespace))
    else {
        return Ok((unescaped(text), Escapes::None));
    };
    let wrong = |what: &str| format!("could not parse the log_format configuration: {what}");
    let name = rest.split_whitespace().next().ok_or_else(|| wrong("the directive has no name"))?;
    let mut rest = rest.trim_start().strip_prefix(name).unwrap_or_default().trim_start();
    let mut escapes = Escapes::Hexadecimal;
    if let Some(escape) = rest.strip_prefix("escape=") {
        let end = escape.find(char::is_whitespace).unwrap_or(escape.len());
        escapes = match &escape[..end] {
            "default" => Escapes::Hexadecimal,
            "json" => Escapes::Json,
            "none" => Escapes::None,
            other => return Err(wrong(&format!("escape={other} is none of default, json and none"))),
        };
        rest = escape[end..].trim_start();
    }
    let mut format = String::new();
    while let Some(quote @ ('\'' | '"')) = rest.chars().next() {
        let (mut end, mut escaped) = (None, false);
        for (at, character) in rest.char_indices().skip(1) {
            match character {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if character == quote => {
                    end = Some(at);
                    break;
                }
                _ => {}
            }
        }
        let end = end.ok_or_else(|| wrong("a quote has no end"))?;
        format += &unescaped(&rest[1..end]);
        rest = rest[end + 1..].trim_start();
    }
    match rest.trim_end() {
        "" | ";" if !format.is_empty() => Ok((format, escapes)),
        "" | ";" => Err(wrong("the directive has no text in quotes")),
        other => Err(wrong(&format!("after the quotes of the directive there is {other:?}"))),
    }
}

/// As nginx's configuration takes a text in quotes.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let mut after = characters.clone();
        let escaped = match (character, after.next()) {
            ('\\', Some('t')) => '\t',
            ('\\', Some('r')) => '\r',
            ('\\', Some('n')) => '\n',
            ('\\', Some(other @ ('"' | '\'' | '\\'))) => other,
            _ => {
                plain.push(character);
                continue;
            }
        };
        plain.push(escaped);
        characters = after;
    }
    plain
}

fn nginx_variable(name: &str) -> (&str, Kind) {
    let kind = match name {
        "body_bytes_sent" | "bytes_sent" | "content_length" | "request_length" => Kind::Integer("B"),
        "connection"
        | "connection_requests"
        | "pid"
        | "remote_port"
        | "server_port"
        | "tcpinfo_rtt"
        | "tcpinfo_rttvar"
        | "tcpinfo_snd_cwnd"
        | "tcpinfo_rcv_space" => Kind::Integer(""),
        "status" => Kind::ThreeDigits,
        "request_time" => Kind::Seconds,
        "msec" => return ("time", Kind::EpochSeconds),
        "time_iso8601" => return ("time", Kind::Rfc3339),
        "time_local" => return ("time", Kind::Clf { bracketed: false }),
        "host" | "hostname" | "remote_addr" | "server_addr" | "server_name" | "proxy_protocol_addr" => Kind::Host,
        "https" => Kind::Word(&["on", ""]),
        "is_args" => Kind::Word(&["?", ""]),
        "request_completion" => Kind::Word(&["OK", ""]),
        "pipe" => Kind::Word(&["p", "."]),
        "scheme" => Kind::Word(&["https", "http"]),
        "request_method" => {
            Kind::Word(&["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH"])
        }
        "server_protocol" => Kind::Protocol,
        "nginx_version" => Kind::DottedVersion,
        "binary_remote_addr" => Kind::FourBytes,
        "upstream_addr" => Kind::Upstream(Upstream::Address),
        "upstream_status" => Kind::Upstream(Upstream::Status),
        "upstream_response_time"
        | "upstream_connect_time"
        | "upstream_header_time"
        | "upstream_first_byte_time"
        | "upstream_session_time"
        | "upstream_queue_time" => Kind::Upstream(Upstream::Time),
        "upstream_response_length" | "upstream_bytes_received" | "upstream_bytes_sent" => {
            Kind::Upstream(Upstream::Length)
        }
        "upstream_cache_status" => {
            Kind::Word(&["HIT", "MISS", "EXPIRED", "BYPASS", "STALE", "UPDATING", "REVALIDATED", "-"])
        }
        "upstream_cache_last_modified" => Kind::HttpDate,
        _ => Kind::Text,
    };
    (name, kind)
}
