--[[
Reads Graylog's extended log format (GELF 1.1).

Configuration
- type (string, default none): Type of the messages; the input's is kept without it.
- payload_keep (bool, default false): keep the text as the Payload.

Example
    heka-tail gelf.log | heka-decode --lua graylog_extended | heka-cat

timestamp, version, level and host become Timestamp, EnvVersion, Severity and Hostname; every other key is a field, of nested
objects with the keys joined by dots.
--]]

local cjson = require "cjson"
local table_to_fields = require "util".table_to_fields
local msg_type = read_config("type")
local payload_keep = read_config("payload_keep")

function process_message()
    local text = read_message("Payload")
    local ok, json = pcall(cjson.decode, text)
    if not ok or type(json) ~= "table" then return -1, "Failed to decode JSON." end
    if type(json.timestamp) ~= "number" then return -1, "There is no timestamp." end
    local msg = {
        Timestamp = json.timestamp * 1e9, EnvVersion = json.version, Severity = json.level, Hostname = json.host,
        Type = msg_type, Payload = payload_keep and text or nil, Fields = {},
    }
    json.timestamp, json.version, json.level, json.host = nil, nil, nil, nil
    table_to_fields(json, msg.Fields)
    local injected, reason = pcall(inject_message, msg)
    if not injected then return -1, reason end
    return 0
end
