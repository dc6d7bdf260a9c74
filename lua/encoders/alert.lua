--[[
Writes alerts as text, for mail and chat.

Configuration
- none

Example
    heka-match "Fields[payload_type] == 'alert'" alerts.hpb | heka-http --encoder alert --url "$HOOK"

Four lines: Timestamp, Hostname, Plugin (the Logger) and Alert (the Payload).
--]]

require "os"
require "math"

function process_message()
    local seconds = math.floor(read_message("Timestamp") / 1e9)
    inject_payload("txt", "", "Timestamp: ", os.date("!%Y-%m-%dT%H:%M:%SZ", seconds),
        "\nHostname: ", read_message("Hostname"), "\nPlugin: ", read_message("Logger"),
        "\nAlert: ", read_message("Payload"), "\n")
    return 0
end
