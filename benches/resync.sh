#!/usr/bin/env bash
# What it costs to find records behind bytes that are none: nanoseconds a byte, which must not grow with their number.
# Hostile: at every tenth byte a record seems to begin, as long as all that follows (4 MB at most) and wrong at its end.
# Noise: random bytes. Records: for comparison, a stream without a fault.
#   bash benches/resync.sh
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --quiet --bin heka-cat --bin heka-tail
PATH=$PWD/target/release:$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. benches/measure.sh
printf '%-8s %10s %10s %10s   ns a byte\n' MB hostile noise records
for megabytes in 1 4 16 64; do
    python3 - "$megabytes" "$work/hostile" <<'PYTHON'
import sys

length, out = int(sys.argv[1]) << 20, bytearray()
while len(out) < length:
    left = min(length - len(out) + 3, (4 << 20) - 1)
    out += bytes([0x5A, 8, 0x1E, 5, 8, left & 127 | 128, left >> 7 & 127 | 128, left >> 14 & 127 | 128, left >> 21, 0x1F])
open(sys.argv[2], "wb").write(out)
PYTHON
    head -c "${megabytes}M" /dev/urandom > "$work/noise"
    yes 'a line of a log that says something, as lines of logs do' | head -c "${megabytes}M" | heka-tail | head -c "${megabytes}M" > "$work/records" || true
    row=
    for kind in hostile noise records; do
        each=$(awk -v ms="$(cpu heka-cat -c "$work/$kind" 2> "$work/said")" -v mb="$megabytes" 'BEGIN { printf "%.2f", ms * 1e6 / (mb * 1048576) }')
        row="$row $(printf '%10s' "$each")"
    done
    printf '%-8s%s\n' "$megabytes" "$row"
done
