--[[
Puts the lines of a log together: one message at each tick, for chat and mail.

Configuration
- max_lines (uint, default 100): what is more is counted only, as is what would make the message longer than
  --output-limit. A line that takes a quarter of that is cut.

Example
    heka-tail -f app.log | heka-sandbox --lua log_aggregator --ticker 15 | heka-http --encoder slack --url "$HOOK"

Injects a payload of type txt.
--]]

require "string"
require "table"
local listing = require "listing"

local max_lines = read_config("max_lines") or 100
-- Kept with the script's data: what was read before a restart is sent after it.
lines = {}
further = 0
-- Of all lines; counted anew after a restart.
local bytes

function process_message()
    if not bytes then
        bytes = 0
        for _, line in ipairs(lines) do bytes = bytes + #line end
    end
    local payload = listing.shorten(read_message("Payload"), listing.limit / 4)
    if string.sub(payload, -1) ~= "\n" then payload = payload .. "\n" end
    if #lines < max_lines and bytes + #payload <= listing.limit then
        lines[#lines + 1] = payload
        bytes = bytes + #payload
    else
        further = further + 1
    end
    return 0
end

function timer_event(ns)
    if #lines == 0 then return end
    if further > 0 then lines[#lines + 1] = string.format("... and %d more lines\n", further) end
    inject_payload("txt", "", table.concat(lines))
    lines, bytes, further = {}, 0, 0
end
