--[[
Reads /proc/net/dev: a message for each interface.

Configuration
- payload_keep (bool, default false): keep the text as the Payload.

Example
    heka-tail --splitter null /proc/net/dev | heka-decode --lua linux_netdev | heka-cat

Type stats.netdev; Fields netdevice, receive_X and transmit_X for each of the header's words, and FilePath, if the input has it.
--]]

local l = require "lpeg"
local linux = require "linux_stats"

local blank = l.S " \t" ^ 0
local word = l.C((1 - l.S " \t|\n") ^ 1)
local head = (1 - l.P "\n") ^ 0 * "\n" * blank * "face" * blank * "|" * l.Ct((blank * word) ^ 1) * blank * "|"
    * l.Ct((blank * word) ^ 1) * blank * "\n"
local line = l.Ct(blank * l.C((1 - l.S ": \n") ^ 1) * ":" * l.Ct((blank * (l.R "09" ^ 1 / tonumber)) ^ 1) * blank * "\n")
local grammar = l.Ct(head * l.Ct(line ^ 1))

local function process(text)
    local match = grammar:match(text)
    if not match then return nil, "Failed to match grammar" end
    local receive, transmit, devices = match[1], match[2], match[3]
    local messages = {}
    for place, device in ipairs(devices) do
        local fields = { netdevice = device[1] }
        for column, value in ipairs(device[2]) do
            local name = column <= #receive and "receive_" .. receive[column] or transmit[column - #receive]
                and "transmit_" .. transmit[column - #receive]
            if name then fields[name] = { value = value, value_type = 2 } end
        end
        messages[place] = fields
    end
    return messages
end

process_message = linux.decoder_of_many("stats.netdev", process)
