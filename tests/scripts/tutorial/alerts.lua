local alert = require "alert"

function process_message()
    alert.queue(read_message("Timestamp"), read_message("Payload"))
    return 0
end

function timer_event(ns)
    if not alert.send_queue(ns) then inject_payload("txt", "", "throttled: ", alert.throttled(ns)) end
end
