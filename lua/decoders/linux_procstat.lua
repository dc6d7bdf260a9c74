--[[
Reads /proc/stat.

Configuration
- payload_keep (bool, default false): keep the text as the Payload.

Example
    heka-tail --splitter null /proc/stat | heka-decode --lua linux_procstat | heka-cat

Type stats.procstat; a field for each line: an array of its numbers.
--]]

local l = require "lpeg"
local linux = require "linux_stats"

local numbers = l.Ct((l.P " " ^ 1 * (l.R "09" ^ 1 / tonumber)) ^ 1)
local line = l.Cg(l.C((1 - l.S " \n") ^ 1) * numbers * l.P " " ^ 0 * "\n")
local grammar = l.Cf(l.Ct "" * line ^ 1, rawset)

process_message = linux.decoder("stats.procstat", function(text) return grammar:match(text) end, true)
