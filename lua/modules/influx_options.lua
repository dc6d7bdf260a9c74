--[[
The options of scripts that write InfluxDB's line protocol, as ts_line_protocol takes them.

    config = require "influx_options" ()
--]]

local protocol = require "ts_line_protocol"
local read_config = read_config

return function()
    return protocol.set_config {
        decimal_precision = read_config("decimal_precision"),
        name_prefix = read_config("name_prefix"),
        name_prefix_delimiter = read_config("name_prefix_delimiter"),
        skip_fields_str = read_config("skip_fields"),
        source_value_field = read_config("source_value_field"),
        tag_fields_str = read_config("tag_fields"),
        timestamp_precision = read_config("timestamp_precision"),
        value_field_key = read_config("value_field_key"),
    }
end
