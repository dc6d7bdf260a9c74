--[[
Reads the query log of BIND.

Configuration
- type (string, default none): Type of the messages; the input's is kept without it.

Example
    heka-tail query.log | heka-decode --lua bind_query_log | heka-cat

The Payload is the line. Fields: Timestamp (which is the header too), ClientIP, ClientEphemeralPort, FullQuery, QueryName,
QueryDomain, RecordClass, RecordType, QueryFlags, ServerRespondingIP.
--]]

local l = require "lpeg"
local grammar = l.Ct(require "bind".query_log_grammar)
local msg_type = read_config("type")

function process_message()
    local line = read_message("Payload")
    local fields = grammar:match(line)
    if not fields then return -1, "Failed to parse the BIND query log line." end
    -- A word, not a number.
    fields.Severity = nil
    if #fields.QueryFlags == 0 then fields.QueryFlags = nil end
    inject_message { Type = msg_type, Timestamp = fields.Timestamp, Payload = line, Fields = fields }
    return 0
end
