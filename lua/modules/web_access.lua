--[[
What the decoders of web servers' access logs share: from the grammar of a log format to `process_message`.

    process_message = require "web_access" (grammar, "log_format")

The second argument is what errors call the format. Reads the options type, user_agent_transform, user_agent_keep,
user_agent_conditional, payload_keep and remainder.
--]]

local clf = require "common_log_format"
local native = require "native_grammars"

local msg_type = read_config("type")
local transform = read_config("user_agent_transform")
local keep = read_config("user_agent_keep")
local conditional = read_config("user_agent_conditional")
local payload_keep = read_config("payload_keep")
local remainder = read_config("remainder")

local msg = { Type = msg_type }

return function(grammar, format)
    if not transform then return native.decoder(grammar, msg_type, payload_keep, remainder, format) end

    -- With the user agent to be looked at, the captures have to become a table first.
    return function()
        local line = read_message("Payload")
        local fields = grammar:match(line)
        local misfit, rest = native.misfit(grammar, line, format)
        if not fields or misfit and not remainder then return -1, misfit end

        -- Assigned every time: nothing of the line before may show through.
        msg.Timestamp = fields.time
        fields.time = nil
        msg.Payload = payload_keep and line or nil

        if fields.http_user_agent then
            local browser, version, system = clf.normalize_user_agent(fields.http_user_agent)
            fields.user_agent_browser = browser
            fields.user_agent_version = version
            fields.user_agent_os = system
            if not keep and not (conditional and not browser) then fields.http_user_agent = nil end
        end

        if rest ~= "" then fields.remainder = rest end
        msg.Fields = fields
        inject_message(msg)
        return 0
    end
end
