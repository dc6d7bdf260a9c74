--[[
Counts the most frequent values of a header or field, in bounded memory (the "frequent" algorithm of Misra and Gries).

Configuration
- message_variable (string): what is counted, such as Fields[remote_addr] or Hostname.
- max_items (uint, default 1000): how many values are kept; more make a better list. Values are told apart by their first
  1,000 bytes.
- min_output_weight (uint, default 100): values that weigh no more are not shown.
- reset_days (uint, default 1): give the list out and begin anew after so many days; 0 is never. What is older than the
  day counts for nothing.
- utc_offset (number, default 0): where days begin, in hours ahead of UTC (2 in Berlin's summer).

Example
    heka-sandbox --lua frequent_items --config message_variable='Fields[remote_addr]' --ticker 3600 decoded.hpb |
        heka-cat --format payload

Injects a payload of type tsv named "Weighting by VARIABLE": values and weights, the heaviest first; at each tick those of
the day so far, and when a day ends its last list. Weights are exact until there are more than max_items values; then each
may be too low, and the head of the list says by how much at most.
--]]

require "math"
require "string"
require "table"
local listing = require "listing"

local message_variable = read_config("message_variable") or error("message_variable configuration must be specified")
local max_items = read_config("max_items") or 1000
local min_output_weight = read_config("min_output_weight") or 100
local reset_days = read_config("reset_days") or 1
local utc_offset = read_config("utc_offset") or 0
local max_length = 1000

items = {}
items_size = 0
last_reset = 0
-- How often all weights were lowered by one; and messages of days before.
lowered = 0
late = 0

local read_message = read_message

local function inject_list()
    local names = {}
    for item, weight in pairs(items) do
        if weight > min_output_weight then names[#names + 1] = item end
    end
    table.sort(names, function(a, b)
        if items[a] ~= items[b] then return items[a] > items[b] end
        return tostring(a) < tostring(b)
    end)
    local notes = lowered > 0 and string.format(" (up to %d too low)", lowered) or ""
    if late > 0 then notes = notes .. string.format(" (%d messages of earlier days left out)", late) end
    listing.add(message_variable, "\tWeight", notes, "\n")
    for _, item in ipairs(names) do listing.add(tostring(item), string.format("\t%d\n", items[item])) end
    listing.inject("tsv", "Weighting by " .. message_variable)
end

function process_message()
    local item = read_message(message_variable)
    if item == nil then return -1 end
    if type(item) == "string" then item = listing.shorten(item, max_length) end
    if reset_days > 0 then
        local day = math.floor((read_message("Timestamp") / 1e9 + utc_offset * 3600) / 86400)
        if day < last_reset then
            late = late + 1
            return 0
        end
        if day - last_reset >= reset_days then
            if items_size > 0 then inject_list() end
            items, items_size, lowered, late, last_reset = {}, 0, 0, 0, day
        end
    end

    local weight = items[item]
    if weight then
        items[item] = weight + 1
    elseif items_size < max_items then
        items[item] = 1
        items_size = items_size + 1
    else
        lowered = lowered + 1
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
    inject_list()
end
