--[[
Draws the memory of a machine, from messages of type stats.memstats (see the decoder linux_memstats).

Configuration
- rows (uint, default 1440), sec_per_row (uint, default 60): the window; with the defaults it is a day.
- anomaly_config (string, default none): what is unusual; see the module anomaly.
- preservation_version (uint, default 0): a new number makes a restart begin with an empty window.

Example
    heka-sandbox --lua memstats --ticker 60 memory.hpb | heka-cat --format payload

Injects a payload of type cbuf named "Memory Stats". SwapUsed is SwapTotal without SwapFree.
--]]

local names = {
    "MemFree", "Cached", "Active", "Inactive", "VmallocUsed", "Shmem", "SwapCached", "SwapFree", "SwapUsed",
}
local process
data, process, timer_event = require "gauges".make("Memory Stats", names, "Count", true)

local derived = {
    SwapUsed = function()
        local total, free = read_message("Fields[SwapTotal]"), read_message("Fields[SwapFree]")
        if type(total) == "number" and type(free) == "number" then return total - free end
    end,
}

function process_message() return process(derived) end
