--[[
Documents what messages there are: for each Logger, Type and EnvVersion the fields, their types and how often they occur.

Configuration
- layout (string, default "logger"): "type" groups by Type alone, as the first versions of Heka did.
- max_names (uint, default 4000): loggers, types, versions and fields that are told apart; further ones are counted only.

Example
    heka-sandbox --lua heka_message_schema decoded.hpb | heka-cat --format payload

Injects a payload of type txt named "Message Schema". A field that not every message has is optional, with how many have
it; one that came with several types is a mismatch.
--]]

require "string"
local listing = require "listing"
local sorted_keys = require "util".sorted_keys

local by_type = read_config("layout") == "type"
local max_names = read_config("max_names") or 4000
-- Names are shown in a list.
local max_length = 255
local types = { [0] = "string", "string", "number", "number", "bool" }

-- Trees of { count, children }; leaves are fields with { count, value type }.
schema = { count = 0, children = {} }
further = 0
-- In the tree; counted anew after a restart.
local names

local function count_names(node)
    local count = 0
    for _, inner in pairs(node.children) do count = count + 1 + count_names(inner) end
    return count
end

-- Nothing for a name that there is no room for.
local function child(node, name)
    name = listing.shorten(name, max_length)
    local found = node.children[name]
    if not found then
        if names >= max_names then
            further = further + 1
            return
        end
        names = names + 1
        found = { count = 0, children = {} }
        node.children[name] = found
    end
    found.count = found.count + 1
    return found
end

local headers = by_type and { "Type" } or { "Logger", "Type", "EnvVersion" }

function process_message()
    names = names or count_names(schema)
    local node = schema
    for _, header in ipairs(headers) do
        node = child(node, read_message(header))
        if not node then return 0 end
    end
    while true do
        local value_type, name = read_next_field()
        if not value_type then return 0 end
        local field = child(node, name)
        if field then
            if field.value_type and field.value_type ~= value_type then field.mismatch = true end
            field.value_type = value_type
        end
    end
end

local function each_child(node, each)
    for _, name in ipairs(sorted_keys(node.children)) do each(name, node.children[name]) end
end

local function add_fields(node, indent)
    each_child(node, function(name, field)
        local text = field.mismatch and "mismatch" or types[field.value_type]
        if field.count ~= node.count then text = string.format("%s - optional [%d]", text, field.count) end
        listing.add(indent, name, " (", text, ")\n")
    end)
end

local levels = {
    { indent = "", empty = "-no logger-" }, { indent = "    ", empty = "-no type-" },
    { indent = "         ", empty = "-no version-" },
}

local function add_level(node, depth)
    local level = levels[depth]
    if not level then return add_fields(node, "            ") end
    each_child(node, function(name, inner)
        listing.add(level.indent, name == "" and level.empty or name, string.format(" [%d]\n", inner.count))
        add_level(inner, depth + 1)
    end)
end

function timer_event(ns)
    if by_type then
        listing.add("Message Types and their associated field attributes. The number in brackets is the number of ",
            "occurrences of each log type/attribute.\n\n")
        each_child(schema, function(name, node)
            listing.add(name, string.format(" [%d]\n", node.count))
            add_fields(node, "    ")
        end)
    else
        listing.add("Logger -> Type -> EnvVersion -> Field Attributes.\n",
            "The number in brackets is the number of occurrences of each logger/type/attribute.\n\n")
        add_level(schema, 1)
    end
    if further > 0 then listing.add("Names beyond the first ", max_names, ": ", further, " times.\n") end
    listing.inject("txt", "Message Schema")
end
