--[[
Writes messages of type heka.statmetric as JSON for InfluxDB before version 0.9: a series for each field.

Configuration
- none

Example
    heka-http --encoder statmetric_influx --url http://localhost:8086/db/stats/series stats.hpb

Fields[timestamp], in seconds, is the time of all of them.
--]]

local cjson = require "cjson"
local bytes = 1

function process_message()
    local seconds = read_message("Fields[timestamp]")
    if type(seconds) ~= "number" then return -1 end
    local list = {}
    while true do
        local value_type, name, value = read_next_field()
        if not value_type then break end
        if name ~= "timestamp" and value_type ~= bytes then
            list[#list + 1] = { name = name, columns = { "time", "value" }, points = { { seconds * 1000, value } } }
        end
    end
    if #list == 0 then return -2 end
    inject_payload("json", "", cjson.encode(list))
    return 0
end
