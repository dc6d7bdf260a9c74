#!/usr/bin/env bash
# heka-hec as a whole program: events per CPU second (user + system, the best of five runs) to a server that takes
# everything; its memory over ten times as many; and the same job over a line with 50 ms of delay, side by side with the
# library splunk-hec-ftf. Needs python3, and target/python with that library (the tests install it).
#   bash benches/hec.sh [EVENTS]
set -euo pipefail
cd "$(dirname "$0")/.."
lines=${1:-1000000}
cargo build --release --quiet
PATH=$PWD/target/release:$PATH
python=$PWD/target/python/bin/python
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT
. benches/measure.sh
export HEKA_HEC_TOKEN=s3cret
seq "$lines" | awk '{ printf "%09d %s\n", $1, "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore magna aliqua ut enim ad minim veniam quis nostrud exercitation ullamco" }' |
    heka-tail --logger app --type log --hostname web1.example.com > "$work/in.hpb"
python3 benches/null_hec.py > "$work/port" &
until [ -s "$work/port" ]; do sleep 0.1; done
url=http://127.0.0.1:$(cat "$work/port")
send() { heka-hec --url "$url" "$@" "$work/in.hpb"; }

heka-cat -n 1000 "$work/in.hpb" --format heka > "$work/thousand.hpb"
bytes=$(heka-hec --url "$url" -v "$work/thousand.hpb" 2>&1 | awk 'NR == 1 { print int($4 / $2) }')
echo "$lines events of $bytes bytes of JSON"
for options in "" "--gzip" "--ack" "--event message" "--endpoint raw"; do
    # shellcheck disable=SC2086
    awk -v what="heka-hec $options" -v ms="$(cpu send $options)" -v lines="$lines" \
        'BEGIN { printf "%-36s %6d ms  %9.0f events per CPU second\n", what, ms, lines / ms * 1000 }'
done
awk -v ms="$(cpu send --spool "$work/spool")" -v lines="$lines" \
    'BEGIN { printf "%-36s %6d ms  %9.0f events per CPU second\n", "heka-hec --spool", ms, lines / ms * 1000 }'
for i in 1 2 3 4 5 6 7 8 9 10; do cat "$work/in.hpb"; done > "$work/ten.hpb"
for options in "" "--gzip --ack"; do
    # shellcheck disable=SC2086
    echo "memory over $((10 * lines)) events, heka-hec $options: $(peak heka-hec --url "$url" $options "$work/ten.hpb") KiB"
done
rm "$work/ten.hpb"

# 100,000 events with ack on, defaults on both sides, a round trip of 50 ms.
heka-cat -n 100000 --format heka "$work/in.hpb" > "$work/some.hpb"
echo s3cret > "$work/token"
heka-listen --hec 127.0.0.1:0 --token-file "$work/token" > "$work/arrived" 2> "$work/said" & server=$!
until grep -q HEC "$work/said"; do sleep 0.1; done
python3 benches/delay.py "$(sed 's/.*://' "$work/said")" 0.025 > "$work/far" &
until [ -s "$work/far" ]; do sleep 0.1; done
far=$(cat "$work/far")
seconds() {
    local from to
    from=$(date +%s%N)
    "$@" > "$work/out" 2>&1
    to=$(date +%s%N)
    awk -v ns=$((to - from)) 'BEGIN { printf "%.2f s", ns / 1e9 }'
}
echo "100000 events, acknowledged, over a line with a round trip of 50 ms:"
echo "heka-hec --ack: $(seconds heka-hec --url "http://127.0.0.1:$far" --ack "$work/some.hpb")"
for threads in 0 4; do
    echo "splunk-hec-ftf, use_ack=True, max_threads=$threads: $(seconds "$python" tests/ftf.py "$far" json ack $threads 100000)"
    grep -x '[1-9][0-9]*' "$work/out" | sed 's/$/ of them given up/' || true
done
kill $server
wait $server || true
echo "$(heka-cat -c "$work/arrived") events have arrived of 300000"
