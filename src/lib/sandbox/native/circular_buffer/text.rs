//! Buffers as text: for payloads, and for state files.

use std::ffi::c_int;
use std::io::Write as _;

use mlua::ffi;

use super::super::super::host::{Host, check_bytes};
use super::super::super::number;
use super::super::super::raw::{State, raise};
use super::super::class::put_quoted;
use super::notes::{clear_deltas, each_annotation, each_delta, note_delta};
use super::ring::{Buffer, Head, text_of, whole_seconds};
use super::{check_arguments, this};

/// An absolute stack index.
unsafe fn absolute(state: State, index: c_int) -> c_int {
    // SAFETY: reads the stack.
    unsafe { if index > 0 { index } else { ffi::lua_gettop(state) + index + 1 } }
}

fn put_header(buffer: &Buffer<'_>, out: &mut Vec<u8>, annotations: Option<&[u8]>) {
    let head = &buffer.head;
    let _ = write!(
        out,
        r#"{{"time":{},"rows":{},"columns":{},"seconds_per_row":{},"column_info":["#,
        buffer.oldest(),
        head.rows,
        head.columns,
        head.seconds
    );
    for (place, column) in buffer.columns.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(br#"{"name":""#);
        out.extend_from_slice(text_of(&column.name));
        out.extend_from_slice(br#"","unit":""#);
        out.extend_from_slice(text_of(&column.unit));
        let _ = write!(out, r#"","aggregation":"{}"}}"#, column.aggregation.name());
    }
    out.push(b']');
    if let Some(annotations) = annotations.filter(|text| !text.is_empty()) {
        out.extend_from_slice(b",\"annotations\":[");
        out.extend_from_slice(annotations);
        out.push(b']');
    }
    out.extend_from_slice(b"}\n");
}

fn put_row(row: &[f64], out: &mut Vec<u8>) {
    for (place, value) in row.iter().enumerate() {
        if place > 0 {
            out.push(b'\t');
        }
        number::put_payload(*value, out);
    }
    out.push(b'\n');
}

/// The window, or the pending deltas, as the format says; see the class.
pub unsafe fn output(state: State, index: c_int, out: &mut Vec<u8>) {
    // SAFETY: the object is of the class, and stays on the stack.
    unsafe {
        let index = absolute(state, index);
        let buffer = Buffer::of(ffi::lua_touserdata(state, index).cast::<Head>());
        if buffer.head.as_delta {
            return output_deltas(state, index, &buffer, out);
        }
        let mut annotations = Vec::new();
        let oldest = buffer.oldest();
        each_annotation(state, index, |time, column, alert, text| {
            if time < oldest {
                return;
            }
            if !annotations.is_empty() {
                annotations.push(b',');
            }
            let kind = if alert { 'a' } else { 'i' };
            let text = serde_json::Value::from(String::from_utf8_lossy(text));
            let _ = write!(annotations, r#"{{"x":{},"col":{column},"shortText":"{kind}","text":{text}}}"#, time * 1000);
        });
        put_header(&buffer, out, Some(&annotations));
        let (rows, columns) = (buffer.head.rows, buffer.head.columns);
        for step in 1..=rows {
            let row = (buffer.head.newest_row + step) % rows;
            put_row(&buffer.values[row * columns..(row + 1) * columns], out);
        }
    }
}

/// The rows that were touched, newest first; they count as printed then.
unsafe fn output_deltas(state: State, index: c_int, buffer: &Buffer<'_>, out: &mut Vec<u8>) {
    // SAFETY: as `output`. The list of rows is gone before anything can raise.
    unsafe {
        if !buffer.head.delta {
            return;
        }
        let any = {
            let mut rows: Vec<(i64, Vec<f64>)> = Vec::new();
            each_delta(state, index, buffer.head.columns, |time, row| rows.push((time, row.to_vec())));
            rows.sort_unstable_by_key(|(time, _)| std::cmp::Reverse(*time));
            if !rows.is_empty() {
                put_header(buffer, out, None);
            }
            for (time, row) in &rows {
                let _ = write!(out, "{time}\t");
                put_row(row, out);
            }
            !rows.is_empty()
        };
        if any {
            clear_deltas(state, index);
        }
    }
}

/// Numbers of saved buffers: enough digits to come back equal.
fn put_number(value: f64, out: &mut Vec<u8>) {
    out.push(b' ');
    match value {
        value if value.is_nan() => out.extend_from_slice(b"nan"),
        value if value.is_infinite() => out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" }),
        value => number::put_exact(value, out),
    }
}

/// See the class.
pub unsafe fn save(state: State, index: c_int, path: &[u8], out: &mut Vec<u8>) {
    // SAFETY: as `output`.
    unsafe {
        let index = absolute(state, index);
        let buffer = Buffer::of(ffi::lua_touserdata(state, index).cast::<Head>());
        let Head { rows, columns, seconds, newest, newest_row, delta, .. } = *buffer.head;
        out.extend_from_slice(b"if ");
        out.extend_from_slice(path);
        out.extend_from_slice(b" == nil then ");
        out.extend_from_slice(path);
        let _ = write!(out, " = circular_buffer.new({rows}, {columns}, {seconds}");
        out.extend_from_slice(if delta { b", true) end\n" } else { b") end\n" });
        for (place, column) in buffer.columns.iter().enumerate() {
            out.extend_from_slice(path);
            let _ = write!(out, ":set_header({}, \"", place + 1);
            out.extend_from_slice(text_of(&column.name));
            out.extend_from_slice(b"\", \"");
            out.extend_from_slice(text_of(&column.unit));
            let _ = writeln!(out, "\", \"{}\")", column.aggregation.name());
        }
        out.extend_from_slice(path);
        let _ = write!(out, ":fromstring(\"{newest} {newest_row}");
        buffer.values.iter().for_each(|value| put_number(*value, out));
        if delta {
            each_delta(state, index, columns, |time, row| {
                let _ = write!(out, " {time}");
                row.iter().for_each(|value| put_number(*value, out));
            });
        }
        out.extend_from_slice(b"\")\n");
        let oldest = buffer.oldest();
        each_annotation(state, index, |time, column, alert, text| {
            if time >= oldest {
                out.extend_from_slice(path);
                let kind = if alert { "alert" } else { "info" };
                let _ = write!(out, ":annotate({time}e9, {column}, \"{kind}\", ");
                put_quoted(out, text);
                out.extend_from_slice(b", false)\n");
            }
        });
    }
}

/// `fromstring(text)`: what [`save`] wrote.
pub unsafe extern "C-unwind" fn from_string(state: State) -> c_int {
    // SAFETY: see `this`; nothing that needs a destructor is alive where something raises.
    unsafe {
        check_arguments(state, 2, 2);
        let buffer = this(state);
        let text = check_bytes(state, 2);
        let mut numbers = text
            .split(|byte| *byte == b' ')
            .filter(|word| !word.is_empty())
            .map(|word| std::str::from_utf8(word).ok().and_then(|word| word.parse::<f64>().ok()));
        let wanted = buffer.values.len();
        let (newest, row) = (numbers.next().flatten(), numbers.next().flatten());
        let (Some(newest), Some(row)) = (newest, row) else {
            let host = Host::of(state);
            host.raise(state, format!("fromstring() too few values: 0, expected {wanted}"));
        };
        if row < 0.0 || row as usize >= buffer.head.rows {
            raise(state, "fromstring() invalid row");
        }
        buffer.head.newest = whole_seconds(newest);
        buffer.head.newest_row = row as usize;
        for (place, cell) in buffer.values.iter_mut().enumerate() {
            let Some(Some(value)) = numbers.next() else {
                Host::of(state).raise(state, format!("fromstring() too few values: {place}, expected {wanted}"));
            };
            *cell = value;
        }
        if buffer.head.delta {
            clear_deltas(state, 1);
        }
        while let Some(time) = numbers.next() {
            if !buffer.head.delta {
                Host::of(state).raise(state, format!("fromstring() too many values, more than: {wanted}"));
            }
            let Some(time) = time else { raise(state, "fromstring() invalid delta") };
            for column in 0..buffer.head.columns {
                let Some(Some(value)) = numbers.next() else { raise(state, "fromstring() invalid delta") };
                note_delta(state, &buffer, whole_seconds(time), column, value, true);
            }
        }
        0
    }
}
