--[[
Reads entries of MySQL's slow query log.

Configuration
- truncate_sql (int, default none): statements that are longer are cut to so many bytes, and "..." is appended.

Example
    heka-tail --splitter regex --delimiter '(?:;|Argument)\n(# (?:Time|User@Host):)' --delimiter-at start slow.log |
        heka-decode --lua mysql_slow_query | heka-cat

The Payload is the statement; Fields Query_time and Lock_time (s), Rows_sent, Rows_examined, and what else
the server writes (Percona's Schema and Rows_affected, MySQL 8's log_slow_extra).
--]]

process_message = require "slow_query" ("mysql.slow-query", require "mysql".slow_query_grammar)
