--[[
Reads entries of MySQL's slow query log.

Configuration
- truncate_sql (int, default none): statements that are longer are cut to so many bytes, and "..." is appended.

Example
    heka-tail --splitter regex --delimiter '\n(# (?:User@Host|Time):)' slow.log | heka-decode --lua mysql_slow_query | heka-cat

The Payload is the statement; Fields Query_time and Lock_time (s), Rows_sent, Rows_examined.
--]]

process_message = require "slow_query" ("mysql.slow-query", require "mysql".slow_query_grammar)
