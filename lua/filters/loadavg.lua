--[[
Draws the load of a machine, from messages of type stats.loadavg (see the decoder linux_loadavg).

Configuration
- rows (uint, default 1440), sec_per_row (uint, default 60): the window; with the defaults it is a day.
- anomaly_config (string, default none): what is unusual; see the module anomaly.
- preservation_version (uint, default 0): a new number makes a restart begin with an empty window.

Example
    heka-sandbox --lua loadavg --ticker 60 load.hpb | heka-cat --format payload

Injects a payload of type cbuf named "LoadAvg Stats".
--]]

local names = { "1MinAvg", "5MinAvg", "15MinAvg", "NumProcesses" }
local process
data, process, timer_event = require "gauges".make("LoadAvg Stats", names, "Count", true)

function process_message() return process() end
