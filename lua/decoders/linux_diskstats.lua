--[[
Reads /sys/block/DISK/stat.

Configuration
- payload_keep (bool, default false): keep the text as the Payload.

Example
    heka-tail /sys/block/sda/stat | heka-decode --lua linux_diskstats | heka-cat

Type stats.diskstats; Fields ReadsCompleted ReadsMerged SectorsRead TimeReading WritesCompleted WritesMerged
SectorsWritten TimeWriting NumIOInProgress TimeDoingIO WeightedTimeDoingIO, and FilePath and TickerInterval, if the input
has them.
--]]

local l = require "lpeg"
local linux = require "linux_stats"

local names = {
    "ReadsCompleted", "ReadsMerged", "SectorsRead", "TimeReading", "WritesCompleted", "WritesMerged", "SectorsWritten",
    "TimeWriting", "NumIOInProgress", "TimeDoingIO", "WeightedTimeDoingIO",
}
-- Later kernels append more numbers.
local grammar = l.P(true)
for _, name in ipairs(names) do grammar = grammar * l.P " " ^ 0 * l.Cg(l.R "09" ^ 1 / tonumber, name) end
grammar = l.Ct(grammar)

process_message = linux.decoder("stats.diskstats", function(text)
    local fields = grammar:match(text)
    if fields then fields.TickerInterval = read_message("Fields[TickerInterval]") end
    return fields
end)
