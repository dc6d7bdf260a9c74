--[[
What the filters that draw share.

    chart.configure(title, span)         reads anomaly_config; annotations are kept for that many nanoseconds
    chart.preservation_version(more)     reads preservation_version into _PRESERVATION_VERSION; `more` is added
    chart.inject(ns, title, buffer)      injects the buffer; with anomaly_config after a look for what is unusual: a hit is
                                         an annotation and, unless alerts are throttled, an alert
--]]

local alert = require "alert"
local annotation = require "annotation"
local anomaly = require "anomaly"
local inject_payload, read_config = inject_payload, read_config

local M = {}
local config = anomaly.parse_config(read_config("anomaly_config"))

function M.configure(title, span)
    annotation.set_prune(title, span)
end

function M.preservation_version(more)
    _PRESERVATION_VERSION = (read_config("preservation_version") or 0) + (more or 0)
end

-- Text of an alert, if there is one now. Its annotations are kept.
function M.detect(ns, title, buffer)
    if not config or alert.throttled(ns) then return nil end
    local text, annotations = anomaly.detect(ns, title, buffer, config)
    if text then annotation.concat(title, annotations) end
    return text
end

-- The buffer as a payload, with the annotations in front if there can be any.
function M.inject_buffer(ns, title, buffer)
    if config then
        inject_payload("cbuf", title, annotation.prune(title, ns) or "", buffer)
    else
        inject_payload("cbuf", title, buffer)
    end
end

function M.inject(ns, title, buffer)
    local text = M.detect(ns, title, buffer)
    if text then alert.send(ns, text) end
    M.inject_buffer(ns, title, buffer)
end

return M
