--[[
Estimates how many different values of a header or field there are in a day (with HyperLogLog: 12 KB, some 1 % off).

Configuration
- message_variable (string): what is counted, such as Fields[uid].
- title (string, default "Estimated Unique Daily VARIABLE"): the name of the graph.
- enable_delta (bool, default false): inject deltas too.
- rows (uint, default 365), seconds_per_row (uint, default 86400): the window, and what a day is.
- anomaly_config (string, default none): what is unusual; see the module anomaly.
- preservation_version (uint, default 0): a new number makes a restart begin with an empty window.

Example
    heka-sandbox --lua unique_items --config message_variable='Fields[remote_addr]' decoded.hpb | heka-cat --format payload
--]]

require "circular_buffer"
require "hyperloglog"
require "math"
require "string"
local chart = require "chart"

local message_variable = read_config("message_variable") or error("message_variable configuration must be specified")
local title = read_config("title") or "Estimated Unique Daily " .. message_variable
local enable_delta = read_config("enable_delta") or false
local rows = read_config("rows") or 365
local seconds_per_row = read_config("seconds_per_row") or 86400
chart.preservation_version()

data = circular_buffer.new(rows, 1, seconds_per_row, enable_delta)
data:set_header(1, string.match(message_variable, "^Fields%[(.*)%]$") or message_variable, "count", "max")
hll = hyperloglog.new()
period = 0

function process_message()
    local item = read_message(message_variable)
    if type(item) ~= "string" and type(item) ~= "number" then return -1 end
    local ns = read_message("Timestamp")
    local now = math.floor(ns / (seconds_per_row * 1e9))
    if now < period then return 0 end
    if now > period then
        period = now
        hll:clear()
    end
    if hll:add(item) then data:set(ns, 1, hll:count()) end
    return 0
end

function timer_event(ns)
    inject_payload("cbuf", title, data:format("cbuf"))
    if enable_delta then
        inject_payload("cbufd", title, data:format("cbufd"))
        data:format("cbuf")
    end
end
