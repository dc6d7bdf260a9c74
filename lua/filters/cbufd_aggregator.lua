--[[
Puts the deltas of the same circular buffer from many places together: the view of a whole site.

Configuration
- enable_delta (bool, default false): inject deltas too, for the next level.
- anomaly_config (string, default none): what is unusual; see the module anomaly.
- preservation_version (uint, default 0): a new number makes a restart begin with empty windows.

Example
    heka-sandbox --lua cbufd_aggregator --match "Fields[payload_type] == 'cbufd'" --ticker 60 deltas.hpb |
        heka-cat --format payload

Takes payloads of type cbufd; injects one of type cbuf for each name (and with enable_delta one of type cbufd).
--]]

require "circular_buffer"
local alert = require "alert"
local cbufd = require "cbufd"
local chart = require "chart"
require "math"
local sorted_keys = require "util".sorted_keys

local enable_delta = read_config("enable_delta") or false
chart.preservation_version()

-- Buffers by payload name.
data = {}

local function make(name, header)
    local info = cbufd.read_header(header)
    if not info then return nil end
    local made, buffer = pcall(circular_buffer.new, info.rows, info.columns, info.seconds_per_row, enable_delta)
    if not made or #info.column_info ~= info.columns then return nil end
    for column, described in ipairs(info.column_info) do
        if not pcall(buffer.set_header, buffer, column, described.name, described.unit, described.aggregation) then
            return nil
        end
    end
    chart.configure(name, info.rows * info.seconds_per_row * 1e9)
    data[name] = buffer
    return buffer
end

function process_message()
    local delta = cbufd.grammar:match(read_message("Payload"))
    if not delta then return -1 end
    local name = read_message("Fields[payload_name]") or ""
    local buffer = data[name] or make(name, delta.header)
    if not buffer then return -1 end

    local _, columns = buffer:get_configuration()
    for _, row in ipairs(delta) do
        for column = 1, math.min(columns, #row) do
            local _, _, aggregation = buffer:get_header(column)
            cbufd.apply(buffer, row.time, column, row[column], aggregation)
        end
    end
    return 0
end

function timer_event(ns)
    for _, name in ipairs(sorted_keys(data)) do
        local buffer = data[name]
        local text = chart.detect(ns, name, buffer)
        if text then alert.queue(ns, text) end
        chart.inject_buffer(ns, name, buffer)
        if enable_delta then
            inject_payload("cbufd", name, buffer:format("cbufd"))
            buffer:format("cbuf")
        end
    end
    alert.send_queue(ns)
end
