--[[
Draws the memory of a Heka daemon, from its messages of type heka.memstat.

Configuration
- rows (uint, default 1440), sec_per_row (uint, default 60): the window; with the defaults it is a day.
- anomaly_config (string, default none): what is unusual; see the module anomaly.
- preservation_version (uint, default 0): a new number makes a restart begin with an empty window.

Example
    heka-sandbox --lua heka_memstat --ticker 60 memstat.hpb | heka-cat --format payload

Injects a payload of type cbuf named "Stats".
--]]

local names = { "HeapSys", "HeapAlloc", "HeapIdle", "HeapInuse", "HeapReleased", "HeapObjects" }
local process
data, process, timer_event = require "gauges".make("Stats", names, "B", false)
data:set_header(6, "HeapObjects", "count", "max")

function process_message() return process() end
