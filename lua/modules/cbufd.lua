--[[
The deltas that circular buffers print.

    grammar    a pattern for a whole payload of type cbufd: an array of rows, each with `time` in nanoseconds and the
               columns from 1 on; and `header`, the payload's first line
    read_header(text)
               the header as a table; nil when it describes no buffer
    apply(buffer, time, column, value, aggregation)
               adds a delta to a buffer, in the way of its column's aggregation

Example
    local rows = require "cbufd".grammar:match(read_message("Payload"))
--]]

local l = require "lpeg"
-- Scripts expect the classes of characters in the table that all of them share, as Heka's modules leave them there.
l.locale(l)
local cjson = require "cjson"
local pcall, tonumber, type = pcall, tonumber, type

local digit = l.R "09"
local number = l.P "-" ^ -1 * digit ^ 1 * ("." * digit ^ 1) ^ -1 * (l.S "eE" * l.S "+-" ^ -1 * digit ^ 1) ^ -1
local value = number / tonumber + l.P "nan" * l.Cc(0/0)
local time = l.Cg(digit ^ 1 / function(seconds) return seconds * 1e9 end, "time")
local row = l.Ct(time * ("\t" * value) ^ 1 * "\n")

local M = { grammar = l.Ct(l.Cg((1 - l.P "\n") ^ 1, "header") * "\n" * row ^ 1) * -1 }

function M.read_header(text)
    local ok, info = pcall(cjson.decode, text)
    if ok and type(info) == "table" and type(info.column_info) == "table" then return info end
end

-- What was never set changes nothing.
function M.apply(buffer, time, column, value, aggregation)
    if not value or value ~= value then return end
    if aggregation == "sum" then
        buffer:add(time, column, value)
    elseif aggregation ~= "none" then
        buffer:set(time, column, value)
    end
end

return M
