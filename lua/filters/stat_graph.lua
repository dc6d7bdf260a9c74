--[[
Draws statistics: numbers of messages of type heka.statmetric, whose Fields[timestamp] is in seconds.

Configuration
- stats (string): the fields that are drawn, separated by blanks.
- stat_labels (string): a name for each of them.
- title (string, default "Stats"): the name of the graph.
- rows (uint, default 300), sec_per_row (uint, default 1): the window.
- stat_aggregation (string, default "sum"), stat_unit (string, default "count"): of the columns.
- anomaly_config (string, default none): what is unusual; see the module anomaly.
- preservation_version (uint, default 0): a new number makes a restart begin with an empty window.

Example
    heka-sandbox --lua stat_graph --config stats="requests errors" --config stat_labels="Requests Errors" --ticker 10 stats.hpb
--]]

require "circular_buffer"
require "string"
local chart = require "chart"

local title = read_config("title") or "Stats"
local rows = read_config("rows") or 300
local sec_per_row = read_config("sec_per_row") or 1
local aggregation = read_config("stat_aggregation") or "sum"
local unit = read_config("stat_unit") or "count"

local function words(name)
    local list = {}
    for word in string.gmatch(read_config(name) or error(name .. " configuration must be specified"), "%S+") do
        list[#list + 1] = word
    end
    return list
end
local stats, labels = words("stats"), words("stat_labels")
if #stats ~= #labels then error("stats and stat_labels configuration must have the same number of items") end

chart.preservation_version()
chart.configure(title, rows * sec_per_row * 1e9)
data = circular_buffer.new(rows, #stats, sec_per_row)
for column, label in ipairs(labels) do data:set_header(column, label, unit, aggregation) end

function process_message()
    local seconds = read_message("Fields[timestamp]")
    if type(seconds) ~= "number" then return -1 end
    for column, name in ipairs(stats) do
        local value = read_message("Fields[" .. name .. "]")
        if type(value) == "number" then data:add(seconds * 1e9, column, value) end
    end
    return 0
end

function timer_event(ns)
    chart.inject(ns, title, data)
end
