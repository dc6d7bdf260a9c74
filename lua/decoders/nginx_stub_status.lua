--[[
Reads what nginx's stub_status page shows.

Configuration
- type (string, default "nginx_stub_status"): Type of the messages.
- payload_keep (bool, default false): keep the page as the Payload.

Example
    curl -s http://localhost/status > page; heka-tail --splitter null page | heka-decode --lua nginx_stub_status | heka-cat

Fields: connections accepts handled requests reading writing waiting.
--]]

local l = require "lpeg"
local msg_type = read_config("type") or "nginx_stub_status"
local payload_keep = read_config("payload_keep")

local space = l.S " \t\r\n" ^ 0
local function number(name) return space * l.Cg(l.R "09" ^ 1 / tonumber, name) end

local grammar = l.Ct("Active connections:" * number "connections" * space * "server accepts handled requests"
    * number "accepts" * number "handled" * number "requests" * (space * "request_time" * (1 - l.P "\n") ^ 0) ^ -1
    * space * "Reading:" * number "reading" * space * "Writing:" * number "writing" * space * "Waiting:" * number "waiting")

function process_message()
    local page = read_message("Payload")
    local fields = grammar:match(page)
    if not fields then return -1 end
    inject_message { Type = msg_type, Payload = payload_keep and page or nil, Fields = fields }
    return 0
end
