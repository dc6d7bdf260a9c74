--[[
The deltas that circular buffers print.

    grammar    a pattern for a whole payload of type cbufd: an array of rows, each with `time` in nanoseconds and the
               columns from 1 on; and `header`, the payload's first line

Example
    local rows = require "cbufd".grammar:match(read_message("Payload"))
--]]

local l = require "lpeg"
local tonumber = tonumber

local digit = l.R "09"
local number = l.P "-" ^ -1 * digit ^ 1 * ("." * digit ^ 1) ^ -1 * (l.S "eE" * l.S "+-" ^ -1 * digit ^ 1) ^ -1
local value = number / tonumber + l.P "nan" * l.Cc(0/0)
local time = l.Cg(digit ^ 1 / function(seconds) return seconds * 1e9 end, "time")
local row = l.Ct(time * ("\t" * value) ^ 1 * "\n")

return { grammar = l.Ct(l.Cg((1 - l.P "\n") ^ 1, "header") * "\n" * row ^ 1) * -1 }
