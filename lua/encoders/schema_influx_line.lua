--[[
Writes a message's fields as lines for InfluxDB (0.9 and later): one a value, with headers and fields as tags.

Configuration
- decimal_precision (string, default "6"): digits of numbers after the point.
- name_prefix (string, default none): before each name; may have %{...} in it, see the module msg_interpolate.
- name_prefix_delimiter (string, default none): between the prefix and the name.
- skip_fields (string, default none): fields that are left out, separated by blanks.
- source_value_field (string, default none): write this field only, named by the prefix.
- tag_fields (string, default "**all_base**"): headers and fields that are tags; **all_base** is Logger, Type, Severity and
  Hostname, **all** all fields too.
- timestamp_precision (string, default "ms"): or s, m, h.
- value_field_key (string, default "value")

Example
    heka-http --encoder schema_influx_line --config timestamp_precision=s \
        --url 'http://localhost:8086/write?db=stats&precision=s' stats.hpb
--]]

require "table"
local protocol = require "ts_line_protocol"
local config = require "influx_options" ()

function process_message()
    local lines = protocol.influxdb_line_msg(config)
    if #lines == 0 then return -2 end
    inject_payload("txt", "", table.concat(lines, "\n"), "\n")
    return 0
end
