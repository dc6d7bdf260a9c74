//! What a manager writes down of its filters, and how that is shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::crew::Status;
use super::directory::{Contents, contents, is_at_work, manager_of};
use super::plan::Plan;
use crate::message::now_ns;
use crate::pipeline::{Failure, describe};
use crate::sandbox::Limits;

/// What a filter was loaded with.
pub struct Described {
    expression: String,
    ticker: u64,
    preserves: bool,
    limits: Limits,
}

impl Described {
    pub fn new(plan: &Plan) -> Described {
        Described {
            expression: plan.expression.clone(),
            ticker: plan.ticker.as_secs(),
            preserves: plan.state.is_some(),
            limits: plan.settings.limits,
        }
    }
}

/// Replaces a manager's status file.
///
/// # Errors
/// When it can't be written.
pub fn write_status<'d>(
    path: &Path,
    manager: &str,
    max_filters: usize,
    statuses: &[Status],
    described: impl Fn(&str) -> Option<&'d Described>,
) -> Result<(), Failure> {
    let filters: serde_json::Map<String, Json> = statuses
        .iter()
        .filter_map(|status| {
            let of = described(&status.name)?;
            let usage = &status.usage;
            let filter = json!({
                "message_matcher": of.expression,
                "ticker_interval": of.ticker,
                "preserve_data": of.preserves,
                "messages": status.messages,
                "failures": status.failures,
                "injected": status.injected,
                "mean_duration_ns": status.mean,
                "memory": usage.memory,
                "max_memory": usage.max_memory,
                "memory_limit": of.limits.memory,
                "max_instructions": usage.max_instructions,
                "instruction_limit": of.limits.instructions,
                "max_output": usage.max_output,
                "output_limit": of.limits.output,
            });
            Some((status.name.clone(), filter))
        })
        .collect();
    let status = json!({
        "manager": manager,
        "pid": std::process::id(),
        "time": now_ns(),
        "max_filters": max_filters,
        "filters": filters,
    });
    // Each second, and of no use after a crash: it needn't be synced.
    let temporary = path.with_extension("status.tmp");
    std::fs::write(&temporary, format!("{status}\n"))
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(|error| Failure::failed(format!("{}: {}", path.display(), describe(&error))))
}

/// A filter of a directory.
pub struct Listed {
    pub name: String,
    /// `running`, `stopped` (its manager is), `failed`.
    pub state: &'static str,
    pub error: Option<String>,
    /// What its manager last wrote of it, as the status file has it; null when nothing.
    pub status: Json,
}

/// The filters of a directory, by name.
///
/// # Errors
/// When it can't be read.
pub fn list(path: &Path) -> Result<Vec<Listed>, Failure> {
    let Contents { loaded, failed } = contents(path)?;
    let mut managers: BTreeMap<String, (bool, Json)> = BTreeMap::new();
    for name in loaded.iter().chain(failed.iter().map(|(name, _)| name)) {
        let manager = manager_of(name).unwrap_or_default();
        managers.entry(manager.to_string()).or_insert_with(|| {
            let status = std::fs::read(path.join(format!("{manager}.status"))).unwrap_or_default();
            (is_at_work(path, manager), serde_json::from_slice(&status).unwrap_or_default())
        });
    }
    let of = |name: &str| managers.get(manager_of(name).unwrap_or_default());
    let mut listed: Vec<Listed> = loaded
        .into_iter()
        .map(|name| {
            let at_work = of(&name).is_some_and(|(at_work, _)| *at_work);
            let status = of(&name).and_then(|(_, status)| status.get("filters")?.get(&name)).cloned();
            let state = if at_work { "running" } else { "stopped" };
            Listed { state, error: None, status: status.unwrap_or_default(), name }
        })
        .collect();
    let failed = failed.into_iter().filter(|(name, _)| !listed.iter().any(|other| other.name == *name));
    let failed: Vec<Listed> =
        failed.map(|(name, error)| Listed { name, state: "failed", error: Some(error), status: Json::Null }).collect();
    listed.extend(failed);
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(listed)
}

/// The list as JSON, an object a line.
pub fn to_json_lines(listed: &[Listed]) -> String {
    let mut text = String::new();
    for filter in listed {
        let mut object = json!({"name": filter.name, "state": filter.state});
        if let Some(map) = object.as_object_mut() {
            map.extend(filter.error.iter().map(|error| ("error".to_string(), json!(error))));
            map.extend(filter.status.as_object().cloned().unwrap_or_default());
        }
        let _ = writeln!(text, "{object}");
    }
    text
}

/// The list as a table.
pub fn to_table(listed: &[Listed]) -> String {
    let heads =
        ["NAME", "STATE", "MESSAGES", "INJECTED", "MEMORY", "INSTRUCTIONS", "OUTPUT", "MATCHER, OR WHY IT ENDED"];
    let mut rows = vec![heads.map(str::to_string)];
    for filter in listed {
        let number = |key: &str| filter.status.get(key).and_then(Json::as_u64);
        let count = |key: &str| number(key).map_or("-".to_string(), |number| number.to_string());
        let of = |used: &str, limit: &str, show: fn(u64) -> String| match (number(used), number(limit)) {
            (Some(used), Some(0)) => show(used),
            (Some(used), Some(limit)) => format!("{} of {}", show(used), show(limit)),
            _ => "-".into(),
        };
        let matcher = filter.status.get("message_matcher").and_then(Json::as_str).unwrap_or("-");
        rows.push([
            filter.name.clone(),
            filter.state.to_string(),
            count("messages"),
            count("injected"),
            of("max_memory", "memory_limit", size),
            of("max_instructions", "instruction_limit", |number| number.to_string()),
            of("max_output", "output_limit", size),
            filter.error.as_deref().unwrap_or(matcher).to_string(),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        // A script's words may hold anything.
        let shown: String = line.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let _ = writeln!(text, "{shown}");
    }
    text
}

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => bytes.to_string(),
        1024..1_048_576 => format!("{:.1}K", bytes as f64 / 1024.0),
        _ => format!("{:.1}M", bytes as f64 / 1_048_576.0),
    }
}
