--[[
Writes the numbers of a message's fields as lines for Carbon (Graphite): name, value, seconds.

Configuration
- name_prefix (string, default none): before each name; may have %{...} in it, see the module msg_interpolate.
- name_prefix_delimiter (string, default "."): between the prefix and the name.
- skip_fields (string, default none): fields that are left out, separated by blanks.
- source_value_field (string, default none): write this field only, named by the prefix.

Example
    heka-cat --encoder schema_carbon_line --config name_prefix='%{Hostname}.%{Type}' stats.hpb | nc graphite 2003
--]]

require "table"
local protocol = require "ts_line_protocol"
local config = protocol.set_config {
    carbon_format = true,
    name_prefix = read_config("name_prefix"),
    name_prefix_delimiter = read_config("name_prefix_delimiter") or ".",
    skip_fields_str = read_config("skip_fields"),
    source_value_field = read_config("source_value_field"),
    timestamp_precision = "s",
}

function process_message()
    inject_payload("txt", "", table.concat(protocol.carbon_line_msg(config), "\n"), "\n")
    return 0
end
