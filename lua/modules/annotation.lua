--[[
Annotations of graphs, by the name of the payload that they belong to.

    create(ns, column, short, text)         an annotation
    add(name, ns, column, short, text)      makes one and keeps it
    concat(name, annotations)               keeps several
    prune(name, ns)                         forgets old ones; JSON of the rest, with a newline, to stand before a buffer
    set_prune(name, ns)                     for how long one is kept; a day unless told otherwise
    remove(name)                            forgets all of a name

They are in the global _ANNOTATIONS, which is kept with the script's data.

Example
    local annotation = require "annotation"
    function timer_event(ns)
        add_to_payload(annotation.prune("Requests", ns), data)
        inject_payload("cbuf", "Requests")
    end
--]]

local cjson = require "cjson"
local encode, floor, ipairs = cjson.encode, require "math".floor, ipairs

_ANNOTATIONS = {}

local M = {}
local a_day = 86400e9

-- What is kept under a name. Files of older versions have the annotations in the table itself.
local function entry(name, make)
    local kept = _ANNOTATIONS[name]
    if kept and not kept.annotations then
        local list = {}
        for place, annotation in ipairs(kept) do list[place] = annotation end
        kept = { annotations = list, prune_duration = kept._prune_duration or a_day }
        _ANNOTATIONS[name] = kept
    elseif not kept and make then
        kept = { annotations = {}, prune_duration = a_day }
        _ANNOTATIONS[name] = kept
    end
    return kept
end

function M.create(ns, column, short, text)
    return { x = floor(ns / 1e6), col = column, shortText = short, text = text }
end

function M.concat(name, annotations)
    local list = entry(name, true).annotations
    for _, annotation in ipairs(annotations) do list[#list + 1] = annotation end
end

function M.add(name, ns, column, short, text)
    M.concat(name, { M.create(ns, column, short, text) })
end

function M.prune(name, ns)
    local kept = entry(name)
    if not kept then return nil end
    local list = {}
    for _, annotation in ipairs(kept.annotations) do
        if annotation.x * 1e6 + kept.prune_duration > ns then list[#list + 1] = annotation end
    end
    kept.annotations = list
    return encode { annotations = list } .. "\n"
end

function M.remove(name)
    _ANNOTATIONS[name] = nil
end

function M.set_prune(name, ns)
    entry(name, true).prune_duration = ns
end

return M
