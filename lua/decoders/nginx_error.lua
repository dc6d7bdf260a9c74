--[[
Reads nginx error logs.

Configuration
- type (string, default "nginx.error"): Type of the messages.
- payload_keep (bool, default false): keep the whole line as the Payload instead of the message in it.
- tz (string, default UTC): the zone of the log's timestamps.

Example
    heka-tail error.log | heka-decode --lua nginx_error --config tz=Local | heka-cat

Timestamp, Severity and Pid come from the line, Fields tid and connection too.
--]]

local grammar = require "common_log_format".nginx_error_grammar
local msg_type = read_config("type") or "nginx.error"
local payload_keep = read_config("payload_keep")

function process_message()
    local line = read_message("Payload")
    local msg = grammar:match(line)
    if not msg then return -1 end
    msg.Type = msg_type
    if payload_keep then msg.Payload = line end
    inject_message(msg)
    return 0
end
