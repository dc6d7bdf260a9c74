--[[
Texts with parts of the message at hand in them.

    interpolate_from_msg(text [, seconds])

Replaces each %{X}: by the header Type, Hostname, Pid, UUID, Logger, EnvVersion or Severity, else by Fields[X], else by
the date in that strftime format (of the seconds since 1970, or now). What is none of these stays as it is. The second
result is how many there were.

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

function M.interpolate_from_msg(text, seconds)
    return gsub(text, "%%{(.-)}", function(name)
        local value
        if headers[name] then
            value = read_message(headers[name])
        else
            value = read_message("Fields[" .. name .. "]")
        end
        if value ~= nil then return tostring(value) end
        if #name <= longest_format and find(name, "%", 1, true) then
            value = date(name, seconds and floor(seconds))
            if type(value) == "string" and value ~= name then return value end
        end
    end)
end

return M
