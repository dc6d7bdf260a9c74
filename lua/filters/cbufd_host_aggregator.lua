--[[
Draws the deltas of a circular buffer by host: a graph for each column of the source, a column for each host.

Configuration
- max_hosts (uint): columns of each graph. More active hosts than that end the filter.
- rows (uint): rows of each graph; fewer than the source's, as a rule.
- host_expiration (uint, default 120): seconds without a message after which another host may take a host's column.
- anomaly_config (string, default none): what is unusual; see the module anomaly.
- preservation_version (uint, default 0): a new number makes a restart begin with empty windows.

Example
    heka-sandbox --lua cbufd_host_aggregator --config max_hosts=5 --config rows=60 \
        --match "Fields[payload_type] == 'cbufd'" --ticker 60 deltas.hpb | heka-cat --format payload

Injects payloads of type cbuf named "PAYLOAD (COLUMN)".
--]]

require "circular_buffer"
local cbufd = require "cbufd"
local chart = require "chart"
local sorted_keys = require "util".sorted_keys

local max_hosts = read_config("max_hosts") or error("max_host configuration must be specified")
local rows = read_config("rows") or error("rows configuration must be specified")
local expiration = (read_config("host_expiration") or 120) * 1e9
chart.preservation_version()

-- By name: the column and the time of the last message.
hosts = {}
hosts_size = 0
-- By payload name: an array of { name, unit, aggregation, buffer }.
graphs = {}

local function set_headers(name, column)
    for _, list in pairs(graphs) do
        for _, graph in ipairs(list) do graph.buffer:set_header(column, name, graph.unit, graph.aggregation) end
    end
end

-- The host's column.
local function column_of(name, ns)
    local host = hosts[name]
    if host then
        if ns > host.last_update then host.last_update = ns end
        return host.column
    end
    local column
    if hosts_size < max_hosts then
        hosts_size = hosts_size + 1
        column = hosts_size
    else
        for other, seen in pairs(hosts) do
            if ns - seen.last_update >= expiration then
                column = seen.column
                hosts[other] = nil
                break
            end
        end
        if not column then error("The number of hosts exceeds the 'max_hosts' configuration") end
    end
    hosts[name] = { column = column, last_update = ns }
    set_headers(name, column)
    return column
end

local function make(name, header)
    local info = cbufd.read_header(header)
    if not info then return nil end
    local list = {}
    for place, described in ipairs(info.column_info) do
        local made, buffer = pcall(circular_buffer.new, rows, max_hosts, info.seconds_per_row)
        if not made then return nil end
        list[place] = { name = described.name, unit = described.unit, aggregation = described.aggregation, buffer = buffer }
    end
    graphs[name] = list
    for host, known in pairs(hosts) do set_headers(host, known.column) end
    return list
end

function process_message()
    local delta = cbufd.grammar:match(read_message("Payload"))
    if not delta then return -1 end
    local name = read_message("Fields[payload_name]") or ""
    local list = graphs[name] or make(name, delta.header)
    if not list then return -1 end
    local column = column_of(read_message("Hostname"), read_message("Timestamp"))

    for _, row in ipairs(delta) do
        for place, graph in ipairs(list) do
            cbufd.apply(graph.buffer, row.time, column, row[place], graph.aggregation)
        end
    end
    return 0
end

function timer_event(ns)
    for _, name in ipairs(sorted_keys(graphs)) do
        for _, graph in ipairs(graphs[name]) do
            inject_payload("cbuf", name .. " (" .. graph.name .. ")",
                '{"options":{"stackedGraph":true,"fillGraph":true}}\n', graph.buffer)
        end
    end
end
