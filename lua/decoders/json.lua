--[[
Reads JSON objects: nested values become fields, their keys joined, in the object's order. Whole numbers become integers
where 64 bits hold them, else texts; of a key that comes twice in one object the last value counts.

Configuration
- type (string, default "json"): Type of the messages.
- payload_keep (bool, default false): keep the text as the Payload.
- map_fields (bool, default false): move keys to headers, as the next options say.
- Payload, Uuid, Type, Logger, Hostname, Severity, EnvVersion, Pid (string): the key of the object that becomes this
  header, if its value is a text (a number for the last three); otherwise it stays a field.
- Timestamp (string): the key of the time, in nanoseconds unless timestamp_format is given; also without map_fields. An object
  without it keeps the message's time.
- timestamp_format (string): the time's format: rfc3339, epoch (a number whose size tells the unit), epoch_s, epoch_ms, epoch_us,
  epoch_ns, or as strftime has it (%f is a fraction's digits, %z takes +0530, +05:30 and Z). It has to fit the whole text.
- numbers (string): "double" makes a double of every number, as in Heka.
- separator (string, default "."): between the keys of nested values.
- maximum_depth (int, default none): deeper objects become their JSON text.

Example
    heka-tail app.json | heka-decode --lua json --config map_fields=true --config Hostname=host \
        --config Timestamp=time --config timestamp_format=rfc3339 | heka-cat
--]]

local time_key = read_config("Timestamp")

local read_time = tonumber
local time_format = read_config("timestamp_format")
-- Nanoseconds need no reading.
if time_format == "epoch_ns" then time_format = nil end
if time_format then
    local dt = require "date_time"
    local units = { epoch_s = 1e9, epoch_ms = 1e6, epoch_us = 1e3 }
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

local keys = { Timestamp = time_key }
if read_config("map_fields") then
    for _, header in ipairs({ "Payload", "Uuid", "Type", "Logger", "Hostname", "Severity", "EnvVersion", "Pid" }) do
        keys[header] = read_config(header)
    end
end
process_message = require "native_json".decoder({
    type = read_config("type") or "json",
    separator = read_config("separator") or ".",
    payload_keep = read_config("payload_keep"),
    maximum_depth = read_config("maximum_depth"),
    doubles = read_config("numbers") == "double",
    time_format = time_format ~= nil,
    headers = keys,
}, read_time)
