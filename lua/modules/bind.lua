--[[
The query log of BIND.

    query_log_grammar                                    named groups, to be put into a table capture; see the decoder
                                                         bind_query_log
    dns_record_type, dns_record_class, query_flags       parts of it

Example
    local fields = lpeg.Ct(bind.query_log_grammar):match(line)
--]]

local l = require "lpeg"
local dt = require "date_time"
local ip = require "ip_address"
-- Scripts use it as a global.
require "math"
local match = require "string".match
local tonumber = tonumber
local Cc, Cg, Ct, P, R, S = l.Cc, l.Cg, l.Ct, l.P, l.R, l.S

local M = {}

local digit = R "09"

local function flag(sign, words) return P(sign) * Cc(words) end
M.query_flags = flag("+", "recursion requested") + flag("-", "recursion not requested") + flag("S", "query signed")
    + flag("E", "EDNS used") * (P "(" * digit ^ 1 * ")") ^ -1 + flag("T", "TCP used") + flag("D", "DNSSEC data wanted")
    + flag("C", "no DNSSEC validation check")
M.dns_record_class = P "IN" + "CH" + "HS"
M.dns_record_type = R("AZ", "09") ^ 1 + "*"

local function address(name)
    local v4 = Cg(ip.v4, "value") * Cg(Cc "ipv4", "representation")
    local v6 = Cg(ip.v6, "value") * Cg(Cc "ipv6", "representation")
    return Cg(Ct(v4 + v6), name)
end

local day = dt.date_mday * "-" * dt.date_mabbr * "-" * dt.date_fullyear
local clock = dt.time_hour * ":" * dt.time_minute * ":" * dt.time_second
local fraction = l.C(P "." * digit ^ 1) / tonumber + Cc(0)
local function with_fraction(ns, part) return ns + part * 1e9 end
local time = Cg(Ct(day * " " * clock) / dt.time_to_ns * fraction / with_fraction, "Timestamp")
-- Where the channel has print-category and print-severity.
local category = P "queries: " ^ -1
local severity = (Cg(R("az", "AZ") ^ 1 * (P " " * digit ^ 1) ^ -1, "Severity") * ": ") ^ -1

-- The whole name, and the same once more in its two parts.
local function part(pattern, name) return Cg(l.Cb "FullQuery" / function(query) return (match(query, pattern)) end, name) end
local name = Cg((1 - S " \n") ^ 1, "FullQuery") * part("^[^.]*", "QueryName") * part("^[^.]*%.(.+)$", "QueryDomain")

M.query_log_grammar = time * " " * category * severity * "client "
    * (P "@0x" * R("09", "af") ^ 1 * " ") ^ -1 * address "ClientIP" * "#" * Cg(digit ^ 1, "ClientEphemeralPort")
    * " (" * (1 - P ")") ^ 0 * "): " * (P "view " * (1 - P ":") ^ 0 * ": ") ^ -1 * "query: " * name * " "
    * Cg(M.dns_record_class, "RecordClass") * " " * Cg(M.dns_record_type, "RecordType") * " "
    * Cg(Ct((M.query_flags + (1 - S " (")) ^ 0), "QueryFlags") * (P " (" * address "ServerRespondingIP" * ")") ^ -1

return M
