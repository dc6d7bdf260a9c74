--[[
Counts HTTP status codes over a sliding window.

Configuration
- sec_per_row (uint, default 60): seconds that a row stands for.
- rows (uint, default 1440): rows of the window; with the defaults it is a day.
- status_field (string, default "status"): the field with the status code.
- anomaly_config (string, default none): what is unusual; see the module anomaly.
- alert_throttle (uint, default 3600): seconds between two alerts.
- preservation_version (uint, default 0): a new number makes a restart begin with an empty window.

Example
    heka-sandbox --lua http_status --ticker 60 --preserve status.state decoded.hpb | heka-cat --format payload

Injects a payload of type cbuf named "HTTP Status", with columns HTTP_100 to HTTP_500 and HTTP_UNKNOWN.
--]]

require "circular_buffer"
local alert = require "alert"
local chart = require "chart"

local rows = read_config("rows") or 1440
local sec_per_row = read_config("sec_per_row") or 60
local field = "Fields[" .. (read_config("status_field") or "status") .. "]"
local title = "HTTP Status"

chart.preservation_version(1)
chart.configure(title, rows * sec_per_row * 1e9)
alert.set_throttle((read_config("alert_throttle") or 3600) * 1e9)

status = circular_buffer.new(rows, 6, sec_per_row)
for column = 1, 5 do status:set_header(column, "HTTP_" .. column * 100) end
local unknown = status:set_header(6, "HTTP_UNKNOWN")

local read_message, status, type = read_message, status, type

function process_message()
    local code = read_message(field)
    if type(code) ~= "number" then return -1 end
    local column = unknown
    if code >= 100 and code < 600 then column = code / 100 end
    status:add(read_message("Timestamp"), column, 1)
    return 0
end

function timer_event(ns)
    chart.inject(ns, title, status)
end
