--[[
Writes the rows of circular buffers that are complete as Librato's gauges.

Configuration
- message_key (string, default "%{Logger}:%{payload_name}"): what tells one buffer from another, see msg_interpolate.

Example
    heka-sandbox --lua http_status --ticker 60 decoded.hpb |
        heka-http --encoder cbuf_librato --url https://metrics-api.librato.com/v1/metrics

The first time all rows of a buffer but the newest are written, later those that are complete since then.
--]]

local cjson = require "cjson"
local interpolate = require "msg_interpolate".interpolate_from_msg
require "string"

local message_key = read_config("message_key") or "%{Logger}:%{payload_name}"

-- By key: the time of the header last seen.
last_times = {}

-- The header and the rows, as arrays of texts; nil when it is no buffer.
local function read_buffer(payload)
    local lines = {}
    for line in string.gmatch(payload, "[^\n]+") do lines[#lines + 1] = line end
    local first = 1
    if lines[1] and string.find(lines[1], '^{"annotations"') then first = 2 end
    local ok, header = pcall(cjson.decode, lines[first] or "")
    if not ok or type(header) ~= "table" or type(header.column_info) ~= "table" then return nil end
    local rows = {}
    for place = first + 1, #lines do
        local row = {}
        for value in string.gmatch(lines[place], "[^\t]+") do row[#row + 1] = value end
        if #row ~= #header.column_info then return nil end
        rows[#rows + 1] = row
    end
    if #rows < 3 or #rows ~= header.rows then return nil end
    return header, rows
end

function process_message()
    local header, rows = read_buffer(read_message("Payload"))
    if not header then return -1 end
    local key = interpolate(message_key)
    local count = #rows - 1
    local last = last_times[key]
    if last then
        local steps = (header.time - last) / header.seconds_per_row
        if steps == 0 then return -2 end
        if steps < 0 or steps % 1 ~= 0 then return -1 end
        if steps < count then count = steps end
    end
    last_times[key] = header.time

    local gauges = {}
    local source = read_message("Hostname")
    for place = #rows - count, #rows - 1 do
        for column, described in ipairs(header.column_info) do
            local value = tonumber(rows[place][column])
            if value and value == value then
                gauges[#gauges + 1] = {
                    name = described.name, value = value, source = source,
                    measure_time = header.time + (place - 1) * header.seconds_per_row,
                }
            end
        end
    end
    if #gauges == 0 then return -2 end
    inject_payload("json", "librato", cjson.encode { gauges = gauges })
    return 0
end
