--[[
Texts with parts of the message at hand in them.

    interpolate_from_msg(text [, seconds])

Replaces each %{X}: by the header Type, Hostname, Pid, UUID, Logger, EnvVersion or Severity, else by Fields[X], else by
the date in that strftime format (of the seconds since 1970, or now). What is none of these stays as it is. The second
result is how many there were.

    replace(text, headers [, otherwise])

The same with a table of names and the headers that they stand for; what is neither is what otherwise(name) gives.

Example
    interpolate_from_msg("%{Hostname}-%{%Y.%m.%d}", read_message("Timestamp") / 1e9)
--]]

require "os"
require "math"
require "string"
local date, floor, find, gsub = os.date, math.floor, string.find, string.gsub
local read_message, tostring, type = read_message, tostring, type

local headers = {
    Type = "Type", Hostname = "Hostname", Pid = "Pid", UUID = "Uuid", Logger = "Logger", EnvVersion = "EnvVersion",
    Severity = "Severity",
}

-- A longer one is no date, and the C library makes of it what it wants.
local longest_format = 64

local M = {}

local function read(name, names)
    if names[name] then return read_message(names[name]) end
    return read_message("Fields[" .. name .. "]")
end

function M.replace(text, names, otherwise)
    return gsub(text, "%%{(.-)}", function(name)
        local value = read(name, names)
        if value ~= nil then return tostring(value) end
        return otherwise and otherwise(name)
    end)
end

function M.interpolate_from_msg(text, seconds)
    return M.replace(text, headers, function(name)
        if #name <= longest_format and find(name, "%", 1, true) then
            local value = date(name, seconds and floor(seconds))
            if type(value) == "string" and value ~= name then return value end
        end
    end)
end

return M
