--[[
Writes messages as Slack's incoming webhooks take them.

Configuration
- text (string, default "%{Payload}"): the message; %{X} is a header or a field.
- max_length (uint, default 39000): bytes of a text; Slack cuts what is longer than 40,000 characters.
- channel, username, icon_emoji (string, default the webhook's).

Example
    heka-http --encoder slack --config icon_emoji=:fire: --url "$HOOK" alerts.hpb
--]]

local cjson = require "cjson"
local replace = require "msg_interpolate".replace
local shorten = require "listing".shorten

local text = read_config("text") or "%{Payload}"
local max_length = read_config("max_length") or 39000
local headers = {
    Type = "Type", Logger = "Logger", Hostname = "Hostname", Payload = "Payload", EnvVersion = "EnvVersion", Pid = "Pid",
    Severity = "Severity", Uuid = "Uuid",
}

local body = {
    channel = read_config("channel"), username = read_config("username"), icon_emoji = read_config("icon_emoji"),
}

function process_message()
    body.text = shorten(replace(text, headers), max_length)
    inject_payload("json", "slack", cjson.encode(body))
    return 0
end
