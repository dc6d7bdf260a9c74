require "string"
require "table"
local dbg = {}

function process_message()
    table.insert(dbg, string.format("Entering function x arg1: %s", read_message("Payload")))
    table.insert(dbg, "Exiting function x")
    return 0
end

function timer_event(ns)
    output(table.concat(dbg, "\n"))
    inject_message("txt", "debug")
end
