#!/usr/bin/env bash
# heka-sandbox as a whole program: messages per CPU second (user + system), the best of five runs, on a stream of decoded
# nginx lines of some 400 bytes each; and what a sandbox takes.
#   bash benches/filters.sh [LINES]
set -euo pipefail
cd "$(dirname "$0")/.."
lines=${1:-1000000}
cargo build --release --quiet
PATH=$PWD/target/release:$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. benches/measure.sh
awk -v lines="$lines" -v seed=1 -f benches/generate.awk | heka-tail | heka-decode --lua nginx_access > "$work/day.hpb"
cat > "$work/inject.lua" <<'LUA'
local m = { Type = "x", Fields = {} }
function process_message()
    m.Timestamp = read_message("Timestamp")
    m.Payload = read_message("Fields[http_user_agent]")
    m.Fields.status = read_message("Fields[status]")
    m.Fields.request = read_message("Fields[request]")
    inject_message(m)
    return 0
end
LUA

# What the row above consists of: reading the input, four reads, and a message of constants.
cat > "$work/reads.lua" <<'LUA'
function process_message()
    read_message("Timestamp")
    read_message("Fields[http_user_agent]")
    read_message("Fields[status]")
    read_message("Fields[request]")
    return 0
end
LUA
cat > "$work/constant.lua" <<'LUA'
local m = { Type = "x", Timestamp = 1e9, Payload = "p", Fields = { status = 1, request = "GET" } }
function process_message()
    inject_message(m)
    return 0
end
LUA

rate() { # what, wanted, command
    local what=$1 wanted=$2
    shift 2
    awk -v what="$what" -v ms="$(cpu "$@")" -v lines="$lines" -v wanted="$wanted" 'BEGIN {
        printf "%-40s %6.2f s  %6.2f million messages per CPU second  wanted: %s\n", what, ms / 1e3, lines / ms / 1e3, wanted }'
}

echo "$lines messages, $(($(stat -c %s "$work/day.hpb") / lines)) bytes each"
rate "heka-cat -c (reading alone)" "-" heka-cat -c "$work/day.hpb"
rate "the tutorial's counter, --ticker 60" "4" heka-sandbox --lua tests/scripts/tutorial/counter.lua --ticker 60 "$work/day.hpb"
rate "http_status, --ticker 60" "1.5" heka-sandbox --lua http_status --ticker 60 "$work/day.hpb"
rate "a message for each" "0.7" heka-sandbox --lua "$work/inject.lua" "$work/day.hpb"
rate "    its four reads alone" "-" heka-sandbox --lua "$work/reads.lua" "$work/day.hpb"
rate "    a message of constants alone" "-" heka-sandbox --lua "$work/constant.lua" "$work/day.hpb"
rate "the counter, with kept state" "-" heka-sandbox --lua tests/scripts/tutorial/counter.lua --ticker 60 \
    --preserve "$work/state" "$work/day.hpb"
cargo test --release --quiet --test many -- --nocapture | grep sandboxes:
