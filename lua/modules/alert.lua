--[[
Alerts that don't come too often: one in an hour, unless told otherwise.

    send(ns, text)         injects it as a payload of type "alert"; whether it was sent
    queue(ns, text)        keeps it for send_queue; whether it was kept
    send_queue(ns)         sends all that is queued as one alert, a line each; whether it was sent. Lines for which
                           output_limit has no room are counted only
    throttled(ns)          whether an alert at that time would be held back
    set_throttle(ns)       how long to be silent after an alert

`ns` is a time in nanoseconds since 1970; 0 is never held back. When the last alert was sent is in the global
_LAST_ALERT, which is kept with the script's data.

Example
    local alert = require "alert"
    function timer_event(ns)
        if count == 0 then alert.send(ns, "nothing came") end
    end
--]]

require "table"
local listing = require "listing"
local concat, inject_payload, max = table.concat, inject_payload, require "math".max

_LAST_ALERT = 0

local M = {}
local throttle = 3600e9
local queued, size, left = {}, 0, 0

function M.throttled(ns)
    if ns == 0 then return false end
    return ns < _LAST_ALERT or ns - _LAST_ALERT <= throttle
end

function M.set_throttle(ns)
    throttle = ns
end

local function worth(ns, text)
    return text ~= nil and text ~= "" and not M.throttled(ns)
end

function M.queue(ns, text)
    if not worth(ns, text) then return false end
    if size + #text + 1 > listing.limit then
        left = left + 1
    else
        queued[#queued + 1] = text
        size = size + #text + 1
    end
    return true
end

function M.send(ns, text)
    if not worth(ns, text) then return false end
    inject_payload("alert", "", listing.shorten(text, listing.limit))
    _LAST_ALERT = max(_LAST_ALERT, ns)
    return true
end

function M.send_queue(ns)
    if #queued + left == 0 then return false end
    if left > 0 then queued[#queued + 1] = "... and " .. left .. " more" end
    local text = concat(queued, "\n")
    queued, size, left = {}, 0, 0
    return M.send(ns, text)
end

return M
