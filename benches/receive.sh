#!/usr/bin/env bash
# What one receiver of syslog takes: starts it, sends it LINES messages, waits until all has arrived, and ends it. The time of
# the sender is not in the receiver's.
#   receive.sh heka|rsyslog|fluent-bit|vector|syslog-ng tcp|udp LINES OUT
# Prints the CPU seconds, the elapsed seconds and the peak memory in KiB of the receiver. Needs $SENDER.
set -euo pipefail
program=$1 kind=$2 lines=$3 out=$PWD/$4
folder=$(mktemp -d)
daemon=
trap 'kill "$daemon" 2> /dev/null || true; rm -rf "$folder"' EXIT
port=$((20000 + RANDOM % 20000))
rm -f "$out"
case $program in
heka) heka-listen --address 127.0.0.1 "--$kind" "$port" --no-raw > "$out" 2> "$folder/err" & ;;
rsyslog)
    cat > "$folder/conf" <<END
global(workDirectory="$folder")
module(load="im$kind" $([ "$kind" = udp ] && echo 'batchSize="128" TimeRequery="8"'))
template(name="line" type="string" string="%hostname% %app-name% %msg%\n")
ruleset(name="r") { action(type="omfile" file="$out" template="line" asyncWriting="on" ioBufferSize="256k" flushOnTXEnd="off") }
input(type="im$kind" port="$port" address="127.0.0.1" ruleset="r" $([ "$kind" = udp ] && echo 'rcvbufSize="16m"'))
main_queue(queue.size="2000000" queue.dequeueBatchSize="1024" queue.workerThreads="1")
END
    rsyslogd -n -i "$folder/pid" -f "$folder/conf" & ;;
fluent-bit)
    cat > "$folder/parsers" << 'END'
[PARSER]
    Name rfc5424
    Format regex
    Regex ^<[0-9]+>1 [^ ]+ (?<host>[^ ]+) (?<ident>[^ ]+) [^ ]+ [^ ]+ (?:-|\[.*?\]) (?<message>.+)$
END
    cat > "$folder/conf" <<END
[SERVICE]
    Flush 0.2
    Log_Level error
    Parsers_File $folder/parsers
[INPUT]
    Name syslog
    Mode $kind
    Listen 127.0.0.1
    Port $port
    Parser rfc5424
    Receive_Buffer_Size 16M
    Buffer_Chunk_Size 256K
    Buffer_Max_Size 4M
    Threaded on
    Mem_Buf_Limit 64M
[OUTPUT]
    Name file
    Match *
    Path $(dirname "$out")
    File $(basename "$out")
    Format template
    Template {host} {ident} {message}
END
    fluent-bit -c "$folder/conf" > /dev/null 2> "$folder/err" & ;;
vector)
    cat > "$folder/conf.yaml" <<END
data_dir: $folder
sources: { in: { type: syslog, mode: $kind, address: "127.0.0.1:$port", receive_buffer_bytes: 16777216 } }
transforms: { text: { type: remap, inputs: [in], source: '.message = join!([.hostname, .appname, .message], " ")' } }
sinks: { out: { type: file, inputs: [text], path: $out, encoding: { codec: text } } }
END
    vector -qq --config "$folder/conf.yaml" 2> "$folder/err" & ;;
syslog-ng)
    root=${SYSLOG_NG%/sbin/syslog-ng}
    cat > "$folder/conf" <<END
@version: 3.38
options { keep-hostname(yes); flush-lines(1000); log-fifo-size(2000000); stats-freq(0); };
source s { network(ip("127.0.0.1") port($port) transport("$kind") flags(syslog-protocol) log-fetch-limit(10000)
    log-iw-size(1000000) max-connections(10) so-rcvbuf(16777216)); };
destination d { file("$out" template("\$HOST \$PROGRAM \$MSG\n")); };
log { source(s); destination(d); flags(flow-control); };
END
    LD_LIBRARY_PATH=$SYSLOG_NG_LIB "$SYSLOG_NG" -F -f "$folder/conf" --module-path="$(echo "$root"/lib/syslog-ng/[0-9]*)" \
        --persist-file="$folder/persist" --pidfile="$folder/pid" --control="$folder/control" --no-caps 2> "$folder/err" & ;;
esac
daemon=$!
used() { awk '{ print $14 + $15 }' "/proc/$daemon/stat"; }
size() { stat -c %s "$out" 2> /dev/null || echo 0; }
quiet() {
    local before=-1 now
    while now="$(used) $(size)" && [ "$now" != "$before" ]; do before=$now; sleep 0.3; done
}
sleep 0.5
quiet
before=$(used) from=$(date +%s%N)
"$SENDER" "$kind" "127.0.0.1:$port" "$lines" $([ "$kind" = udp ] && echo 300000) > /dev/null
sent=$(date +%s%N)
quiet
awk -v ticks=$(($(used) - before)) -v ns=$((sent - from)) -v kib="$(awk '/VmHWM/ { print $2 }' "/proc/$daemon/status")" \
    'BEGIN { printf "%.2f %.2f %d\n", ticks / 100, ns / 1e9, kib }'
kill "$daemon"
wait "$daemon" || true
