--[[
Slow query logs of MySQL and MariaDB.

    slow_query_grammar, mariadb_slow_query_grammar                  a whole entry
    short_slow_query_grammar, mariadb_short_slow_query_grammar      without "# Time" and "# User@Host"

Each gives a message: Timestamp, Hostname (what stands in brackets), Payload (the statement) and Fields Query_time and
Lock_time (s), Rows_sent, Rows_examined, and whatever else the server writes behind `#`; MariaDB's also Thread_id, Schema, QC_hit, and Full_scan, Full_join, Tmp_table,
Tmp_table_on_disk, Filesort, Filesort_on_disk and Merge_passes where the log has them.

Example
    local message = require "mysql".slow_query_grammar:match(read_message("Payload"))
--]]

local l = require "lpeg"
local rawset, tonumber = rawset, tonumber
local P, R, S, Cc, Cg, Ct = l.P, l.R, l.S, l.Cc, l.Cg, l.Ct

local digit, space = R "09", S " \t" ^ 1
local rest_of_line = (1 - P "\n") ^ 0 * "\n"
local integer = digit ^ 1 / tonumber
local seconds = Ct(Cg(digit ^ 1 * ("." * digit ^ 1) ^ -1 / tonumber, "value") * Cg(Cc "s", "representation"))
local word = l.C((1 - S " \t\n") ^ 0)

-- `Name: value`
local function item(name, value) return P(name) * ": " * Cg(value, name) end
local function optional(pattern) return (space ^ -1 * pattern) ^ -1 end

local time = (P "# Time: " * rest_of_line) ^ -1
local user = (1 - S "[\n") ^ 1 * "[" * (1 - S "]\n") ^ 0 * "]"
local host = Cg((1 - S "]\n") ^ 0, "Hostname")
local user_host = P "# User@Host: " * user * space * "@" * (1 - S "[\n") ^ 0 * "[" * host * "]" * rest_of_line

local query = P "# " * item("Query_time", seconds) * space * item("Lock_time", seconds) * space
    * item("Rows_sent", integer) * space * item("Rows_examined", integer) * rest_of_line
-- `# Name: value Name: value …`, as many as there are: Percona's server and MySQL 8 with log_slow_extra write more of them, on
-- this line and on lines of their own.
local name = l.C(R("AZ", "az") * (R("AZ", "az", "09") + "_") ^ 0)
local value = integer * #S " \t\n" + word
local pair = Cg(l.C(P "Query_time" + "Lock_time") * ": " * seconds) + Cg(name * ": " * value)
local items = P "# " * pair * (space * pair) ^ 0 * space ^ -1 * "\n"
local query_line = #(P "# Query_time: " * seconds * space * "Lock_time: ") * items
local any_items = l.Cf(Ct(true) * (items - "# Query_time: ") ^ 0 * query_line * (items - "# administrator") ^ 0, rawset)

local thread = P "# " * item("Thread_id", integer) * space * item("Schema", word) * space * item("QC_hit", word) * rest_of_line
local plan = (P "# " * item("Full_scan", word) * optional(item("Full_join", word)) * optional(item("Tmp_table", word))
    * optional(item("Tmp_table_on_disk", word)) * rest_of_line) ^ -1
local sorting = (P "# " * item("Filesort", word) * optional(item("Filesort_on_disk", word))
    * optional(item("Merge_passes", integer)) * rest_of_line) ^ -1
-- What later servers add.
local further = (P "# " * (P "Rows_affected" + "Bytes_sent" + "Pages_accessed" + "Priority_queue") * rest_of_line) ^ 0

local use = (P "use " * rest_of_line) ^ -1
-- Nine zeros make nanoseconds of the seconds.
local set = P "SET " * (1 - (P "timestamp=" + "\n")) ^ 0 * "timestamp=" * Cg(digit ^ 1 / "%0000000000", "Timestamp") * ";" * rest_of_line
local administrator = (P "# administrator command: " * rest_of_line) ^ -1
local stop = P ";" * (P "\n" + -P(1))
-- Who cuts the log at the end of statements leaves the semicolon out.
local statement = Cg(l.C((1 - stop) ^ 0) * (P ";" + -P(1)) / function(text) return text .. ";" end, "Payload")

local tail = use * set * administrator * statement
local function message(head, fields) return Ct(head * Cg(fields, "Fields") * tail) end
local maria = thread * query * plan * sorting * further

return {
    slow_query_grammar = message(time * user_host, any_items),
    short_slow_query_grammar = message(P(true), any_items),
    mariadb_slow_query_grammar = message(time * user_host, Ct(maria)),
    mariadb_short_slow_query_grammar = message(P(true), Ct(maria)),
}
