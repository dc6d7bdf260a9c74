--[[
Lines for Graphite, in the layout of statsd.

    count_rate(bucket, count, interval, now)                       stats.counters.BUCKET.count and .rate
    timeseries_metrics(bucket, times, interval, percent, now)      stats.timers.BUCKET.: count, count_ps, lower, upper, sum,
                                                                   mean, and of that part of the smallest: mean_N, upper_N
    multi_counts_rates(counts, interval, now)                      the first for a table of buckets
    multi_timeseries_metrics(timers, interval, percent, now)       the second for a table of buckets
    ns_to_sec(ns)

Example
    inject_payload("txt", "graphite", graphite.multi_counts_rates(counts, 60, graphite.ns_to_sec(ns)))
--]]

require "math"
require "string"
require "table"
local floor, format, concat, sort = math.floor, string.format, table.concat, table.sort
local ipairs, pairs = ipairs, pairs

local M = {}

function M.ns_to_sec(ns) return floor(ns / 1e9) end

function M.count_rate(bucket, count, interval, now)
    return format("stats.counters.%s.count %d %d\nstats.counters.%s.rate %f %d\n", bucket, count, now, bucket,
        count / interval, now)
end

local function statistics(times, percent)
    local sorted = {}
    for place, time in ipairs(times) do sorted[place] = time end
    sort(sorted)
    local count = #sorted
    if count == 0 then return { count = 0, lower = 0, upper = 0, sum = 0, mean = 0, part_mean = 0, part_upper = 0 } end
    local part = count - floor((100 - percent) / 100 * count + 0.5)
    local sum, part_sum = 0, 0
    for place, time in ipairs(sorted) do
        sum = sum + time
        if place == part then part_sum = sum end
    end
    local lower, upper = sorted[1], sorted[count]
    return {
        count = count, lower = lower, upper = upper, sum = sum, mean = sum / count,
        part_mean = part > 0 and part_sum / part or lower, part_upper = part > 0 and sorted[part] or upper,
    }
end

function M.timeseries_metrics(bucket, times, interval, percent, now)
    local s = statistics(times, percent)
    local lines = { format("stats.timers.%s.count %d %d\n", bucket, s.count, now) }
    local function line(name, value) lines[#lines + 1] = format("stats.timers.%s.%s %f %d\n", bucket, name, value, now) end
    line("count_ps", s.count / interval)
    line("lower", s.lower)
    line("upper", s.upper)
    line("sum", s.sum)
    line("mean", s.mean)
    line("mean_" .. percent, s.part_mean)
    line("upper_" .. percent, s.part_upper)
    return concat(lines)
end

-- Buckets in the order of their names.
local function each_bucket(buckets, write)
    local names, lines = {}, {}
    for name in pairs(buckets) do names[#names + 1] = name end
    sort(names)
    for place, name in ipairs(names) do lines[place] = write(name, buckets[name]) end
    return concat(lines)
end

function M.multi_counts_rates(counts, interval, now)
    return each_bucket(counts, function(bucket, count) return M.count_rate(bucket, count, interval, now) end)
end

function M.multi_timeseries_metrics(timers, interval, percent, now)
    return each_bucket(timers, function(bucket, times)
        return M.timeseries_metrics(bucket, times, interval, percent, now)
    end)
end

return M
