#!/usr/bin/env bash
# A peer: syslog-ng parses an access log into JSON lines, and ends. syslog_ng.sh IN OUT
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
rm -f "$2"
root=${SYSLOG_NG%/sbin/syslog-ng}
cat > "$folder/conf" <<END
@version: 3.38
options { keep-hostname(yes); flush-lines(1000); log-fifo-size(2000000); stats-freq(0); };
source s { file("$PWD/$1" flags(no-parse) follow-freq(1) log-fetch-limit(10000) log-iw-size(100000)); };
template t { template("\$(format-json --key .apache.* --rekey .apache.* --shift-levels 2)\n"); };
destination d { file("$PWD/$2" template(t)); };
parser p { csv-parser(columns(".apache.remote_addr", ".apache.ident", ".apache.remote_user", ".apache.timestamp", ".apache.request",
    ".apache.status", ".apache.body_bytes_sent", ".apache.http_referer", ".apache.http_user_agent")
    dialect(escape-double-char) flags(strip-whitespace) delimiters(" ") quote-pairs('""[]')); };
log { source(s); parser(p); destination(d); flags(flow-control); };
END
LD_LIBRARY_PATH=$SYSLOG_NG_LIB "$SYSLOG_NG" -F -f "$folder/conf" --module-path="$(echo "$root"/lib/syslog-ng/[0-9]*)" \
    --persist-file="$folder/persist" --pidfile="$folder/pid" --control="$folder/control" --no-caps & daemon=$!
before=0
while sleep 0.5; now=$(stat -c %s "$2" 2> /dev/null || echo 0); [ "$now" -ne "$before" ] || [ "$now" -eq 0 ]; do before=$now; done
kill "$daemon"
wait "$daemon" || true
