--[[
Writes messages as Slack's incoming webhooks take them.

Configuration
- text (string, default "%{Payload}"): the message; %{X} is a header or a field.
- channel, username, icon_emoji (string, default the webhook's).

Example
    heka-http --encoder slack --config icon_emoji=:fire: --url "$HOOK" alerts.hpb
--]]

local cjson = require "cjson"
require "string"

local text = read_config("text") or "%{Payload}"
local headers = {
    Type = true, Logger = true, Hostname = true, Payload = true, EnvVersion = true, Pid = true, Severity = true, Uuid = true,
}

local body = {
    channel = read_config("channel"), username = read_config("username"), icon_emoji = read_config("icon_emoji"),
}

function process_message()
    body.text = string.gsub(text, "%%{(.-)}", function(name)
        local value
        if headers[name] then
            value = read_message(name)
        else
            value = read_message("Fields[" .. name .. "]")
        end
        return value ~= nil and tostring(value) or nil
    end)
    inject_payload("json", "slack", cjson.encode(body))
    return 0
end
