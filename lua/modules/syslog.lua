--[[
What syslog daemons write.

    build_rsyslog_grammar(template)    a pattern that gives a table of the template's properties
    severity                           a pattern: the number of a severity's name, all lower or all upper case

Example
    local syslog = require "syslog"
    local grammar = syslog.build_rsyslog_grammar "%TIMESTAMP% %HOSTNAME% %syslogtag%%msg:::sp-if-no-1st-sp%%msg%\n"
--]]

local l = require "lpeg"
-- Scripts expect the classes of characters in the table that all of them share, as Heka's modules leave them there.
l.locale(l)
local grammars = require "native_grammars"
-- Scripts use these as globals.
require "math"
require "os"
require "string"
local ipairs, upper = ipairs, string.upper

local severity = l.P(false)
for _, pair in ipairs {
    { "debug", 7 }, { "info", 6 }, { "notice", 5 }, { "warning", 4 }, { "warn", 4 }, { "error", 3 }, { "err", 3 },
    { "crit", 2 }, { "alert", 1 }, { "emerg", 0 }, { "panic", 0 },
} do
    severity = severity + (l.P(pair[1]) + upper(pair[1])) * l.Cc(pair[2])
end

return { build_rsyslog_grammar = grammars.build_rsyslog_grammar, severity = severity }
