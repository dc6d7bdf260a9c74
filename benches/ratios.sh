#!/usr/bin/env bash
# Whole programs against yardsticks, in one run on the same data: CPU seconds (user + system), the least of five runs.
# Machines are noisy and differ: it is the ratios that count.
#   bash benches/ratios.sh [LINES]
set -euo pipefail
cd "$(dirname "$0")/.."
lines=${1:-1000000}
sh tests/need.sh lua5.1=lua5.1 cc=gcc make=make
lua5.1 -e 'require "lpeg"' 2>/dev/null || sh tests/need.sh no-lpeg=lua-lpeg
cargo build --release --quiet
PATH=$PWD/target/release:$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. benches/measure.sh
awk -v lines="$lines" -v seed=1 -f benches/generate.awk > "$work/access.log"
heka-tail "$work/access.log" > "$work/tail.hpb"

none() { heka-match "Type == 'x'" "$work/tail.hpb" || true; }
echo "$lines lines, $(du -m "$work/access.log" | cut -f1) MiB; as messages $(du -m "$work/tail.hpb" | cut -f1) MiB"
wc_log=$(cpu wc -l "$work/access.log")
wc_hpb=$(cpu wc -l "$work/tail.hpb")
row "heka-tail" "$(cpu heka-tail "$work/access.log")" "wc -l" "$wc_log" "at most 4"
row "heka-match \"Type == 'x'\"" "$(cpu none)" "wc -l" "$wc_hpb" "at most 3"
row "heka-cat -c" "$(cpu heka-cat -c "$work/tail.hpb")" "wc -l" "$wc_hpb" "at most 3"
lpeg=$(cpu lua5.1 benches/nginx_lpeg.lua "$work/access.log")
decode=$(cpu heka-decode --lua nginx_access.lua "$work/tail.hpb")
awk -v a="$decode" -v b="$lpeg" -v lines="$lines" 'BEGIN {
    printf "%-44s %7d ms  %6.0f ns/line  %5.1f times the lines per CPU second of lua5.1 + lpeg (%d ms)  wanted: at least 4\n",
        "heka-decode --lua nginx_access.lua", a, a * 1e6 / lines, b / a, b }'

# Peak memory must not depend on the length of the stream.
times() { for _ in 1 2 3 4 5 6 7 8 9 10; do cat "$1"; done; }
times "$work/access.log" > "$work/ten.log"
times "$work/tail.hpb" > "$work/ten.hpb"
echo "peak memory in KiB, $lines lines / ten times as many (wanted: under 32768, flat)"
echo "heka-tail    $(peak heka-tail "$work/access.log") / $(peak heka-tail "$work/ten.log")"
echo "heka-match   $(peak heka-match "Type == 'x'" "$work/tail.hpb") / $(peak heka-match "Type == 'x'" "$work/ten.hpb")"
echo "heka-cat     $(peak heka-cat -c "$work/tail.hpb") / $(peak heka-cat -c "$work/ten.hpb")"
printf 'token\n' > "$work/token"
heka-listen --hec 127.0.0.1:0 --token-file "$work/token" > /dev/null 2> "$work/listen" & listen=$!
until grep -q 'HEC at' "$work/listen"; do sleep 0.1; done
url=http://$(sed -n 's/.*HEC at //p' "$work/listen")
for size in tail ten; do
    echo "heka-hec --ack, $size.hpb: $(peak heka-hec --ack --url "$url" --token-file "$work/token" "$work/$size.hpb")," \
        "heka-listen: $(awk '/VmHWM/ { print $2 }' "/proc/$listen/status")"
done
kill "$listen"
echo "heka-decode  $(peak heka-decode --lua nginx_access "$work/tail.hpb") / $(peak heka-decode --lua nginx_access "$work/ten.hpb")"
