--[[
Writes payloads that are JSON for Elasticsearch's bulk interface: a line that says where each goes before it.

Configuration
- index (string, default "heka-%{%Y.%m.%d}"), type_name (string, default "message"), id (string, default none): each may
  have %{...} in it, see the module msg_interpolate. Elasticsearch 8 wants no type_name: "" leaves it out.
- es_index_from_timestamp (bool, default false): dates are the message's instead of today's.

Example
    heka-http --encoder es_payload --config es_index_from_timestamp=true --config type_name= \
        --url http://localhost:9200/_bulk day.hpb
--]]

require "string"
local elasticsearch = require "elasticsearch"

local index = read_config("index") or "heka-%{%Y.%m.%d}"
local type_name = read_config("type_name") or "message"
if type_name == "" then type_name = nil end
local id = read_config("id")
local from_timestamp = read_config("es_index_from_timestamp")

function process_message()
    local payload = read_message("Payload")
    local ns = from_timestamp and read_message("Timestamp") or nil
    add_to_payload(elasticsearch.bulkapi_index_json(index, type_name, id, ns), "\n", payload)
    if string.sub(payload, -1) ~= "\n" then add_to_payload("\n") end
    inject_payload()
    return 0
end
