--[[
Logs of web servers.

    build_nginx_grammar(log_format)     a pattern that gives a table of the format's variables; `time` in nanoseconds
    build_apache_grammar(log_format)    the same for a LogFormat
    nginx_error_grammar                 a pattern that gives a message: Timestamp, Severity, Pid, Fields.tid and
                                        Fields.connection, and the text as Payload
    normalize_user_agent(text)          browser, version, system; each may be nil

Example
    local clf = require "common_log_format"
    local fields = clf.build_nginx_grammar('$remote_addr "$request" $status'):match(line)
--]]

local l = require "lpeg"
local grammars = require "native_grammars"
-- Scripts expect the classes of characters in the table that all of them share, as Heka's modules leave them there.
l.locale(l)
-- Scripts use these as globals.
require "os"
require "string"
local rawset, require, setmetatable, tonumber = rawset, require, setmetatable, tonumber

local function build_nginx_error_grammar()
    local dt = require "date_time"
    local syslog = require "syslog"
    local number = l.R "09" ^ 1 / tonumber
    local stamp = l.Ct(dt.date_fullyear * "/" * dt.date_month * "/" * dt.date_mday * " "
        * dt.time_hour * ":" * dt.time_minute * ":" * dt.time_second) / dt.time_to_ns
    local fields = l.Cg(number, "tid") * ": " * ("*" * l.Cg(number, "connection") * " ") ^ -1
    return l.Ct(l.Cg(stamp, "Timestamp") * " [" * l.Cg(syslog.severity, "Severity") * "] "
        * l.Cg(number, "Pid") * "#" * l.Cg(l.Ct(fields), "Fields") * l.Cg(l.P(1) ^ 0, "Payload"))
end

return setmetatable({
    build_nginx_grammar = grammars.build_nginx_grammar,
    build_apache_grammar = grammars.build_apache_grammar,
    normalize_user_agent = grammars.normalize_user_agent,
}, {
    -- Few scripts want it, and building it takes longer than all else here.
    __index = function(module, name)
        if name ~= "nginx_error_grammar" then return nil end
        rawset(module, name, build_nginx_error_grammar())
        return module[name]
    end,
})
