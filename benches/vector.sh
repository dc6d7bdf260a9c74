#!/usr/bin/env bash
# A peer: Vector reads a file to its end, does one job, and ends. vector.sh JOB IN OUT
# Jobs: lines, nginx, select (status 404), class (a field more, in its own language), json, hec (to $HEC instead of OUT).
# Set up for speed: it reads standard input, which ends, and a regular expression took it less time than its parser of nginx logs
# with names of fields to change. Its file sink makes two writes and four futex calls for each record, whatever one sets.
set -euo pipefail
job=$1 in=$PWD/$2 out=$PWD/$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
rm -f "$out"
access_log() {
    cat << 'END'
. = parse_regex!(.message, r'^(?P<remote_addr>\S+) - (?P<remote_user>\S+) \[(?P<time>[^\]]+)\] "(?P<request>[^"]*)" (?P<status>\d+) (?P<body_bytes_sent>\d+) "(?P<http_referer>[^"]*)" "(?P<http_user_agent>[^"]*)"$')
.timestamp = parse_timestamp!(del(.time), "%d/%b/%Y:%H:%M:%S %z")
.status = to_int!(.status)
.body_bytes_sent = to_int!(.body_bytes_sent)
END
}
from=parse codec=json
case $job in
lines) from=in codec=text ;;
json) echo '. = parse_json!(.message)' ;;
select) access_log && echo 'if .status != 404 { abort }' ;;
class) access_log && echo '.class = to_string(floor(.status / 100)) + "xx"' ;;
*) access_log ;;
esac > "$folder/parse.vrl"
transforms="transforms: { parse: { type: remap, inputs: [in], drop_on_abort: true, file: $folder/parse.vrl } }"
sink="type: file, path: $out"
[ "$job" != hec ] || sink="type: splunk_hec_logs, endpoint: $HEC, default_token: t,
    healthcheck: { enabled: false }, acknowledgements: { indexer_acknowledgements_enabled: false }"
cat > "$folder/conf.yaml" << END
data_dir: $folder
sources: { in: { type: stdin } }
$([ $from = in ] || echo "$transforms")
sinks: { out: { inputs: [$from], $sink, encoding: { codec: $codec } } }
END
vector -qq --config "$folder/conf.yaml" < "$in"
