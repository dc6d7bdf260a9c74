#!/usr/bin/env bash
# heka-tail against yardsticks on the same bytes, in one run: CPU time (user + system), the least of five runs.
# Machines are noisy and differ: it is the ratios that count.
#   bash benches/logstreams.sh [LINES]
set -euo pipefail
cd "$(dirname "$0")/.."
lines=${1:-1000000}
sh tests/need.sh gzip=gzip zstd=zstd bzip2=bzip2
cargo build --release --quiet
PATH=$PWD/target/release:$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. benches/measure.sh

log=$work/access.log
awk -v lines="$lines" -v seed=1 -f benches/generate.awk > "$log"
gzip -k "$log"
zstd -qk "$log"
bzip2 -k "$log"
# A trace of ten lines for each tenth.
awk 'NR % 10 == 1 { print; next } { print "    at " $0 }' "$log" > "$work/traces.log"
mkdir "$work/hundred"
split -n l/100 -d -a 3 --additional-suffix=.log "$log" "$work/hundred/part"

echo "$lines lines, $(du -m "$log" | cut -f1) MiB"
wc=$(cpu wc -l "$log")
row "plain" "$(cpu heka-tail "$log")" "wc -l" "$wc" "at most 4"
row "gz" "$(cpu heka-tail "$log.gz")" "zcat" "$(cpu zcat "$log.gz")" "at most 1.3"
row "zst" "$(cpu heka-tail "$log.zst")" "zstdcat" "$(cpu zstdcat "$log.zst")" "-"
row "bz2" "$(cpu heka-tail "$log.bz2")" "bzcat" "$(cpu bzcat "$log.bz2")" "-"
row "regex, kept at the start of the next" "$(cpu heka-tail --splitter regex --delimiter '\n(\d+\.)' --delimiter-at start "$log")" "wc -l" "$wc" "-"
row "regex, dropped" "$(cpu heka-tail --splitter regex --delimiter '\r?\n' "$log")" "wc -l" "$wc" "-"
row "groups of ten lines" "$(cpu heka-tail --splitter group --grouping '^\s' "$work/traces.log")" "wc -l" "$wc" "-"
row "100 streams" "$(cpu heka-tail --logstream "$work/hundred" --match '(?P<Part>.*)\.log' --differentiator Part)" "wc -l" "$wc" "-"
followed() { # until all of it is out
    heka-tail -f --logstream "$work/hundred" --match '(?P<Part>.*)\.log' --differentiator Part > "$work/followed" & local pid=$!
    until [ "$(stat -c %s "$work/followed")" -ge "$size" ]; do sleep 0.02; done
    kill "$pid"
    wait "$pid" || true
}
size=$(heka-tail --logstream "$work/hundred" --match '(?P<Part>.*)\.log' --differentiator Part | wc -c)
row "100 streams, followed side by side" "$(cpu followed)" "wc -l" "$wc" "-"

echo
echo "10,000 rotated files of 20 KB in 200 streams (wanted: list and resume under 1 s, under 64 MiB)"
mkdir "$work/many"
head -n 120 "$log" | head -c 20000 > "$work/some"
for host in $(seq 200); do
    mkdir "$work/many/host$host"
    for file in $(seq 0 49); do
        { echo "$host $file"; cat "$work/some"; } > "$work/many/host$host/access.log$([ "$file" = 0 ] || echo ".$file")"
    done
done
many() { heka-tail --logstream "$work/many" --match '(?P<Host>[^/]+)/access\.log\.?(?P<Seq>\d+)?' --priority ^Seq --differentiator Host "$@"; }
many --checkpoint "$work/many.ckpt" > "$work/all.hpb"
echo "--list $(elapsed many --list) ms, resume $(elapsed many --checkpoint "$work/many.ckpt") ms, $(heka-cat -c "$work/all.hpb") messages"
idle() { # CPU ticks (10 ms) in 10 s, and peak memory, of files that are followed
    "$@" > /dev/null & local pid=$!
    sleep 3
    local before after
    before=$(awk '{ print $14 + $15 }' "/proc/$pid/stat")
    sleep 10
    after=$(awk '{ print $14 + $15 }' "/proc/$pid/stat")
    echo "$((after - before)) ms of CPU a second, peak $(awk '/VmHWM/ { print $2 }' "/proc/$pid/status") KiB"
    kill "$pid"
    wait "$pid" || true
}
for number in $(seq 1000); do echo "line of $number" > "$work/many/idle$number"; done
echo "these streams, followed, nothing written: $(idle heka-tail -f --checkpoint "$work/many.ckpt" --logstream "$work/many" --match '(?P<Host>[^/]+)/access\.log\.?(?P<Seq>\d+)?' --priority ^Seq --differentiator Host)"
echo "1,000 files by name, followed, nothing written: $(idle heka-tail -f "$work"/many/idle*)"
