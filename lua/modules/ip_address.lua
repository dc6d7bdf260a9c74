--[[
IP addresses as patterns, which match a prefix and capture nothing.

    v4    four numbers from 0 to 255, without leading zeros
    v6    RFC 3986's forms, also with a v4 address at the end; no zone, no brackets

Example
    local ip = require "ip_address"
    local address = lpeg.Ct(lpeg.Cg(ip.v4, "value") * lpeg.Cg(lpeg.Cc "ipv4", "representation"))
--]]

local l = require "lpeg"
local grammars = require "native_grammars"
-- Scripts expect the classes of characters in the table that all of them share, as Heka's modules leave them there.
l.locale(l)

return { v4 = grammars.ipv4, v6 = grammars.ipv6 }
