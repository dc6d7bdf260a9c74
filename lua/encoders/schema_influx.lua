--[[
Writes messages as JSON for InfluxDB before version 0.9.

Configuration
- series (string, default "series"): the name of the series; %{X} is a header or a field.
- skip_fields (string, default none): headers and fields that are left out, separated by blanks.
- multi_series (bool, default false): a series for each field, named SERIES.FIELD.
- exclude_base_fields (bool, default false): no headers.

Example
    heka-http --encoder schema_influx --config series='heka.%{Logger}' --url http://localhost:8086/db/stats/series stats.hpb
--]]

local cjson = require "cjson"
local replace = require "msg_interpolate".replace
require "string"

local series = read_config("series") or "series"
local multi_series = read_config("multi_series")
local headers = { "Type", "Payload", "Hostname", "Pid", "Logger", "Severity", "EnvVersion" }
local by_name = {}
for _, name in ipairs(headers) do by_name[name] = name end

local skip = {}
for name in string.gmatch(read_config("skip_fields") or "", "%S+") do skip[name] = true end
if read_config("exclude_base_fields") then
    for _, name in ipairs(headers) do skip[name] = true end
end

local bytes = 1

-- Calls each(name, value) for the headers and fields that are written. An array's value is all of it.
local function each_value(each)
    for _, name in ipairs(headers) do
        local value = read_message(name)
        if not skip[name] and value ~= nil and value ~= "" then each(name, value) end
    end
    local seen = {}
    for _, field in ipairs(decode_message(read_message("raw")).Fields or {}) do
        local name = field.name
        if not skip[name] and name ~= "Timestamp" and (multi_series or field.value_type ~= bytes) then
            local value = field.value
            if #value == 1 or multi_series then value = value[1] end
            seen[name] = (seen[name] or 0) + 1
            if seen[name] > 1 then name = name .. seen[name] end
            each(name, value)
        end
    end
end

function process_message()
    local time = read_message("Timestamp") / 1e6
    local name = replace(series, by_name)
    local list = {}
    if multi_series then
        each_value(function(column, value)
            list[#list + 1] = { name = name .. "." .. column, columns = { "time", "value" }, points = { { time, value } } }
        end)
    else
        local columns, point = { "time" }, { time }
        each_value(function(column, value)
            columns[#columns + 1] = column
            point[#point + 1] = value
        end)
        list[1] = { name = name, columns = columns, points = { point } }
    end
    if #list == 0 then return -2 end
    inject_payload("json", "", cjson.encode(list))
    return 0
end
