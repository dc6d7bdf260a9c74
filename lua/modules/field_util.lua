--[[
Which headers and fields a script is to use.

    base_fields_list, base_fields_tag_list    sets of headers: all of them, and those that tag a series
    field_map(text)                           the set of the words in the text; whether **all_base** or **all** is among
                                              them; whether **all** is. No text: all headers, true, false
    message_timestamp(precision)              the message's Timestamp in "s", "m", "h", else in milliseconds
    used_base_fields(skip)                    the headers that are in the set

Example
    local tags, all_base, all = field_util.field_map(read_config("tag_fields"))
--]]

require "math"
require "string"
local floor, gmatch = math.floor, string.gmatch
local pairs, read_message = pairs, read_message

local M = {}

M.base_fields_list = {
    EnvVersion = true, Hostname = true, Logger = true, Payload = true, Pid = true, Severity = true, Type = true,
}
M.base_fields_tag_list = { Hostname = true, Logger = true, Severity = true, Type = true }

local durations = { s = 1e9, m = 60e9, h = 3600e9 }

function M.field_map(text)
    if text == nil or text == "" then return M.base_fields_list, true, false end
    local set = {}
    for word in gmatch(text, "%S+") do set[word] = true end
    local all = set["**all**"] or false
    local all_base = all or set["**all_base**"] or false
    if all_base then
        for name in pairs(M.base_fields_list) do set[name] = true end
    end
    return set, all_base, all
end

function M.message_timestamp(precision)
    return floor(read_message("Timestamp") / (durations[precision] or 1e6))
end

function M.used_base_fields(skip)
    local used = {}
    for name in pairs(M.base_fields_list) do
        if skip[name] then used[name] = true end
    end
    return used
end

return M
