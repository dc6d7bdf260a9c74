#!/usr/bin/env bash
# How the programs stand against what one would take instead, in one run on one machine; see peers.py. Peers that are not there
# are left out, and their packages named.
#   bash benches/peers.sh [LINES [RUNS]]
set -euo pipefail
cd "$(dirname "$0")/.."
lines=${1:-1000000}
runs=${2:-3}
[ -x /usr/bin/time ] || sh tests/need.sh no-time=time
cargo build --release --quiet
SENDER=$(cargo bench --bench send_syslog --no-run 2>&1 | sed -n 's/.*(\(target.*\))$/\1/p')
export SENDER=$PWD/$SENDER
export PATH=$PWD/target/release:$PATH:/usr/sbin PEERS=$PWD/benches HEKA_HEC_TOKEN=t
for program in fluent-bit vector hindsight lsb_heka_cat; do
    command -v "$program" > /dev/null || echo "missing: $program (no package of Debian's)"
done
for package in jq miller:mlr goaccess lua5.1 luajit rsyslog:rsyslogd; do
    command -v "${package#*:}" > /dev/null || echo "missing: ${package#*:} (apt install ${package%:*})"
done
lua5.1 -e 'require "lpeg"' 2> /dev/null || echo "missing: lpeg (apt install lua-lpeg)"
# syslog-ng and rsyslog exclude each other as packages; the tests unpack one beside.
export SYSLOG_NG=$PWD/target/syslog-ng/usr/sbin/syslog-ng
SYSLOG_NG_LIB=$(echo "$PWD"/target/syslog-ng/usr/lib/syslog-ng)
export SYSLOG_NG_LIB
[ -x "$SYSLOG_NG" ] || echo "missing: syslog-ng (sh tests/run.sh unpacks it)"
work=$(mktemp -d)
export work
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT
# One line a program: what it says of its own version.
version() { command -v "$1" > /dev/null && "$@" 2>&1 | grep -m 1 . | sed 's/ compiled with:$//' || true; }
VERSIONS=$(
    version heka-tail --version
    for program in fluent-bit vector jq mlr goaccess zcat; do version $program --version; done
    for program in rsyslogd lua5.1 luajit; do version $program -v; done
    LD_LIBRARY_PATH=$SYSLOG_NG_LIB version "$SYSLOG_NG" --version
    version awk -W version
)
export VERSIONS
awk -v lines="$lines" -v seed=1 -f benches/generate.awk > "$work/access.log"
heka-tail "$work/access.log" | heka-decode --lua nginx_access > "$work/day.hpb"
heka-cat --format json "$work/day.hpb" > "$work/day.json"
# The same lines as JSON, one level deep, as applications write them.
python3 - "$work" << 'PY'
import json, re, sys
line = re.compile(r'(\S+) - (\S+) \[([^]]+)\] "([^"]*)" (\d+) (\d+) "([^"]*)" "([^"]*)"')
names = ("remote_addr", "remote_user", "time_local", "request", "status", "body_bytes_sent", "http_referer", "http_user_agent")
with open(sys.argv[1] + "/access.log") as log, open(sys.argv[1] + "/access.json", "w") as out:
    for text in log:
        values = dict(zip(names, line.match(text).groups()))
        values["status"], values["body_bytes_sent"] = int(values["status"]), int(values["body_bytes_sent"])
        out.write(json.dumps(values, separators=(",", ":")) + "\n")
PY
python3 benches/null_hec.py > "$work/port" &
until [ -s "$work/port" ]; do sleep 0.1; done
HEC=http://127.0.0.1:$(cat "$work/port")
export HEC
gzip -k "$work/access.log"
# In memory before it is measured.
cat "$work"/access.log* "$work"/access.json "$work"/day.hpb > /dev/null
python3 benches/peers.py "$work" "$lines" "$runs"
