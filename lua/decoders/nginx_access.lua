--[[
Reads nginx access logs by the text of their `log_format`.

Configuration
- log_format (string, default nginx's "combined"): as it stands in nginx.conf: the text between the quotes, or the whole
  directive, `log_format main escape=json '...' '...';`. With the directive, values are unescaped as it says.
- type (string, default none): Type of the messages; the input's is kept without it.
- user_agent_transform (bool, default false): adds user_agent_browser, user_agent_version and user_agent_os.
- user_agent_keep (bool, default false): with the transform, keep http_user_agent too.
- user_agent_conditional (bool, default false): with the transform, keep it only when no browser was recognised.
- payload_keep (bool, default false): keep the line as the Payload.
- remainder (bool, default false): what goes on behind the format becomes the field remainder; else such a line is rejected.

Example
    heka-tail access.log | heka-decode --lua nginx_access --config user_agent_transform=true | heka-cat

$time_local, $time_iso8601 and $msec set the Timestamp; every other variable becomes a field of its name. A variable that is
a number and has no value ("" or, among several, "-") becomes none.
--]]

local clf = require "common_log_format"

local log_format = read_config("log_format")
    or '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'

process_message = require "web_access" (clf.build_nginx_grammar(log_format), "log_format")
