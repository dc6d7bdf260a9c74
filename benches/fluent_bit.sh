#!/usr/bin/env bash
# A peer: Fluent Bit reads a file to its end, does one job, and ends. fluent_bit.sh JOB IN OUT
# Jobs: lines, nginx, select (status 404), lua (a field more), json, hec (to $HEC instead of OUT).
# Set up for speed: the file stays in the page cache, input and parser have a thread of their own, chunks are large. Its end takes
# a second or two whatever the input: that is in the elapsed time.
set -euo pipefail
job=$1 in=$PWD/$2 out=$PWD/$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
rm -f "$out"
# Its grep compares texts only.
types="Types status:integer body_bytes_sent:integer"
[ "$job" != select ] || types=
cat > "$folder/parsers" << END
[PARSER]
    Name nginx
    Format regex
    Regex ^(?<remote_addr>[^ ]*) - (?<remote_user>[^ ]*) \[(?<time>[^\]]*)\] "(?<request>[^"]*)" (?<status>[^ ]*) (?<body_bytes_sent>[^ ]*) "(?<http_referer>[^"]*)" "(?<http_user_agent>[^"]*)"\$
    $types
    Time_Key time
    Time_Format %d/%b/%Y:%H:%M:%S %z
[PARSER]
    Name json
    Format json
END
cat > "$folder/class.lua" << 'END'
function class(tag, time, record)
    record["class"] = string.format("%dxx", record["status"] / 100)
    return 2, time, record
end
END
parser=nginx filter= format=plain
case $job in
lines) parser= format="template
    Template {log}" ;;
json) parser=json ;;
select) filter="[FILTER]
    Name grep
    Match *
    Regex status ^404$" ;;
lua) filter="[FILTER]
    Name lua
    Match *
    Script $folder/class.lua
    Call class" ;;
esac
output="Name file
    Path $(dirname "$out")
    File $(basename "$out")
    Format $format"
if [ "$job" = hec ]; then
    hostport=${HEC#http://}
    output="Name splunk
    Host ${hostport%:*}
    Port ${hostport#*:}
    Splunk_Token t
    Workers 1"
fi
cat > "$folder/conf" << END
[SERVICE]
    Flush 0.2
    Grace 60
    Log_Level error
    Parsers_File $folder/parsers
[INPUT]
    Name tail
    Path $in
    ${parser:+Parser $parser}
    Read_from_Head on
    Exit_On_Eof on
    File_Cache_Advise off
    Threaded on
    Inotify_Watcher off
    Buffer_Chunk_Size 1M
    Buffer_Max_Size 4M
$filter
[OUTPUT]
    Match *
    $output
END
fluent-bit -c "$folder/conf" 2> /dev/null
