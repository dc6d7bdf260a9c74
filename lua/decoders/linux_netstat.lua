--[[
Reads /proc/net/netstat and /proc/net/snmp.

Configuration
- payload_keep (bool, default false): keep the text as the Payload.

Example
    heka-tail --splitter null /proc/net/snmp | heka-decode --lua linux_netstat | heka-cat

Type stats.netstat; Fields PROTOCOL_NAME, such as Ip_DefaultTTL, and FilePath, if the input has it.
--]]

local l = require "lpeg"
local linux = require "linux_stats"

local name = l.C((1 - l.S " :\n") ^ 1)
local number = l.P "-" ^ -1 * l.R "09" ^ 1 / tonumber
local names = name * ":" * l.Ct((" " * name) ^ 0) * l.P " " ^ 0 * "\n"
local values = (1 - l.S " :\n") ^ 1 * ":" * l.Ct((" " * number) ^ 0) * l.P " " ^ 0 * "\n"
local grammar = l.Ct(l.Ct(names * values) ^ 1)

process_message = linux.decoder("stats.netstat", function(text)
    local sections = grammar:match(text)
    if not sections then return nil, "Failed to match grammar" end
    local fields = {}
    for _, section in ipairs(sections) do
        for place, key in ipairs(section[2]) do
            local value = section[3][place]
            if value then fields[section[1] .. "_" .. key] = { value = value, value_type = 2 } end
        end
    end
    return fields
end)
