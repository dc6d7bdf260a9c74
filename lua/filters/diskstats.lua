--[[
Draws what a disk does, from messages of type stats.diskstats (see the decoder linux_diskstats).

Configuration
- rows (uint, default 1440): rows of the windows; a row is as long as the messages' Fields[TickerInterval], in seconds.
- interval (uint, default 60): the same for messages that don't say it.
- anomaly_config (string, default none): what is unusual; see the module anomaly.

Example
    heka-sandbox --lua diskstats --ticker 60 disks.hpb | heka-cat --format payload

Injects payloads of type cbuf named "Time doing IO" (totals) and "Disk Stats" (what came in each interval).
--]]

require "circular_buffer"
local chart = require "chart"

local rows = read_config("rows") or 1440
local default_interval = read_config("interval") or 60
local times = { "TimeWriting", "TimeReading", "TimeDoingIO", "WeightedTimeDoingIO" }
local counts = { "WritesCompleted", "ReadsCompleted", "SectorsWritten", "SectorsRead", "WritesMerged", "ReadsMerged" }

interval = 0
-- The counts of the message before.
last = {}

local function make(names, seconds, unit, aggregation)
    local buffer = circular_buffer.new(rows, #names, seconds)
    for column, name in ipairs(names) do buffer:set_header(column, name, unit, aggregation) end
    return buffer
end

local function values_of(names)
    local values = {}
    for place, name in ipairs(names) do
        local value = read_message("Fields[" .. name .. "]")
        if type(value) ~= "number" then return nil end
        values[place] = value
    end
    return values
end

function process_message()
    local seconds = read_message("Fields[TickerInterval]") or default_interval
    if type(seconds) ~= "number" then return -1, "Fields[TickerInterval] is no number" end
    local time_values, count_values = values_of(times), values_of(counts)
    if not time_values or not count_values then return -1, "not what linux_diskstats makes" end

    if seconds ~= interval or not disk_stats then
        if not time_doing_io then
            time_doing_io = make(times, seconds, "ms", "max")
            chart.configure("Time doing IO", rows * seconds * 1e9)
        end
        disk_stats = make(counts, seconds, "per_" .. seconds .. "_s", "none")
        chart.configure("Disk Stats", rows * seconds * 1e9)
        interval = seconds
    end
    local ns = read_message("Timestamp")
    for column, value in ipairs(time_values) do time_doing_io:set(ns, column, value) end
    for column, value in ipairs(count_values) do
        if last[column] then disk_stats:set(ns, column, value - last[column]) end
    end
    last = count_values
    return 0
end

function timer_event(ns)
    if not disk_stats then return end
    chart.inject(ns, "Time doing IO", time_doing_io)
    chart.inject(ns, "Disk Stats", disk_stats)
end
