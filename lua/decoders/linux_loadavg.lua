--[[
Reads /proc/loadavg.

Configuration
- payload_keep (bool, default false): keep the text as the Payload.

Example
    heka-tail /proc/loadavg | heka-decode --lua linux_loadavg | heka-cat

Type stats.loadavg; Fields 1MinAvg, 5MinAvg, 15MinAvg, NumProcesses (those that run) and FilePath, if the input has it.
--]]

local l = require "lpeg"
local linux = require "linux_stats"

local number = l.R "09" ^ 1 * ("." * l.R "09" ^ 1) ^ -1 / tonumber
local grammar = l.Ct(l.Cg(number, "1MinAvg") * " " * l.Cg(number, "5MinAvg") * " " * l.Cg(number, "15MinAvg") * " "
    * l.Cg(number, "NumProcesses") * "/")

process_message = linux.decoder("stats.loadavg", function(text) return grammar:match(text) end)
