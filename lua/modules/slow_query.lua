--[[
What the decoders of slow query logs share: from the grammar to `process_message`.

    process_message = require "slow_query" (type, grammar)

Reads the option truncate_sql. Headings (`# Time:` by itself, what a server writes when it starts) are passed on as they are.
--]]

require "string"
local truncate_sql = read_config("truncate_sql")
local inject_message, read_message, find, sub = inject_message, read_message, string.find, string.sub

-- What stands between entries: a time of its own, and what a server writes when it starts.
local function is_heading(text)
    return find(text, "^# Time: [^\n]*%s*$") or find(text, "\nTime%s+Id%s+Command[%sArgument]*$")
end

return function(msg_type, grammar)
    return function()
        local text = read_message("Payload")
        local msg = grammar:match(text)
        if not msg then
            if is_heading(text) then return 0 end
            return -1, "this is no entry of a slow query log (see the example for how the log is cut into entries)"
        end
        msg.Type = msg_type
        if truncate_sql and #msg.Payload > truncate_sql then msg.Payload = sub(msg.Payload, 1, truncate_sql) .. "..." end
        inject_message(msg)
        return 0
    end
end
