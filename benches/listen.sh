#!/usr/bin/env bash
# heka-listen against rsyslog: what one process takes of RFC 5424 messages over TCP and UDP into a file, in one run.
# CPU time (user + system) of the receiver, the least of three runs. It is the ratios that count.
#   bash benches/listen.sh [MESSAGES [RATE OF UDP]]
set -euo pipefail
cd "$(dirname "$0")/.."
messages=${1:-1000000}
rate=${2:-400000}
sh tests/need.sh rsyslogd=rsyslog
cargo build --release --quiet
sender=$(cargo bench --bench send_syslog --no-run 2>&1 | sed -n 's/.*(\(target.*\))$/\1/p')
PATH=$PWD/target/release:$PATH:/usr/sbin
work=$(mktemp -d)
receiver=
trap 'kill "$receiver" 2>/dev/null; rm -rf "$work"' EXIT
port=$((20000 + RANDOM % 20000))

cat > "$work/rsyslog.conf" <<END
global(workDirectory="$work")
module(load="imtcp") module(load="imudp" batchSize="128" TimeRequery="8")
ruleset(name="r") { action(type="omfile" file="$work/rsyslog.out" template="RSYSLOG_FileFormat" asyncWriting="on" ioBufferSize="256k" flushOnTXEnd="off") }
input(type="imtcp" port="$port" address="127.0.0.1" ruleset="r")
input(type="imudp" port="$port" address="127.0.0.1" rcvbufSize="16m" ruleset="r")
main_queue(queue.size="2000000" queue.dequeueBatchSize="1024" queue.workerThreads="1")
END

# Milliseconds of the processor that a process has used.
used() { awk '{ print ($14 + $15) * 10 }' "/proc/$1/stat"; }

# Waits until a process does nothing any more.
quiet() {
    local before=-1 now
    while now=$(used "$1") && [ "$now" != "$before" ]; do before=$now; sleep 0.3; done
}

start() {
    case $1 in
    rsyslog) rsyslogd -n -i "$work/pid" -f "$work/rsyslog.conf" & ;;
    *) heka-listen --address 127.0.0.1 --tcp "$port" --udp "$port" --stats ${1#heka} > "$work/heka.out" 2> "$work/heka.err" & ;;
    esac
    receiver=$!
    until (: > "/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.05; done
    quiet "$receiver"
}

# Name, transport, rate: the least CPU time of three runs, in ms a million messages, and how many arrived.
run() {
    local best=999999999 before after arrived=$messages
    start "$1"
    for _ in 1 2 3; do
        before=$(used "$receiver")
        "$sender" "$2" "127.0.0.1:$port" "$messages" ${3:-} > "$work/sent"
        quiet "$receiver"
        after=$(used "$receiver")
        [ $((after - before)) -lt "$best" ] && best=$((after - before))
    done
    peak=$(awk '/VmHWM/ { print int($2 / 1024) }' "/proc/$receiver/status")
    kill "$receiver"; wait "$receiver" 2>/dev/null || true
    case $1 in
    rsyslog) arrived=$(grep -ac 'handled in' "$work/rsyslog.out"); rm "$work/rsyslog.out" ;;
    *) arrived=$(grep -o '"messages_out":[0-9]*' "$work/heka.err" | cut -d: -f2) ;;
    esac
    awk -v name="$1" -v kind="$2" -v ms="$best" -v n="$messages" -v got="$arrived" -v peak="$peak" -v sent="$(cat "$work/sent")" 'BEGIN {
        printf "%-16s %-4s %8.0f messages per CPU second  %5.1f %% arrived  peak %3d MiB  (sent at %s)\n",
            name, kind, n / ms * 1000, got / n / 3 * 100, peak, sent }'
}

echo "$messages messages of 152 bytes, three times; rsyslog $(rsyslogd -v | head -n 1 | awk '{ print $2 }')"
for kind in tcp udp; do
    limit=; [ $kind = udp ] && limit=$rate
    run heka $kind $limit
    run "heka --no-raw" $kind $limit
    run rsyslog $kind $limit
done
