--[[
Slow query logs of MySQL and MariaDB.

    slow_query_grammar, mariadb_slow_query_grammar, percona_slow_query_grammar    a whole entry
    short_slow_query_grammar, mariadb_short_slow_query_grammar      without "# Time" and "# User@Host"

Each gives a message: Timestamp, Hostname (what stands in brackets), Payload (the statement) and Fields Query_time and
Lock_time (s), Rows_sent, Rows_examined, and whatever else the server writes behind `#`: MariaDB's Thread_id, Schema, QC_hit,
Full_scan ..., Percona's Rows_affected.

Example
    local message = require "mysql".slow_query_grammar:match(read_message("Payload"))
--]]

local l = require "lpeg"
-- Scripts expect the classes of characters in the table that all of them share, as Heka's modules leave them there.
l.locale(l)
local rawset, tonumber = rawset, tonumber
local P, R, S, Cc, Cg, Ct = l.P, l.R, l.S, l.Cc, l.Cg, l.Ct

local digit, space = R "09", S " \t" ^ 1
local rest_of_line = (1 - P "\n") ^ 0 * "\n"
local integer = digit ^ 1 / tonumber
local seconds = Ct(Cg(digit ^ 1 * ("." * digit ^ 1) ^ -1 / tonumber, "value") * Cg(Cc "s", "representation"))
local word = l.C((1 - S " \t\n") ^ 0)

local time = (P "# Time: " * rest_of_line) ^ -1
local user = (1 - S "[\n") ^ 1 * "[" * (1 - S "]\n") ^ 0 * "]"
local host = Cg((1 - S "]\n") ^ 0, "Hostname")
local user_host = P "# User@Host: " * user * space * "@" * (1 - S "[\n") ^ 0 * "[" * host * "]" * rest_of_line

-- `# Name: value Name: value …`, as many as there are: MariaDB, Percona's server and MySQL 8 with log_slow_extra write more of
-- them, on this line and on lines of their own.
local name = l.C(R("AZ", "az") * (R("AZ", "az", "09") + "_") ^ 0)
local value = integer * #S " \t\n" + word
local pair = Cg(l.C(P "Query_time" + "Lock_time") * ": " * seconds) + Cg(l.C "Schema" * ": " * word) + Cg(name * ": " * value)
local items = P "# " * pair * (space * pair) ^ 0 * space ^ -1 * "\n"
local query_line = #(P "# Query_time: " * seconds * space * "Lock_time: ") * items
-- MariaDB's log_slow_verbosity = explain.
local explain = P "# explain: " * rest_of_line
local fields = l.Cf(Ct(true) * (items - "# Query_time: ") ^ 0 * query_line * (items - "# administrator" + explain) ^ 0, rawset)

local use = (P "use " * rest_of_line) ^ -1
-- Nine zeros make nanoseconds of the seconds.
local set = P "SET " * (1 - (P "timestamp=" + "\n")) ^ 0 * "timestamp=" * Cg(digit ^ 1 / "%0000000000", "Timestamp") * ";" * rest_of_line
local administrator = (P "# administrator command: " * rest_of_line) ^ -1
local stop = P ";" * (P "\n" + -P(1))
-- Who cuts the log at the end of statements leaves the semicolon out.
local statement = Cg(l.C((1 - stop) ^ 0) * (P ";" + -P(1)) / function(text) return text .. ";" end, "Payload")

local tail = use * set * administrator * statement
local entry = Cg(fields, "Fields") * tail
local whole, short = Ct(time * user_host * entry), Ct(entry)

return {
    slow_query_grammar = whole,
    short_slow_query_grammar = short,
    percona_slow_query_grammar = whole,
    mariadb_slow_query_grammar = whole,
    mariadb_short_slow_query_grammar = short,
}
