--[[
What the decoders of slow query logs share: from the grammar to `process_message`.

    process_message = require "slow_query" (type, grammar)

Reads the option truncate_sql.
--]]

require "string"
local truncate_sql = read_config("truncate_sql")
local inject_message, read_message, sub = inject_message, read_message, string.sub

return function(msg_type, grammar)
    return function()
        local msg = grammar:match(read_message("Payload"))
        if not msg then return -1 end
        msg.Type = msg_type
        if truncate_sql and #msg.Payload > truncate_sql then msg.Payload = sub(msg.Payload, 1, truncate_sql) .. "..." end
        inject_message(msg)
        return 0
    end
end
