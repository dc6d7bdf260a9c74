--[[
Reads JSON objects: nested values become fields, their keys joined.

Configuration
- type (string, default "json"): Type of the messages.
- payload_keep (bool, default false): keep the text as the Payload.
- map_fields (bool, default false): move keys to headers, as the next options say.
- Payload, Uuid, Type, Logger, Hostname, Severity, EnvVersion, Pid (string): the key of the object that becomes this
  header, if its value is a text (a number for the last three); otherwise it stays a field.
- Timestamp (string): the key of the time, in nanoseconds unless timestamp_format is given; also without map_fields.
- timestamp_format (string): the time's format: rfc3339, epoch (a number whose size tells the unit), epoch_s, epoch_ms, epoch_us,
  epoch_ns, or as strftime has it (%f is a fraction's digits, %z takes +0530, +05:30 and Z). It has to fit the whole text.
- separator (string, default "."): between the keys of nested values.
- maximum_depth (int, default none): deeper objects become their JSON text.

Example
    heka-tail app.json | heka-decode --lua json --config map_fields=true --config Hostname=host \
        --config Timestamp=time --config timestamp_format=rfc3339 | heka-cat
--]]

local cjson = require "cjson"
local util = require "util"
require "string"

local msg_type = read_config("type") or "json"
local payload_keep = read_config("payload_keep")
local map_fields = read_config("map_fields")
local separator = read_config("separator") or "."
local maximum_depth = read_config("maximum_depth")
local time_key = read_config("Timestamp")

-- Each header's key, and the types of values that it takes.
local headers = {}
for header, types in pairs {
    Payload = { string = true }, Uuid = { string = true }, Type = { string = true }, Logger = { string = true },
    Hostname = { string = true }, Severity = { number = true }, Pid = { number = true },
    EnvVersion = { number = true, string = true },
} do
    local key = read_config(header)
    if key then headers[header] = { key = key, types = types } end
end

local read_time = tonumber
local time_format = read_config("timestamp_format")
if time_format then
    local dt = require "date_time"
    local units = { epoch_s = 1e9, epoch_ms = 1e6, epoch_us = 1e3, epoch_ns = 1 }
    local unit = units[time_format]
    if unit or time_format == "epoch" then
        read_time = function(value)
            local number = tonumber(value)
            if not number then return nil end
            return unit and number * unit or dt.epoch_to_ns(number)
        end
    else
        local grammar = time_format == "rfc3339" and dt.rfc3339 or dt.build_strftime_grammar(time_format)
        grammar = grammar * -1
        read_time = function(value)
            local time = grammar:match(tostring(value))
            return time and dt.time_to_ns(time)
        end
    end
end

local match, sub = string.match, string.sub
-- The place is the reader's; its words say what was expected there.
local function reason(message)
    local words, place = match(message, "^(.-) at character (%d+)$")
    return words and "Failed to decode JSON at column " .. place .. ": " .. words or "Failed to decode JSON."
end

-- What is not simple, and what is wrong.
local function decode()
    local text = read_message("Payload")
    -- A byte order mark.
    if sub(text, 1, 3) == "\239\187\191" then text = sub(text, 4) end
    local ok, json = pcall(cjson.decode, text)
    if not ok then return -1, reason(json) end
    if type(json) ~= "table" then return -1, "Failed to flatten message." end

    local msg = { Type = msg_type, Fields = {} }
    if time_key and json[time_key] ~= nil then
        msg.Timestamp = read_time(json[time_key])
        if not msg.Timestamp then return -1, "Failed to decode timestamp." end
        json[time_key] = nil
    end
    if map_fields then
        for header, from in pairs(headers) do
            local value = json[from.key]
            if value ~= nil and from.types[type(value)] and (header ~= "Uuid" or #value == 16) then
                msg[header] = value
                json[from.key] = nil
            end
        end
    end
    if payload_keep then msg.Payload = text end
    util.table_to_fields(json, msg.Fields, nil, separator, maximum_depth)
    if not pcall(inject_message, msg) then return -1, "Failed to inject message." end
    return 0
end

local keys = { Timestamp = time_key }
for header, from in pairs(headers) do keys[header] = from.key end
process_message = time_format and decode or require "native_json".decoder({
    type = msg_type, separator = separator, payload_keep = payload_keep, maximum_depth = maximum_depth,
    headers = map_fields and keys or { Timestamp = time_key },
}, decode)
