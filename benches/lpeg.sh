#!/usr/bin/env bash
# Patterns against LPeg in C, in one run: the same grammars on the same subjects, nanoseconds a match, the median of so
# many runs of the least of five. Machines are noisy: it is the ratios that count.
#   bash benches/lpeg.sh [RUNS]
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-5}
sh tests/need.sh luajit=luajit cc=gcc make=make
luajit -e 'require "lpeg"' 2>/dev/null || sh tests/need.sh no-lpeg=lua-lpeg
cargo build --release --quiet
PATH=$PWD/target/release:$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo x | heka-tail - > "$work/one.hpb"

ours() {
    heka-decode --lua benches/lpeg_grammars.lua --instruction-limit 0 --memory-limit 0 --output-limit 1000000 "$work/one.hpb" |
        heka-cat --format payload | grep .
}
for run in $(seq "$runs"); do
    luajit benches/lpeg_grammars.lua > "$work/theirs.$run"
    ours > "$work/ours.$run"
done
# What was captured has to be the same.
cut -f1,3 "$work/theirs.1" > "$work/theirs.sums"
cut -f1,3 "$work/ours.1" | grep -Ev 'common_log_format|nginx_access' > "$work/ours.sums"
cmp "$work/theirs.sums" "$work/ours.sums"

median() { cat "$work/$1".[0-9]* | awk -v name="$2" '$1 == name { print $2 }' | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
echo "LPeg $(luajit -e 'print(require "lpeg".version())') in C under $(luajit -v | cut -d' ' -f1,2), and ours; ns a match, medians of $runs runs"
echo
echo "| grammar | C | ours | times as fast | wanted |"
echo "|---|---|---|---|---|"
row() {
    awk -v what="$1" -v c="$2" -v o="$3" -v wanted="$4" 'BEGIN { printf "| %s | %d | %d | %.2f | %s |\n", what, c, o, c / o, wanted }'
}
for grammar in csv json rfc3339 nginx syslog ini; do
    row "$grammar" "$(median theirs $grammar)" "$(median ours $grammar)" 1.5
done
row "nginx, by common_log_format" "$(median theirs nginx)" "$(median ours common_log_format)" 8
row "the same, all values asked for" "$(median theirs nginx)" "$(median ours common_log_format_filled)" ""
row "nginx, by common_log_format, to a message" "$(median theirs nginx)" "$(median ours nginx_access)" 8
