--[[
What the decoders of Linux' statistics files share: from a function that reads a text to `process_message`.

    decoder(type, read [, without_path])    read(text) gives a table of fields, or nil and why not
    decoder_of_many(type, read)             read(text) gives an array of them, a message each

Reads the option payload_keep; copies Fields[FilePath].
--]]

local payload_keep = read_config("payload_keep")
local inject_message, ipairs, read_message = inject_message, ipairs, read_message

local M = {}

local function inject(msg_type, text, fields, without_path)
    if not without_path then fields.FilePath = read_message("Fields[FilePath]") end
    inject_message { Type = msg_type, Payload = payload_keep and text or nil, Fields = fields }
end

function M.decoder(msg_type, read, without_path)
    return function()
        local text = read_message("Payload")
        local fields, reason = read(text)
        if not fields then return -1, reason end
        inject(msg_type, text, fields, without_path)
        return 0
    end
end

function M.decoder_of_many(msg_type, read)
    return function()
        local text = read_message("Payload")
        local messages, reason = read(text)
        if not messages then return -1, reason end
        for _, fields in ipairs(messages) do inject(msg_type, text, fields) end
        return 0
    end
end

return M
