--[[
Counts the most frequent values of a header or field, in bounded memory (the "frequent" algorithm of Misra and Gries).

Configuration
- message_variable (string): what is counted, such as Fields[remote_addr] or Hostname.
- max_items (uint, default 1000): how many values are kept; more make a better list.
- min_output_weight (uint, default 100): values that weigh no more are not shown.
- reset_days (uint, default 1): begin anew after so many days (UTC); 0 is never.

Example
    heka-sandbox --lua frequent_items --config message_variable='Fields[remote_addr]' --ticker 3600 decoded.hpb |
        heka-cat --format payload

Injects a payload of type tsv named "Weighting by VARIABLE": values and weights, the heaviest first.
--]]

require "math"
require "string"
require "table"

local message_variable = read_config("message_variable") or error("message_variable configuration must be specified")
local max_items = read_config("max_items") or 1000
local min_output_weight = read_config("min_output_weight") or 100
local reset_days = read_config("reset_days") or 1

items = {}
items_size = 0
last_reset = 0

local read_message = read_message

function process_message()
    local item = read_message(message_variable)
    if item == nil then return -1 end
    if reset_days > 0 then
        local day = math.floor(read_message("Timestamp") / 86400e9)
        if day < last_reset then return 0 end
        if day - last_reset >= reset_days then
            items, items_size, last_reset = {}, 0, day
        end
    end

    local weight = items[item]
    if weight then
        items[item] = weight + 1
    elseif items_size < max_items then
        items[item] = 1
        items_size = items_size + 1
    else
        for kept, kept_weight in pairs(items) do
            if kept_weight == 1 then
                items[kept] = nil
                items_size = items_size - 1
            else
                items[kept] = kept_weight - 1
            end
        end
    end
    return 0
end

function timer_event(ns)
    local names = {}
    for item, weight in pairs(items) do
        if weight > min_output_weight then names[#names + 1] = item end
    end
    table.sort(names, function(a, b)
        if items[a] ~= items[b] then return items[a] > items[b] end
        return tostring(a) < tostring(b)
    end)
    add_to_payload(message_variable, "\tWeight\n")
    for _, item in ipairs(names) do add_to_payload(tostring(item), string.format("\t%d\n", items[item])) end
    inject_payload("tsv", "Weighting by " .. message_variable)
end
