--[[
Writes messages as Slack's incoming webhooks take them.

Configuration
- text (string, default "%{Payload}"): the message; %{X} is a header or a field.
- channel, username, icon_emoji (string, default the webhook's).

Example
    heka-http --encoder slack --config icon_emoji=:fire: --url "$HOOK" alerts.hpb
--]]

local cjson = require "cjson"
local replace = require "msg_interpolate".replace

local text = read_config("text") or "%{Payload}"
local headers = {
    Type = "Type", Logger = "Logger", Hostname = "Hostname", Payload = "Payload", EnvVersion = "EnvVersion", Pid = "Pid",
    Severity = "Severity", Uuid = "Uuid",
}

local body = {
    channel = read_config("channel"), username = read_config("username"), icon_emoji = read_config("icon_emoji"),
}

function process_message()
    body.text = replace(text, headers)
    inject_payload("json", "slack", cjson.encode(body))
    return 0
end
