#!/bin/sh
# The main job on a sample that ships: follow a log, decode it, select, ship it. Nothing outside this machine is needed.
set -eu
cd "$(dirname "$0")/.."
sh tests/need.sh cc=gcc make=make
echo "== building (a few minutes the first time)"
cargo build --release --quiet
PATH=$PWD/target/release:$PATH
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
log=examples/access.log

echo
echo "== server errors in $log ($(wc -l < $log) lines)"
echo "   heka-tail $log | heka-decode --lua nginx_access.lua | heka-match 'Fields[status] >= 500' | heka-cat"
heka-tail $log | heka-decode --lua nginx_access.lua | heka-match 'Fields[status] >= 500' | heka-cat

echo "== the same log, delivered with indexer acknowledgement to a HEC server on this machine"
printf '%s\n' "demo-token-$$" > "$work/token"
heka-listen --hec 127.0.0.1:0 --token-file "$work/token" > "$work/received.hpb" 2> "$work/listen" &
server=$!
until grep -q 'HEC at' "$work/listen"; do
    kill -0 $server 2>/dev/null || { cat "$work/listen" >&2; exit 1; }
    sleep 0.1
done
url=http://$(sed -n 's/.*HEC at //p' "$work/listen")
echo "   heka-tail $log | heka-decode --lua nginx_access.lua | heka-hec --ack --url $url --token-file token"
heka-tail $log | heka-decode --lua nginx_access.lua | heka-hec --ack --url "$url" --token-file "$work/token"
kill $server
wait $server || true
server=
sent=$(wc -l < $log)
received=$(heka-cat -c "$work/received.hpb")
echo "   $sent lines sent, $received events received; the last of them:"
heka-cat -n 1 --format payload "$work/received.hpb"
[ "$sent" -eq "$received" ] || { echo "some are missing" >&2; exit 1; }
