--[[
Filters that draw numbers of a message as they are: the largest of each row.

    buffer, process, tick = gauges.make(title, names, unit, needed)

names: an array of fields, a column each; needed: whether a message that lacks one is rejected. Reads rows, sec_per_row,
anomaly_config and preservation_version.
--]]

require "circular_buffer"
local chart = require "chart"
local new, ipairs, read_message, type = circular_buffer.new, ipairs, read_message, type

local rows = read_config("rows") or 1440
local sec_per_row = read_config("sec_per_row") or 60

local M = {}

function M.make(title, names, unit, needed)
    chart.preservation_version()
    chart.configure(title, rows * sec_per_row * 1e9)
    local buffer = new(rows, #names, sec_per_row)
    for column, name in ipairs(names) do buffer:set_header(column, name, unit, "max") end

    local function process(value_of)
        local ns = read_message("Timestamp")
        for column, name in ipairs(names) do
            local value
            if value_of and value_of[name] then
                value = value_of[name]()
            else
                value = read_message("Fields[" .. name .. "]")
            end
            if type(value) == "number" then
                buffer:set(ns, column, value)
            elseif needed then
                return -1
            end
        end
        return 0
    end
    return buffer, process, function(ns) chart.inject(ns, title, buffer) end
end

return M
