--[[
Notices hosts that have stopped sending.

Configuration
- heartbeat_timeout (uint, default 30): seconds without a message after which a host is down.
- alert_throttle (uint, default 300): seconds between two alerts for the same host.

Example
    heka-listen ... | heka-sandbox --lua heartbeat --ticker 10 --preserve hosts.state | heka-cat --format payload

Injects an alert for hosts that are down, and a payload of type json named "heartbeat" with the state of all.
--]]

local sorted_keys = require "util".sorted_keys
local alert = require "alert"
local cjson = require "cjson"

local timeout = (read_config("heartbeat_timeout") or 30) * 1000
local throttle = (read_config("alert_throttle") or 300) * 1000
-- Each host has its own.
alert.set_throttle(0)

-- By name; times in milliseconds.
hosts = {}

function process_message()
    local name = read_message("Hostname")
    local host = hosts[name]
    if not host then
        host = { last_alert = 0, status = "up" }
        hosts[name] = host
    end
    host.last_heartbeat = read_message("Timestamp") / 1e6
    return 0
end

function timer_event(ns)
    local now = ns / 1e6
    for _, name in ipairs(sorted_keys(hosts)) do
        local host = hosts[name]
        if now - host.last_heartbeat > timeout then
            host.status = "down"
            if now - host.last_alert > throttle then
                alert.queue(ns, "Missing Heartbeat - " .. name .. "\n")
                host.last_alert = now
            end
        else
            host.status = "up"
        end
    end
    alert.send_queue(ns)
    inject_payload("json", "heartbeat", cjson.encode(hosts))
end
