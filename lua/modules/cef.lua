--[[
Records in ArcSight's Common Event Format.

    parse(text)       the record in a text, or nil and why it is none: prefix, version, device_vendor, device_product,
                      device_version, signature_id, name, severity, extra (what stands before the first key),
                      keys (in their order) and extension (the value of each; a table of them when a key comes again)
    format(record)    the text of such a table; without keys the extension is in alphabetical order

Example
    local record, why = cef.parse(read_message("Payload"))
    if not record then return -1, why end
    inject_message({ Type = record.name, Fields = { src = record.extension.src } })
--]]

require "string"
require "table"
local byte, find, gsub, match, sub = string.byte, string.find, string.gsub, string.match, string.sub
local concat, sort = table.concat, table.sort
local ipairs, pairs, tostring, type = ipairs, pairs, tostring, type

local M = {}

local header = {
    "version", "device_vendor", "device_product", "device_version", "signature_id", "name", "severity",
}
local header_meant = { ["|"] = "|", ["\\"] = "\\", ["\n"] = "\n", ["\r"] = "\r" }
local value_meant = { ["="] = "=", ["\\"] = "\\", ["|"] = "|", n = "\n", r = "\r" }
local header_escaped = { ["|"] = "\\|", ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r" }
local value_escaped = { ["="] = "\\=", ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r" }

local function is_space(text, at)
    return at < 1 or find(text, "^%s", at) ~= nil
end

-- Where a header field ends, and whether a separator does it.
local function field_end(text, from)
    while true do
        local at = find(text, "[|\\]", from)
        if not at then return #text, false end
        if byte(text, at) == 124 then return at - 1, true end
        from = at + 2
    end
end

local function add(record, key, value)
    local extension = record.extension
    local known = extension[key]
    record.keys[#record.keys + 1] = key
    if known == nil then
        extension[key] = value
    elseif type(known) == "table" then
        known[#known + 1] = value
    else
        extension[key] = { known, value }
    end
end

function M.parse(text)
    text = match(text, "^.*%S") or ""
    local mark = find(text, "CEF:", 1, true)
    while mark and not is_space(text, mark - 1) do
        mark = find(text, "CEF:", mark + 1, true)
    end
    if not mark then return nil, "no CEF: in it" end
    local record = { prefix = sub(text, 1, mark - 1), keys = {}, extension = {} }
    local from = mark + 4
    for place, name in ipairs(header) do
        local last, separated = field_end(text, from)
        if not separated and place < #header then
            return nil, "the header has " .. (place - 1) .. " separators, six at least are needed"
        end
        record[name] = gsub(sub(text, from, last), "\\(.)", header_meant)
        from = separated and last + 2 or #text + 1
    end

    local first, at = from, from
    local key, value_from
    while true do
        local start, equals, next_key = find(text, "([%w_.%-%[%]]+)=", at)
        if not start then break end
        at = equals + 1
        if start == first or start > (value_from or first) and is_space(text, start - 1) then
            if key then
                add(record, key, (gsub(sub(text, value_from, start - 2), "\\(.)", value_meant)))
            else
                record.extra = sub(text, first, start - 1)
            end
            key, value_from = next_key, at
        end
    end
    if key then
        add(record, key, (gsub(sub(text, value_from), "\\(.)", value_meant)))
    else
        record.extra = sub(text, first)
    end
    return record
end

function M.format(record)
    local parts = {}
    for place, name in ipairs(header) do
        parts[place] = gsub(tostring(record[name] or ""), "[|\\\n\r]", header_escaped)
    end
    local keys = record.keys
    if not keys then
        keys = {}
        for key in pairs(record.extension or {}) do keys[#keys + 1] = key end
        sort(keys)
    end
    local pairs_of, taken = {}, {}
    for _, key in ipairs(keys) do
        local value = record.extension[key]
        if type(value) == "table" then
            taken[key] = (taken[key] or 0) + 1
            value = value[taken[key]]
        end
        if value ~= nil then
            pairs_of[#pairs_of + 1] = key .. "=" .. gsub(tostring(value), "[=\\\n\r]", value_escaped)
        end
    end
    return (record.prefix or "") .. "CEF:" .. concat(parts, "|") .. "|" .. (record.extra or "") .. concat(pairs_of, " ")
end

return M
