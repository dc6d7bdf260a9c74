--[[
A payload of many lines, cut where it would pass what a script may write.

    limit             bytes that a payload may have (the sandbox's output_limit, less what a note takes)
    add(...)          a line, in parts; false when there is no room for it: it is counted only
    inject(type, name)
                      injects the payload; its last line is "... and 7 more" where lines were left out
    shorten(text, length)
                      the text, cut to so many bytes between two characters, with "..." at its end

Example
    local listing = require "listing"
    for name, count in pairs(counts) do listing.add(name, "\t", count, "\n") end
    listing.inject("tsv", "counts")
--]]

require "math"
require "string"
local concat = require "table".concat
local add_to_payload, inject_payload, gsub, sub = add_to_payload, inject_payload, string.gsub, string.sub

local output_limit = read_config("output_limit") or 0

local M = { limit = output_limit > 0 and output_limit - 64 or math.huge }

local used, left = 0, 0

function M.add(...)
    local line = concat({ ... })
    if used + #line > M.limit then
        left = left + 1
        return false
    end
    used = used + #line
    add_to_payload(line)
    return true
end

function M.inject(payload_type, name)
    if left > 0 then add_to_payload("... and ", left, " more\n") end
    used, left = 0, 0
    inject_payload(payload_type, name)
end

function M.shorten(text, length)
    if #text <= length then return text end
    return (gsub(sub(text, 1, length), "[\192-\255]?[\128-\191]*$", "")) .. "..."
end

return M
