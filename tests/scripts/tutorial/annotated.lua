-- An annotation in front of a buffer, in both generations of the interface.
require "circular_buffer"
local annotation = require "annotation"

data = circular_buffer.new(2, 1, 60)
annotation.set_prune("Requests", 60e9)

function process_message()
    local ns = read_message("Timestamp")
    data:add(ns, 1, 1)
    annotation.add("Requests", ns, 1, "A", "anomaly")
    return 0
end

function timer_event(ns)
    output({annotations = {annotation.create(ns, 1, "A", "anomaly")}}, data)
    inject_message("cbuf", "old")
    add_to_payload(annotation.prune("Requests", ns), data)
    inject_payload("cbuf", "Requests")
end
