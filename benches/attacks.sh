#!/usr/bin/env bash
# What hostile input costs: seconds and MiB of the program that gets it. Beside another build, with its folder as argument:
#   bash benches/attacks.sh [target/release]
set -euo pipefail
cd "$(dirname "$0")/.."
if [ $# -eq 0 ]; then
    cargo build --release --quiet
fi
programs=$(realpath "${1:-target/release}")
PATH=$programs:$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
row() { printf '%-58s %8s s %8s MiB\n' "$@"; }

# Runs a command for a minute at most.
attack() {
    local name=$1 seconds
    shift
    # GNU time may not be there; Python's is.
    row "$name" $(python3 - "$@" <<'PYTHON'
import resource, subprocess, sys, time

began = time.monotonic()
try:
    subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
    took = f"{time.monotonic() - began:.2f}"
except subprocess.TimeoutExpired:
    took = ">60"
print(took, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
PYTHON
    )
}

python3 - <<'PYTHON'
import gzip

length, out = 4 << 20, bytearray()
while len(out) < length:
    left = min(length - len(out) + 3, (4 << 20) - 1)
    out += bytes([0x5A, 8, 0x1E, 5, 8, left & 127 | 128, left >> 7 & 127 | 128, left >> 14 & 127 | 128, left >> 21, 0x1F])
open("garbage", "wb").write(out)
open("long.log", "w").write(("a" * 3000 + "\n") * 20)
open("expression", "w").write(" || ".join(f"Payload =~ '.-.-.-.-x{n}'" for n in range(1500)))
open("bomb.gz", "wb").write(gzip.compress(b'{"event":1}' * 5_000_000))
open("acks.gz", "wb").write(gzip.compress(b'{"acks":[' + b"1," * 30_000_000 + b"1]}"))
open("json", "w").write('{"Timestamp":"1970-01-01T00:00:00Z","Payload":"x"}\n')
PYTHON
heka-tail long.log > long.hpb
head -1 long.log | heka-tail > one.hpb
script() { printf "require 'string' require 'table' require 'os' require 'struct'\nfunction process_message() %s return 0 end\n" "$2" > "$1.lua"; }
attack "4 MB in which a record seems to begin everywhere" heka-cat garbage
attack "an expression of 1,500 costly patterns, 20 messages" heka-match "$(cat expression)" long.hpb
script insert 'table.insert({}, -2147483648, 1)'
attack "table.insert at -2^31" heka-sandbox --lua insert.lua one.hpb
script date "while true do os.date(string.rep('%%c', 30000)) end"
attack "os.date of 30,000 conversions, over and over" heka-sandbox --lua date.lua one.hpb
script pack "while true do struct.pack(string.rep('x', 1000000)) end"
attack "struct.pack of a million items, over and over" heka-sandbox --lua pack.lua one.hpb
script count 'n = 1'
printf 'while true do end\n-- heka cursors {}\n' > state
attack "a state file that loops" heka-sandbox --lua count.lua --preserve state one.hpb

# A HEC server that gets a request.
request() {
    local name=$1 path=$2 body=$3
    echo token > token
    heka-listen --hec 127.0.0.1:0 --token-file token > /dev/null 2> said &
    local pid=$! port=
    until port=$(sed -n 's/^.*HEC at 127.0.0.1://p' said) && [ -n "$port" ]; do sleep 0.05; done
    local began
    began=$(date +%s%N)
    curl -s -o /dev/null -m 60 -H "Authorization: Splunk token" -H "Content-Encoding: gzip" --data-binary "@$body" \
        -H "X-Splunk-Request-Channel: 00000000-0000-0000-0000-000000000001" "http://127.0.0.1:$port/services/collector$path" || true
    local peak
    peak=$(awk '/VmHWM/ { print int($2 / 1024) }' "/proc/$pid/status")
    row "$name" "$(awk -v ns=$(($(date +%s%N) - began)) 'BEGIN { printf "%.2f", ns / 1e9 }')" "$peak"
    kill "$pid"
    wait "$pid" || true
}
request "$(($(stat -c %s bomb.gz) / 1000)) KB of gzip with 5,000,000 events" /event bomb.gz
request "$(($(stat -c %s acks.gz) / 1000)) KB of gzip that ask for 30,000,000 acks" /ack acks.gz
