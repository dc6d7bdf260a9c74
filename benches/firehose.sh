#!/usr/bin/env bash
# heka-firehose against gzip on the same bytes, in one run, sending to a server that takes everything: CPU time (user +
# system), the least of five runs; and its memory. Machines are noisy and differ: it is the ratios that count.
#   bash benches/firehose.sh [LINES]
set -euo pipefail
cd "$(dirname "$0")/.."
lines=${1:-1000000}
sh tests/need.sh gzip=gzip python3=python3
cargo build --release --quiet
PATH=$PWD/target/release:$PATH
work=$(mktemp -d)
trap 'kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
. benches/measure.sh

cat > "$work/server.py" <<'END'
import base64, http.server, json, os, sys
class Firehose(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if b'"Records"' not in body:
            return self.answer(b'{"DeliveryStreamDescription":{"DeliveryStreamStatus":"ACTIVE"}}')
        if os.path.exists(sys.argv[1]):
            with open(sys.argv[1], "ab") as out:
                for record in json.loads(body)["Records"]:
                    out.write(base64.b64decode(record["Data"]))
        ids = ",".join(['{"RecordId":"1"}'] * body.count(b'"Data"'))
        self.answer(('{"FailedPutCount":0,"RequestResponses":[%s]}' % ids).encode())
    def answer(self, answer):
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    def log_message(self, *words): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Firehose)
print(server.server_port, flush=True)
server.serve_forever()
END
python3 "$work/server.py" "$work/docs" > "$work/port" & server=$!
until [ -s "$work/port" ]; do sleep 0.05; done
export AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x AWS_REGION=us-east-1
options=(--stream s --owner 1 --spool-dir "$work/spool" --endpoint-url "http://127.0.0.1:$(cat "$work/port")")
firehose() { heka-firehose "${options[@]}" "$@"; }
awk -v lines="$lines" -v seed=1 -f benches/generate.awk | heka-tail > "$work/in.hpb"
# The documents, to compress them with gzip.
touch "$work/docs"
firehose --compression none "$work/in.hpb"
mv "$work/docs" "$work/documents"

echo "$lines messages, $(du -m "$work/documents" | cut -f1) MiB of documents"
for level in 6 9 1; do
    row "gzip level $level" "$(cpu firehose --compression-level $level "$work/in.hpb")" "gzip -$level" "$(cpu gzip -$level -c "$work/documents")" "at most 1.3 at level 6"
done
row "not compressed" "$(cpu firehose --compression none "$work/in.hpb")" "cat" "$(cpu cat "$work/documents")" "-"
echo "peak memory: $(peak heka-firehose "${options[@]}" "$work/in.hpb") KiB"
