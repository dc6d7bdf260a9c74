--[[
Reads entries of MariaDB's slow query log.

Configuration
- truncate_sql (int, default none): statements that are longer are cut to so many bytes, and "..." is appended.

Example
    heka-tail --splitter regex --delimiter '(?:;|Argument)\n(# (?:Time|User@Host):)' --delimiter-at start slow.log |
        heka-decode --lua mariadb_slow_query | heka-cat

The Payload is the statement; Fields Query_time and Lock_time (s), Rows_sent, Rows_examined,
Thread_id, Schema, QC_hit and what the log says of the query's plan.
--]]

process_message = require "slow_query" ("mariadb.slow-query", require "mysql".mariadb_slow_query_grammar)
