--[[
Reads /proc/meminfo.

Configuration
- payload_keep (bool, default false): keep the text as the Payload.

Example
    heka-tail --splitter null /proc/meminfo | heka-decode --lua linux_memstats | heka-cat

Type stats.memstats; a field for each line, with "kB" as its representation where the line has it.
--]]

local l = require "lpeg"
local linux = require "linux_stats"

local value = l.Ct(l.Cg(l.R "09" ^ 1 / tonumber, "value") * l.P " " ^ 0 * l.Cg(l.P "kB" ^ -1, "representation"))
local line = l.Cg(l.C((1 - l.S ":\n") ^ 1) * ":" * l.P " " ^ 0 * value * "\n")
local grammar = l.Cf(l.Ct "" * line ^ 1, rawset)

process_message = linux.decoder("stats.memstats", function(text) return grammar:match(text) end)
