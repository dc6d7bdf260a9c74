--[[
Reads Apache httpd access logs by the text of their `LogFormat`.

Configuration
- log_format (string, default the "combined" format): as it stands in apache2.conf.
- type (string, default none): Type of the messages; the input's is kept without it.
- user_agent_transform (bool, default false): adds user_agent_browser, user_agent_version and user_agent_os.
- user_agent_keep (bool, default false): with the transform, keep http_user_agent too.
- user_agent_conditional (bool, default false): with the transform, keep it only when no browser was recognised.
- payload_keep (bool, default false): keep the line as the Payload.

Example
    heka-tail access_log | heka-decode --lua apache_access --config user_agent_transform=true | heka-cat

%t sets the Timestamp; every other directive becomes a field, named as nginx names the same thing where it does.
--]]

local clf = require "common_log_format"

local grammar = clf.build_apache_grammar(read_config("log_format")
    or '%h %l %u %t \\"%r\\" %>s %b \\"%{Referer}i\\" \\"%{User-Agent}i\\"')
local msg_type = read_config("type")
local transform = read_config("user_agent_transform")
local keep = read_config("user_agent_keep")
local conditional = read_config("user_agent_conditional")
local payload_keep = read_config("payload_keep")

local msg = { Type = msg_type }

-- With the user agent to be looked at, the captures have to become a table first.
local function process_with_transform()
    local line = read_message("Payload")
    local fields = grammar:match(line)
    if not fields then return -1 end

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

    msg.Fields = fields
    inject_message(msg)
    return 0
end

local function process()
    if grammar:inject(msg_type, payload_keep) then return 0 end
    return -1
end

process_message = transform and process_with_transform or process
