--[[
Collects messages as lines for InfluxDB, many in a payload.

Configuration
- flush_count (uint, default 0): inject after so many messages; 0 is at ticks only.
- The options of the encoder schema_influx_line.

Example
    heka-sandbox --lua influx_batch --config flush_count=500 --ticker 10 --output-limit 1M stats.hpb |
        heka-http --encoder payload --url http://localhost:8086/write?db=stats

Injects payloads of type txt named "influx_line"; one that would pass --output-limit goes out before.
--]]

local protocol = require "ts_line_protocol"
local config = require "influx_options" ()
local limit = require "listing".limit
local flush_count = tonumber(read_config("flush_count")) or 0
local count, used = 0, 0

local function flush()
    count, used = 0, 0
    inject_payload("txt", "influx_line")
end

function process_message()
    for _, line in ipairs(protocol.influxdb_line_msg(config)) do
        if #line >= limit then return -1, "a line is longer than output_limit" end
        if used + #line >= limit then flush() end
        add_to_payload(line, "\n")
        used = used + #line + 1
    end
    count = count + 1
    if flush_count > 0 and count >= flush_count then flush() end
    return 0
end

function timer_event(ns)
    flush()
end
