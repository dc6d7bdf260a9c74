--[[
Watches how many messages the plugins of a Heka daemon fail on, by its messages of type heka.all-report.

Configuration
- anomaly_config (string, default mww_nonparametric("DEFAULT", 1, 5, 10, 0.7)): what is unusual; see the module anomaly.
  DEFAULT stands for plugins that are not named.

Example
    heka-sandbox --lua heka_process_message_failures --ticker 60 reports.hpb | heka-cat --format payload

Injects alerts, one for a plugin in an hour at most.
--]]

require "circular_buffer"
local alert = require "alert"
local anomaly = require "anomaly"
local cjson = require "cjson"
local sorted_keys = require "util".sorted_keys

local config = anomaly.parse_config(read_config("anomaly_config") or 'mww_nonparametric("DEFAULT", 1, 5, 10, 0.7)')
local an_hour = 3600e9

-- By name: the buffer, and when there was an alert.
plugins = {}
-- Of the last report.
local reported = {}
-- Each plugin is looked at on its own, also where the configuration is the same.
local configs = {}

local function config_of(name)
    if not configs[name] then
        local copy = {}
        for place, call in ipairs(config[name] or config.DEFAULT or {}) do copy[place] = call end
        configs[name] = { [name] = copy }
    end
    return configs[name]
end

local function read_section(ns, section, entries)
    if type(entries) ~= "table" then return nil end
    for _, entry in ipairs(entries) do
        if type(entry) ~= "table" then return "invalid entry in section " .. section end
        local name = entry.Name
        if type(name) ~= "string" then return "missing plugin Name" end
        local failures = type(entry.ProcessMessageFailures) == "table" and entry.ProcessMessageFailures.value
        if type(failures) == "number" then
            reported[name] = true
            local plugin = plugins[name]
            if not plugin then
                plugin = { data = circular_buffer.new(60, 1, 60), last_alert = 0 }
                plugin.data:set_header(1, "Failures", "count", "max")
                plugins[name] = plugin
            end
            if failures > 0 then plugin.data:set(ns, 1, failures) end
        end
    end
end

function process_message()
    local ok, report = pcall(cjson.decode, read_message("Payload"))
    if not ok or type(report) ~= "table" then return -1, "the report is no JSON object" end
    reported = {}
    local ns = read_message("Timestamp")
    for _, section in ipairs { "inputs", "decoders", "filters", "encoders", "outputs" } do
        local problem = read_section(ns, section, report[section])
        if problem then return -1, problem end
    end
    return 0
end

function timer_event(ns)
    for _, name in ipairs(sorted_keys(plugins)) do
        local plugin = plugins[name]
        if not reported[name] then
            plugins[name] = nil
            configs[name] = nil
        elseif plugin.last_alert == 0 or ns - plugin.last_alert > an_hour then
            local text = anomaly.detect(ns, name, plugin.data, config_of(name))
            if text then
                alert.queue(0, text)
                plugin.last_alert = ns
            end
        end
    end
    alert.send_queue(0)
end
