#!/usr/bin/env bash
# heka-sandbox manage as a whole program: CPU seconds (user + system), the best of five runs, over a stream of decoded nginx
# lines of some 400 bytes each, with 1 to 1,000 filters; and what a filter takes of memory.
#   bash benches/manage.sh [LINES]
set -euo pipefail
cd "$(dirname "$0")/.."
lines=${1:-1000000}
cargo build --release --quiet
PATH=$PWD/target/release:$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. benches/measure.sh
awk -v lines="$lines" -v seed=1 -f benches/generate.awk | heka-tail | heka-decode --lua nginx_access > "$work/day.hpb"
cat > "$work/count.lua" <<'LUA'
n = 0
function process_message() n = n + 1 return 0 end
LUA

manage() { # directory, options
    heka-sandbox manage --name B --any-signer --max-filters 1000 --max-age 0 --clock message --dir "$@"
}

# A directory with so many filters, whose matchers are printed by a command that gets their number.
filters() { # directory, count, command
    mkdir -p "$1"
    for ((i = 0; i < $2; i++)); do
        cp "$work/count.lua" "$1/B-F$i.lua"
        printf "[F%s]\ntype = 'SandboxFilter'\nmessage_matcher = '''%s'''\n" "$i" "$($3 "$i")" > "$1/B-F$i.toml"
    done
}

by_logger() { echo "Logger == 'app$1' && Severity < 7"; }
by_status() { echo "Type == 'nginx.access' && Fields[status] == $((1000 + $1))"; }
by_text() { echo "Fields[request] =~ /user$1-/"; }
by_regex() { echo "Fields[http_user_agent] =~ /Robot$1\\/[0-9]+\\.[0-9]+/"; }
mixed() { case $(($1 % 4)) in 0) by_logger "$1" ;; 1) by_status "$1" ;; 2) by_text "$1" ;; 3) by_regex "$1" ;; esac; }

echo "$lines messages, $(($(stat -c %s "$work/day.hpb") / lines)) bytes each"
none=$(cpu heka-match FALSE "$work/day.hpb")
echo "heka-match FALSE (reading alone): $none ms"
for kind in by_logger by_status by_text by_regex mixed; do
    for count in 1 10 100 1000; do
        filters "$work/$kind$count" "$count" "$kind"
        awk -v ms="$(cpu manage "$work/$kind$count" "$work/day.hpb")" -v none="$none" -v lines="$lines" \
            -v count="$count" -v kind="$kind" -v example="$($kind 1)" 'BEGIN {
            printf "%4d filters %-10s %6d ms  %5.0f ns a message  %5.2f x reading   %s\n",
                count, kind, ms, ms * 1e6 / lines, ms / none, count == 1 ? example : "" }'
    done
done
filters "$work/all" 1000 by_logger
for i in 0 1 2 3 4 5 6 7 8 9; do sed -i "s/message_matcher = .*/message_matcher = 'TRUE'/" "$work/all/B-F$i.toml"; done
echo "1000 filters, 10 of which see every message: $(cpu manage "$work/all" "$work/day.hpb") ms," \
    "with -j 2 $(elapsed manage "$work/all" -j 2 "$work/day.hpb") ms elapsed ($(elapsed manage "$work/all" "$work/day.hpb") with one)"
mkdir "$work/empty"
# Not through a function: it would be the shell that is measured.
manager=(heka-sandbox manage --name B --any-signer --max-filters 1000 --max-age 0 --dir)
one=$(peak "${manager[@]}" "$work/empty" "$work/day.hpb")
thousand=$(peak "${manager[@]}" "$work/by_logger1000" "$work/day.hpb")
echo "memory: $one KiB without a filter, $thousand KiB with 1000: $(((thousand - one) * 1024 / 1000)) bytes each"
