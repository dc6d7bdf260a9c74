--[[
Puts the lines of a log together: one message at each tick, for chat and mail.

Configuration
- max_lines (uint, default 100): what is more is counted only.

Example
    heka-tail -f app.log | heka-sandbox --lua log_aggregator --ticker 15 | heka-http --encoder slack --url "$HOOK"

Injects a payload of type txt.
--]]

require "string"
require "table"

local max_lines = read_config("max_lines") or 100
-- Kept with the script's data: what was read before a restart is sent after it.
lines = {}
further = 0

function process_message()
    local payload = read_message("Payload")
    if string.sub(payload, -1) ~= "\n" then payload = payload .. "\n" end
    if #lines < max_lines then
        lines[#lines + 1] = payload
    else
        further = further + 1
    end
    return 0
end

function timer_event(ns)
    if #lines == 0 then return end
    if further > 0 then lines[#lines + 1] = string.format("... and %d more lines\n", further) end
    inject_payload("txt", "", table.concat(lines))
    lines, further = {}, 0
end
