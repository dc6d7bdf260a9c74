--[[
Writes the Payload alone, as Heka's PayloadEncoder does.

Configuration
- append_newlines (bool, default true): end it with a newline if it has none.

Example
    heka-http --encoder payload --url http://localhost:8086/write?db=stats lines.hpb
--]]

require "string"
local append_newlines = read_config("append_newlines")

function process_message()
    local payload = read_message("Payload")
    if append_newlines ~= false and string.sub(payload, -1) ~= "\n" then
        inject_payload("txt", "", payload, "\n")
    else
        inject_payload("txt", "", payload)
    end
    return payload == "" and -2 or 0
end
