--[[
Reads Apache httpd access logs by the text of their `LogFormat`.

Configuration
- log_format (string, default the "combined" format): as it stands in apache2.conf.
- type (string, default none): Type of the messages; the input's is kept without it.
- user_agent_transform (bool, default false): adds user_agent_browser, user_agent_version and user_agent_os.
- user_agent_keep (bool, default false): with the transform, keep http_user_agent too.
- user_agent_conditional (bool, default false): with the transform, keep it only when no browser was recognised.
- payload_keep (bool, default false): keep the line as the Payload.
- remainder (bool, default false): what goes on behind the format becomes the field remainder; else such a line is rejected.

Example
    heka-tail access_log | heka-decode --lua apache_access --config user_agent_transform=true | heka-cat

%t sets the Timestamp; every other directive becomes a field, named as nginx names the same thing where it does.
--]]

local clf = require "common_log_format"

local log_format = read_config("log_format")
    or '%h %l %u %t \\"%r\\" %>s %b \\"%{Referer}i\\" \\"%{User-Agent}i\\"'

process_message = require "web_access" (clf.build_apache_grammar(log_format), "log_format")
