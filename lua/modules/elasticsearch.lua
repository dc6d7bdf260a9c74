--[[
What Elasticsearch's bulk interface wants before each document.

    bulkapi_index_json(index, type_name, id, ns)
        the line that says where the document goes; each part may have %{...} in it, see msg_interpolate, with dates of
        ns (or now); a part that is nil is left out

Example
    bulkapi_index_json("heka-%{%Y.%m.%d}", "message", nil, read_message("Timestamp"))
--]]

local cjson = require "cjson"
local interpolate = require "msg_interpolate".interpolate_from_msg
local concat, encode, ipairs = require "table".concat, cjson.encode, ipairs

local M = {}

function M.bulkapi_index_json(index, type_name, id, ns)
    local seconds = ns and ns / 1e9
    -- In the order in which people know it, so not as one table.
    local parts = {}
    for _, pair in ipairs { { "_index", index }, { "_type", type_name }, { "_id", id } } do
        local value = pair[2] and (interpolate(pair[2], seconds))
        if value then parts[#parts + 1] = encode(pair[1]) .. ":" .. encode(value) end
    end
    return '{"index":{' .. concat(parts, ",") .. "}}"
end

return M
