--[[
Writes the Payload alone, as Heka's PayloadEncoder does. heka-http says what it is by Fields[payload_type], such as json.

Configuration
- append_newlines (bool, default true): end it with a newline if it has none.

Example
    heka-http --encoder payload --url http://localhost:8086/write?db=stats lines.hpb
--]]

require "string"
local append_newlines = read_config("append_newlines")

function process_message()
    local payload, kind = read_message("Payload"), read_message("Fields[payload_type]")
    if type(kind) ~= "string" then kind = "txt" end
    if append_newlines ~= false and string.sub(payload, -1) ~= "\n" then
        inject_payload(kind, "", payload, "\n")
    else
        inject_payload(kind, "", payload)
    end
    return payload == "" and -2 or 0
end
