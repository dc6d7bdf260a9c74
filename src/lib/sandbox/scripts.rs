//! The scripts that ship, compiled in, and where others are found.

use std::path::{Path, PathBuf};

use super::host::Kind;
use crate::pipeline::{Failure, read_text};

const DECODERS: [(&str, &str); 16] = [
    ("apache_access", include_str!("../../../lua/decoders/apache_access.lua")),
    ("bind_query_log", include_str!("../../../lua/decoders/bind_query_log.lua")),
    ("graylog_extended", include_str!("../../../lua/decoders/graylog_extended.lua")),
    ("json", include_str!("../../../lua/decoders/json.lua")),
    ("linux_diskstats", include_str!("../../../lua/decoders/linux_diskstats.lua")),
    ("linux_loadavg", include_str!("../../../lua/decoders/linux_loadavg.lua")),
    ("linux_memstats", include_str!("../../../lua/decoders/linux_memstats.lua")),
    ("linux_netdev", include_str!("../../../lua/decoders/linux_netdev.lua")),
    ("linux_netstat", include_str!("../../../lua/decoders/linux_netstat.lua")),
    ("linux_procstat", include_str!("../../../lua/decoders/linux_procstat.lua")),
    ("mariadb_slow_query", include_str!("../../../lua/decoders/mariadb_slow_query.lua")),
    ("mysql_slow_query", include_str!("../../../lua/decoders/mysql_slow_query.lua")),
    ("nginx_access", include_str!("../../../lua/decoders/nginx_access.lua")),
    ("nginx_error", include_str!("../../../lua/decoders/nginx_error.lua")),
    ("nginx_stub_status", include_str!("../../../lua/decoders/nginx_stub_status.lua")),
    ("rsyslog", include_str!("../../../lua/decoders/rsyslog.lua")),
];

const FILTERS: [(&str, &str); 17] = [
    ("cbufd_aggregator", include_str!("../../../lua/filters/cbufd_aggregator.lua")),
    ("cbufd_host_aggregator", include_str!("../../../lua/filters/cbufd_host_aggregator.lua")),
    ("diskstats", include_str!("../../../lua/filters/diskstats.lua")),
    ("frequent_items", include_str!("../../../lua/filters/frequent_items.lua")),
    ("heartbeat", include_str!("../../../lua/filters/heartbeat.lua")),
    ("heka_memstat", include_str!("../../../lua/filters/heka_memstat.lua")),
    ("heka_message_schema", include_str!("../../../lua/filters/heka_message_schema.lua")),
    ("heka_process_message_failures", include_str!("../../../lua/filters/heka_process_message_failures.lua")),
    ("http_status", include_str!("../../../lua/filters/http_status.lua")),
    ("influx_batch", include_str!("../../../lua/filters/influx_batch.lua")),
    ("loadavg", include_str!("../../../lua/filters/loadavg.lua")),
    ("log_aggregator", include_str!("../../../lua/filters/log_aggregator.lua")),
    ("memstats", include_str!("../../../lua/filters/memstats.lua")),
    ("mysql_slow_query", include_str!("../../../lua/filters/mysql_slow_query.lua")),
    ("procstat", include_str!("../../../lua/filters/procstat.lua")),
    ("stat_graph", include_str!("../../../lua/filters/stat_graph.lua")),
    ("unique_items", include_str!("../../../lua/filters/unique_items.lua")),
];

const ENCODERS: [(&str, &str); 9] = [
    ("alert", include_str!("../../../lua/encoders/alert.lua")),
    ("cbuf_librato", include_str!("../../../lua/encoders/cbuf_librato.lua")),
    ("es_payload", include_str!("../../../lua/encoders/es_payload.lua")),
    ("payload", include_str!("../../../lua/encoders/payload.lua")),
    ("schema_carbon_line", include_str!("../../../lua/encoders/schema_carbon_line.lua")),
    ("schema_influx", include_str!("../../../lua/encoders/schema_influx.lua")),
    ("schema_influx_line", include_str!("../../../lua/encoders/schema_influx_line.lua")),
    ("slack", include_str!("../../../lua/encoders/slack.lua")),
    ("statmetric_influx", include_str!("../../../lua/encoders/statmetric_influx.lua")),
];

const MODULES: [(&str, &str); 25] = [
    ("alert", include_str!("../../../lua/modules/alert.lua")),
    ("annotation", include_str!("../../../lua/modules/annotation.lua")),
    ("anomaly", include_str!("../../../lua/modules/anomaly.lua")),
    ("bind", include_str!("../../../lua/modules/bind.lua")),
    ("cbufd", include_str!("../../../lua/modules/cbufd.lua")),
    ("cef", include_str!("../../../lua/modules/cef.lua")),
    ("chart", include_str!("../../../lua/modules/chart.lua")),
    ("common_log_format", include_str!("../../../lua/modules/common_log_format.lua")),
    ("date_time", include_str!("../../../lua/modules/date_time.lua")),
    ("elasticsearch", include_str!("../../../lua/modules/elasticsearch.lua")),
    ("field_util", include_str!("../../../lua/modules/field_util.lua")),
    ("gauges", include_str!("../../../lua/modules/gauges.lua")),
    ("graphite", include_str!("../../../lua/modules/graphite.lua")),
    ("influx_options", include_str!("../../../lua/modules/influx_options.lua")),
    ("ip_address", include_str!("../../../lua/modules/ip_address.lua")),
    ("linux_stats", include_str!("../../../lua/modules/linux_stats.lua")),
    ("listing", include_str!("../../../lua/modules/listing.lua")),
    ("msg_interpolate", include_str!("../../../lua/modules/msg_interpolate.lua")),
    ("mysql", include_str!("../../../lua/modules/mysql.lua")),
    ("sfl4j", include_str!("../../../lua/modules/sfl4j.lua")),
    ("slow_query", include_str!("../../../lua/modules/slow_query.lua")),
    ("syslog", include_str!("../../../lua/modules/syslog.lua")),
    ("ts_line_protocol", include_str!("../../../lua/modules/ts_line_protocol.lua")),
    ("util", include_str!("../../../lua/modules/util.lua")),
    ("web_access", include_str!("../../../lua/modules/web_access.lua")),
];

impl Kind {
    /// The scripts of that kind that ship.
    fn scripts(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Kind::Decoder => &DECODERS,
            Kind::Filter => &FILTERS,
            Kind::Encoder => &ENCODERS,
        }
    }

    /// Heka's directory for them.
    fn directory(self) -> &'static str {
        match self {
            Kind::Decoder => "lua_decoders/",
            Kind::Filter => "lua_filters/",
            Kind::Encoder => "lua_encoders/",
        }
    }
}

/// The text of a script of that kind that ships.
pub fn shipped(kind: Kind, name: &str) -> Option<&'static str> {
    kind.scripts().iter().find(|(known, _)| *known == name).map(|(_, code)| *code)
}

/// The text of a module that ships.
pub fn module(name: &str) -> Option<&'static str> {
    MODULES.iter().find(|(known, _)| *known == name).map(|(_, code)| *code)
}

/// All scripts of that kind that ship, with their names.
#[cfg(test)]
pub fn all(kind: Kind) -> &'static [(&'static str, &'static str)] {
    kind.scripts()
}

/// A script's text and the name that its errors show.
#[derive(Clone, Debug)]
pub struct Script {
    pub name: String,
    pub code: String,
    /// Whether it came with the program, together with all that it may require. Decoders that ship keep nothing between
    /// messages.
    pub ships: bool,
}

impl Script {
    /// A text of the user's.
    pub fn new(name: impl Into<String>, code: impl Into<String>) -> Script {
        Script { name: name.into(), code: code.into(), ships: false }
    }

    /// A path, or the name of a script of that kind that ships, with or without `.lua` and Heka's directory.
    /// Directories of `path` come first.
    ///
    /// # Errors
    /// When it can't be read; when there is neither such a file nor such a name.
    pub fn find(name: &Path, path: &ModulePath, kind: Kind) -> Result<Script, Failure> {
        let directories = path.directories.iter().chain(&path.scripts);
        let in_path = directories.map(|directory| directory.join(name)).find(|file| file.is_file());
        let file = in_path.unwrap_or_else(|| name.to_path_buf());
        if file.exists() {
            let shown = file.file_name().map_or(file.to_string_lossy(), |name| name.to_string_lossy()).into_owned();
            return Ok(Script::new(shown, read_text(&file)?));
        }
        let text = name.to_string_lossy();
        let short = text.strip_prefix(kind.directory()).unwrap_or(&text);
        let short = short.strip_suffix(".lua").unwrap_or(short);
        match kind.scripts().iter().find(|(known, _)| *known == short) {
            Some((known, code)) => {
                let ships = path.directories.is_empty();
                Ok(Script { ships, ..Script::new(format!("{known}.lua"), *code) })
            }
            None => {
                let names: Vec<&str> = kind.scripts().iter().map(|(known, _)| *known).collect();
                Err(Failure::usage(format!(
                    "{text}: no such file, and no script of that name ships (those that do: {})",
                    names.join(", ")
                )))
            }
        }
    }
}

/// Directories where `require` looks before it takes a module that ships.
#[derive(Clone, Debug, Default)]
pub struct ModulePath {
    pub directories: Vec<PathBuf>,
    /// Where scripts alone are looked for, after those.
    pub scripts: Vec<PathBuf>,
}

impl ModulePath {
    /// Each item may hold several directories, separated by `;` as in Heka's `module_directory`.
    pub fn new(items: &[String]) -> ModulePath {
        let directories = items.iter().flat_map(|item| item.split(';')).filter(|directory| !directory.is_empty());
        ModulePath { directories: directories.map(PathBuf::from).collect(), scripts: Vec::new() }
    }

    /// The text of a module and its file; or the names that were tried. A dot in a name is a directory.
    pub fn find(&self, module: &str) -> Result<(Vec<u8>, String), String> {
        let relative = format!("{}.lua", module.replace('.', "/"));
        let mut tried = String::new();
        for directory in &self.directories {
            let file = directory.join(&relative);
            match std::fs::read(&file) {
                Ok(code) => return Ok((code, file.display().to_string())),
                Err(_) => tried.push_str(&format!("\n\tno file '{}'", file.display())),
            }
        }
        if let Some((name, code)) = MODULES.iter().find(|(name, _)| *name == module) {
            return Ok((code.as_bytes().to_vec(), format!("{name}.lua")));
        }
        if tried.is_empty() {
            tried = format!("\n\tno file '{relative}'");
        }
        Err(tried)
    }
}
