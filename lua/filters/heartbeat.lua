--[[
Notices hosts that have stopped sending.

Configuration
- heartbeat_timeout (uint, default 30): seconds without a message after which a host is down.
- alert_throttle (uint, default 300): seconds between two alerts for the same host.
- max_hosts (uint, default 5000): further hosts are not watched.

Example
    heka-listen --heka --tcp 5565 | heka-sandbox --lua heartbeat --ticker 10 --preserve hosts.state | heka-cat --format payload

Injects an alert for hosts that are down, and payloads of type json named "heartbeat" with the state of all: as many as
--output-limit makes of them.
--]]

local listing = require "listing"
local sorted_keys = require "util".sorted_keys
local alert = require "alert"
local cjson = require "cjson"

local timeout = (read_config("heartbeat_timeout") or 30) * 1000
local throttle = (read_config("alert_throttle") or 300) * 1000
local max_hosts = read_config("max_hosts") or 5000
-- Names of hosts have at most 253.
local max_length = 255
-- Each host has its own.
alert.set_throttle(0)

-- By name; times in milliseconds.
hosts = {}
-- Counted anew after a restart.
local host_count

function process_message()
    if not host_count then
        host_count = 0
        for _ in pairs(hosts) do host_count = host_count + 1 end
    end
    local name = listing.shorten(read_message("Hostname"), max_length)
    local host = hosts[name]
    if not host then
        if host_count >= max_hosts then return -1, "there are more than max_hosts" end
        host_count = host_count + 1
        host = { last_alert = 0, status = "up" }
        hosts[name] = host
    end
    host.last_heartbeat = read_message("Timestamp") / 1e6
    return 0
end

-- A host's state takes less than a hundred bytes beside its name, of which each may become six.
local function inject_hosts(names)
    local part, size = {}, 0
    for _, name in ipairs(names) do
        local more = 6 * #name + 100
        if size + more > listing.limit then
            inject_payload("json", "heartbeat", cjson.encode(part))
            part, size = {}, 0
        end
        part[name], size = hosts[name], size + more
    end
    inject_payload("json", "heartbeat", cjson.encode(part))
end

function timer_event(ns)
    local now = ns / 1e6
    local names = sorted_keys(hosts)
    for _, name in ipairs(names) do
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
    inject_hosts(names)
end
