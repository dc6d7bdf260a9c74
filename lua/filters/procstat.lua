--[[
How busy the processors were between two messages of type stats.procstat (see the decoder linux_procstat).

Configuration
- whitelist (string, default all): a Lua pattern; only lines of /proc/stat whose name it matches.
- extras (bool, default false): add the differences, and the parts of user, nice, system, idle and iowait.
- percent_integer (bool, default true): round percentages.

Example
    heka-sandbox --lua procstat --config whitelist='^cpu' stat.hpb | heka-cat

Injects a message of Type procstat (heka.sandbox.procstat) for each message but the first, with Fields such as cpu_percent.
--]]

require "math"
require "string"

local whitelist = read_config("whitelist") or ""
local extras = read_config("extras")
local percent_integer = read_config("percent_integer")
if percent_integer == nil then percent_integer = true end

local columns = {
    "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guestnice",
}
local shown = { "user", "nice", "system", "idle", "iowait" }

-- The numbers of the message before, by name.
last = nil

local function read_all()
    local all = {}
    while true do
        local value_type, name, _, _, count = read_next_field()
        if not value_type then return all end
        if string.find(name, whitelist) then
            local numbers = {}
            for place = 1, count do numbers[place] = read_message("Fields[" .. name .. "]", 0, place - 1) end
            all[name] = numbers
        end
    end
end

local function percent(part, total)
    if total == 0 then return 0 end
    local value = 100 * part / total
    if percent_integer then value = math.ceil(value - 0.5) end
    return value
end

local function differences(now, before)
    local deltas, total = {}, 0
    for place, number in ipairs(now) do
        deltas[place] = number - (before[place] or 0)
        total = total + deltas[place]
    end
    return deltas, total
end

local function add_processor(fields, name, now, before)
    local deltas, total = differences(now, before)
    fields[name .. "_percent"] = percent(total - (deltas[4] or 0), total)
    if not extras then return end
    for place, delta in ipairs(deltas) do
        if columns[place] then fields[name .. "_delta_" .. columns[place]] = delta end
        if shown[place] then fields[name .. "_percent_" .. shown[place]] = percent(delta, total) end
    end
    fields[name .. "_delta_ticks"] = total
end

function process_message()
    local now, before = read_all(), last
    last = now
    if not before then return 0 end
    local fields = {}
    for name, numbers in pairs(now) do
        if before[name] then
            if string.find(name, "^cpu") then
                add_processor(fields, name, numbers, before[name])
            elseif extras and name == "softirq" then
                for place, delta in ipairs((differences(numbers, before[name]))) do
                    fields[name .. "_delta_" .. place] = delta
                end
            elseif extras and #numbers == 1 then
                fields[name .. "_delta"] = numbers[1] - before[name][1]
            end
        end
    end
    local payload = read_message("Payload")
    local injected, why = pcall(inject_message, {
        Type = "procstat", Timestamp = read_message("Timestamp"), Payload = payload ~= "" and payload or nil, Fields = fields,
    })
    return injected and 0 or -1, why
end

function timer_event(ns)
end
