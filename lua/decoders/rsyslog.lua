--[[
Reads lines that rsyslog wrote, by the text of their template.

Configuration
- template (string, default rsyslog's traditional file format): the template string of rsyslog.conf.
- tz (string, default UTC): the zone of the template's timestamps; leave it out where they tell theirs.
- type (string, default none): Type of the messages; the input's is kept without it.
- hostname_keep (bool, default false): keep the input's Hostname; the line's becomes a field.

Example
    heka-tail /var/log/messages | heka-decode --lua rsyslog --config tz=America/Los_Angeles | heka-cat

timestamp sets the Timestamp, pri or a severity property the Severity, syslogtag the Pid and Fields[programname],
hostname or source the Hostname, msg the Payload. Every other property becomes a field. Pieces of a time (date-year,
date-month, ..., date-unixtimestamp with date-subseconds) are one time; what json, jsonf and csv escaped is plain again.
--]]

local misfit = require "native_grammars".misfit
local syslog = require "syslog"

local grammar = syslog.build_rsyslog_grammar(read_config("template")
    or "%TIMESTAMP% %HOSTNAME% %syslogtag%%msg:::sp-if-no-1st-sp%%msg:::drop-last-lf%\\n")
local msg_type = read_config("type")
local hostname_keep = read_config("hostname_keep")

local severities = { "syslogseverity", "syslogseverity-text", "syslogpriority", "syslogpriority-text" }

function process_message()
    local fields = grammar:match(read_message("Payload"))
    if not fields then return -1, (misfit(grammar, read_message("Payload"), "template")) end

    local msg = { Type = msg_type, Timestamp = fields.timestamp, Payload = fields.msg, Fields = fields }
    fields.timestamp = nil
    fields.msg = nil

    if fields.pri then
        msg.Severity = fields.pri.severity
        fields.syslogfacility = fields.pri.facility
        fields.pri = nil
    end
    for _, name in ipairs(severities) do
        if not msg.Severity then msg.Severity = fields[name] end
        fields[name] = nil
    end

    local tag = fields.syslogtag
    if tag then
        fields.programname = tag.programname
        msg.Pid = tag.pid
        fields.syslogtag = nil
    end

    if not hostname_keep then
        msg.Hostname = fields.hostname or fields.source
        fields.hostname = nil
        fields.source = nil
    end

    inject_message(msg)
    return 0
end
