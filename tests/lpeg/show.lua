-- What a match gave, as text, for two implementations to agree on.

local lpeg = require "lpeg"
require "string"
require "table"
require "math"

local function show(value, depth)
    depth = depth or 0
    local kind = type(value)
    if kind == "string" then return (string.gsub(string.format("%q", value), "%z", "\\0"):gsub("\\000", "\\0")) end
    if kind ~= "table" then return kind == "number" and string.format("%.14g", value) or tostring(value) end
    if depth > 6 then return "…" end
    local items = {}
    for key, item in pairs(value) do items[#items + 1] = show(key, depth + 1) .. "=" .. show(item, depth + 1) end
    table.sort(items)
    return "{" .. table.concat(items, ",") .. "}"
end

local function show_all(...)
    local items = {}
    for place = 1, select("#", ...) do items[place] = show((select(place, ...))) end
    return table.concat(items, " ")
end

local vague = false
local function clean(message)
    message = tostring(message)
    message = string.gsub(message, "^[^ ]+:%d+: ", "")
    message = string.gsub(message, "to '[^']*'", "to ?")
    -- Which of several bad rules is named depends on the order of a table.
    if vague then message = string.gsub(message, "rule '[^']*'", "rule ?") end
    message = string.gsub(message, "0x%x+", "")
    return message
end

local lines = {}

-- One line a case.
local function report(label, ok, ...)
    lines[#lines + 1] = label .. " => " .. (ok and show_all(...) or "error: " .. clean((...)))
end

local function finish()
    local text = table.concat(lines, "\n") .. "\n"
    if not inject_payload then return io.write(text) end
    inject_payload("txt", "cases", text)
    return 0
end
