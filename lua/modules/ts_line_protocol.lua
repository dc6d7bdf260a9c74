--[[
A message's fields as lines of InfluxDB's or Carbon's line protocol, one a value.

    set_config(options)          the other functions' argument
    influxdb_line_msg(config)    an array of lines: name,tag=value... valuekey=value time
    carbon_line_msg(config)      an array of lines: name value time; numbers only

Options: carbon_format (false), decimal_precision ("6"), name_prefix and name_prefix_delimiter, skip_fields_str,
source_value_field (write that field only, named by the prefix), tag_fields_str ("**all_base**"), timestamp_precision
("ms"; s, m, h), value_field_key ("value"). See the encoders schema_influx_line and schema_carbon_line.

A field that comes again is NAME_fidx_1, the second element of an array NAME_vidx_1, the third NAME_vidx_1_vidx_2.

Example
    local protocol = require "ts_line_protocol"
    local lines = protocol.influxdb_line_msg(protocol.set_config { tag_fields_str = "Hostname" })
--]]

local field_util = require "field_util"
local interpolate = require "msg_interpolate".interpolate_from_msg
require "string"
require "table"
local concat, find, format, gsub, sort = table.concat, string.find, string.format, string.gsub, table.sort
local decode_message, ipairs, pairs, read_message = decode_message, ipairs, pairs, read_message
local tonumber, tostring, type = tonumber, tostring, type

local M = {}

function M.set_config(options)
    local config = {
        carbon_format = options.carbon_format or false,
        number_format = "%." .. (tonumber(options.decimal_precision) or 6) .. "f",
        name_prefix = options.name_prefix,
        name_prefix_delimiter = options.name_prefix_delimiter or "",
        source_value_field = options.source_value_field or nil,
        timestamp_precision = options.timestamp_precision or "ms",
        value_field_key = options.value_field_key or "value",
        skip_fields = {},
    }
    if options.skip_fields_str and options.skip_fields_str ~= "" then
        config.skip_fields = field_util.field_map(options.skip_fields_str)
    end
    config.tags, config.tags_all_base, config.tags_all = field_util.field_map(options.tag_fields_str or "**all_base**")
    return config
end

local function escaped(value) return (gsub(tostring(value), "[ ,]", "\\%0")) end

-- Calls each(name, value) for every value of every field that is not left out.
local function each_point(config, fields, each)
    local prefix = config.name_prefix and (interpolate(config.name_prefix)) or ""
    if config.source_value_field then
        local last
        for _, field in ipairs(fields) do
            if field.name == config.source_value_field then last = field.value[#field.value] end
        end
        if last ~= nil then each(prefix, last) end
        return
    end
    local seen = {}
    for _, field in ipairs(fields) do
        local name = field.name
        if not config.skip_fields[name] then
            local count = seen[name]
            seen[name] = (count or 0) + 1
            if config.carbon_format then name = gsub(name, "[^%w]", "_") end
            if config.name_prefix then name = prefix .. config.name_prefix_delimiter .. name
            elseif config.carbon_format then name = config.name_prefix_delimiter .. name end
            if count then name = name .. "_fidx_" .. count end
            for place, value in ipairs(field.value) do
                if place > 1 then name = name .. "_vidx_" .. place - 1 end
                each(name, value)
            end
        end
    end
end

local function fields_of_message()
    return decode_message(read_message("raw")).Fields or {}
end

local function tags(config, fields)
    local list = {}
    local function add(name, value)
        if value ~= nil and value ~= "" then list[#list + 1] = escaped(name) .. "=" .. escaped(value) end
    end
    local names = {}
    for name in pairs(field_util.base_fields_tag_list) do
        if config.tags_all_base or config.tags[name] then names[#names + 1] = name end
    end
    sort(names)
    for _, name in ipairs(names) do add(name, read_message(name)) end
    for _, field in ipairs(fields) do
        local named = config.tags[field.name] and not field_util.base_fields_list[field.name]
        if config.tags_all or named then add(field.name, field.value[1]) end
    end
    return #list > 0 and "," .. concat(list, ",") or ""
end

function M.influxdb_line_msg(config)
    local fields = fields_of_message()
    local time = field_util.message_timestamp(config.timestamp_precision)
    local suffix = tags(config, fields)
    local lines = {}
    each_point(config, fields, function(name, value)
        if type(value) == "number" then
            value = format(config.number_format, value)
        elseif type(value) == "string" then
            value = '"' .. gsub(value, '"', '\\"') .. '"'
        else
            value = tostring(value)
        end
        lines[#lines + 1] = format("%s%s %s=%s %.0f", escaped(name), suffix, config.value_field_key, value, time)
    end)
    return lines
end

function M.carbon_line_msg(config)
    local time = field_util.message_timestamp(config.timestamp_precision)
    local lines = {}
    each_point(config, fields_of_message(), function(name, value)
        value = tostring(value)
        if find(value, "^-?%d[%d.]*$") then lines[#lines + 1] = format("%s %s %.0f", name, value, time) end
    end)
    return lines
end

return M
