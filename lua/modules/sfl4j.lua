--[[
Log events of Java programs as Dropwizard's SLF4J writes them:

    ERROR [2014-11-21 16:35:59,501] com.example.Jobs: no such job
    ! java.io.IOException: Read timed out
    ! at java.net.SocketInputStream.read(SocketInputStream.java:152)

    logevent_grammar    a table: severity (syslog's number), timestamp (ns, UTC), class, message, and stacktrace where lines follow

Example
    local fields = sfl4j.logevent_grammar:match(read_message("Payload"))
--]]

local l = require "lpeg"
local dt = require "date_time"
local tonumber = tonumber
local C, Cg, Ct, P, R, S = l.C, l.Cg, l.Ct, l.P, l.R, l.S

local M = {}

local function named(name, severity) return P(name) * l.Cc(severity) end
local level = named("TRACE", 7) + named("DEBUG", 7) + named("INFO", 6) + named("WARN", 4) + named("ERROR", 3) + named("FATAL", 0)

local milliseconds = C(R "09" ^ 1) / function(digits) return tonumber("." .. digits) end
local time = Ct(
    dt.rfc3339_full_date * " " * dt.time_hour * ":" * dt.time_minute * ":" * dt.time_second * S ",." * Cg(milliseconds, "sec_frac")
) / dt.time_to_ns

local text = (1 - P "\n") ^ 0
-- A line of blanks is none of the trace's.
local trace_line = S " \t" ^ 0 * (1 - S " \t\n") * text * (P "\n" + -1)

M.logevent_grammar = Ct(
    Cg(level, "severity") * P " " ^ 1 * "[" * Cg(time, "timestamp") * "] " * Cg((1 - S ": \n") ^ 1, "class") * ": "
    * Cg(text, "message") * P "\n" ^ -1 * Cg(C(trace_line ^ 1), "stacktrace") ^ -1
)

return M
