--[[
Draws slow queries: how many there were, and their averages (see the decoders mysql_slow_query and mariadb_slow_query).

Configuration
- rows (uint, default 1440), sec_per_row (uint, default 60): the window; with the defaults it is a day.
- anomaly_config (string, default none): what is unusual; see the module anomaly.
- preservation_version (uint, default 0): a new number makes a restart begin with an empty window.

Example
    heka-sandbox --lua mysql_slow_query --ticker 60 slow.hpb | heka-cat --format payload

Injects a payload of type cbuf named "Statistics".
--]]

require "circular_buffer"
require "math"
local chart = require "chart"

local rows = read_config("rows") or 1440
local sec_per_row = read_config("sec_per_row") or 60
local title = "Statistics"
chart.preservation_version()
chart.configure(title, rows * sec_per_row * 1e9)

local columns = {
    { field = "Fields[Query_time]", name = "Query_Time", unit = "s" },
    { field = "Fields[Lock_time]", name = "Lock_Time", unit = "s" },
    { field = "Fields[Rows_examined]", name = "Rows_Examined", unit = "count", whole = true },
    { field = "Fields[Rows_sent]", name = "Rows_Sent", unit = "count", whole = true },
}
data = circular_buffer.new(rows, 5, sec_per_row)
for column, described in ipairs(columns) do data:set_header(column, described.name, described.unit, "none") end
data:set_header(5, "Count")

function process_message()
    local ns = read_message("Timestamp")
    local count = data:add(ns, 5, 1)
    if not count then return 0 end
    for column, described in ipairs(columns) do
        local value = read_message(described.field)
        if type(value) ~= "number" then return -1 end
        local average = data:get(ns, column)
        if average == average then value = average + (value - average) / count end
        if described.whole then value = math.floor(value) end
        data:set(ns, column, value)
    end
    return 0
end

function timer_event(ns)
    chart.inject(ns, title, data)
end
