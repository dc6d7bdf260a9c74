#!/usr/bin/env bash
# A peer: rsyslog copies a file, line by line, and ends. rsyslog.sh IN OUT
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
rm -f "$2"
cat > "$folder/conf" <<END
global(workDirectory="$folder" maxMessageSize="64k")
module(load="imfile" mode="inotify")
template(name="line" type="string" string="%msg%\n")
ruleset(name="r") { action(type="omfile" file="$PWD/$2" template="line" asyncWriting="on" ioBufferSize="256k" flushOnTXEnd="off") }
input(type="imfile" file="$PWD/$1" tag="x" ruleset="r" maxLinesAtOnce="0" readMode="0")
main_queue(queue.size="2000000" queue.dequeueBatchSize="1024" queue.workerThreads="1")
END
rsyslogd -n -i "$folder/pid" -f "$folder/conf" & daemon=$!
before=0
while sleep 0.5; now=$(stat -c %s "$2" 2> /dev/null || echo 0); [ "$now" -ne "$before" ] || [ "$now" -eq 0 ]; do before=$now; done
kill "$daemon"
wait "$daemon" || true
