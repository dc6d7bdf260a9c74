--[[
Small things with tables.

    table_to_fields(t, fields, parent, separator, max_depth)
        puts the values of nested tables into `fields`, under their keys joined by the separator ("." unless given); a
        table at max_depth becomes its JSON text; values that get one name are all kept, in order
    behead_array(place, array)    removes what is before that place
    sorted_keys(t)                an array of the keys, in order

Example
    local fields = {}
    util.table_to_fields({ a = { b = 1 } }, fields)    -- fields["a.b"] = 1
--]]

local cjson = require "cjson"
local sort = require "table".sort
local pairs, tostring, type = pairs, tostring, type

local M = {}

-- Two keys may give one name, { ["a.b"] = 1, a = { b = 2 } }: what is kept must not depend on the order of a walk.
local function put(fields, name, value)
    local known = fields[name]
    if known == nil then
        fields[name] = value
        return
    end
    local values = type(known) == "table" and known or { known }
    values[#values + 1] = value
    for at = 1, #values do
        -- The values of a field have one type.
        if type(values[at]) ~= type(values[1]) or type(values[at]) == "boolean" then
            for all = 1, #values do values[all] = tostring(values[all]) end
            break
        end
    end
    sort(values)
    fields[name] = values
end

local function flatten(t, fields, parent, separator, max_depth, depth)
    for key, value in pairs(t) do
        local name = parent and parent .. separator .. tostring(key) or tostring(key)
        local kind = type(value)
        if kind == "table" then
            if max_depth and depth >= max_depth then
                put(fields, name, cjson.encode(value))
            else
                flatten(value, fields, name, separator, max_depth, depth + 1)
            end
        elseif kind ~= "userdata" then
            put(fields, name, value)
        end
    end
end

function M.table_to_fields(t, fields, parent, separator, max_depth)
    flatten(t, fields, parent, separator or ".", max_depth, 1)
end

function M.behead_array(place, array)
    local count = #array
    for at = 1, count do array[at] = array[at + place - 1] end
end

function M.sorted_keys(t)
    local keys = {}
    for key in pairs(t) do keys[#keys + 1] = key end
    sort(keys)
    return keys
end

return M
