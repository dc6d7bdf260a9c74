# Whole programs beside their peers: the same input, the same result, each peer set up for speed. See peers.sh.
#   peers.py WORK LINES RUNS
# Prints a table in Markdown, and writes the same to target/peers.json.
import collections
import json
import os
import re
import shutil
import statistics
import subprocess
import sys

work, lines, runs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
SAMPLE = 1000
FIELDS = ("remote_addr", "remote_user", "status", "body_bytes_sent", "request", "http_user_agent")


def measure(command):
    """CPU seconds of all programs of a command, its wall time, the memory of its largest program in MiB, its status."""
    # To throw away what another run has written is not this one's work.
    for file in ("out", "out.html"):
        if os.path.exists(f"{work}/{file}"):
            os.remove(f"{work}/{file}")
    if command.startswith("receive "):
        made = subprocess.run(["bash", f"{os.environ['PEERS']}/receive.sh", *command.split()[1:]], cwd=work, stdout=subprocess.PIPE, text=True)
        cpu, wall, kib = map(float, made.stdout.split() or (0, 0, 0))
        return cpu, wall, kib / 1024, made.returncode
    # By a small program: what Python forks counts with all of Python's memory.
    timed = ["time", "-f", "%U %S %e %M", "-o", f"{work}/used", "bash", "-c", f"set -o pipefail; {command}"]
    status = subprocess.run(timed, cwd=work).returncode
    with open(f"{work}/used") as file:
        user, system, wall, memory = map(float, file.read().splitlines()[-1].split())
    return user + system, wall, memory / 1024, status


def shell(command):
    return subprocess.run(["bash", "-c", command], cwd=work, capture_output=True, text=True).stdout


def messages(file):
    """The first messages of a stream, and how many there are."""
    text = shell(f"heka-cat --format json {file} 2>/dev/null | head -n {SAMPLE}")
    return [json.loads(line) for line in text.splitlines()], int(shell(f"heka-cat -c {file}"))


def of_heka(file):
    first, count = messages(file)
    sample = []
    for message in first:
        values = {}
        for field in message.get("fields", []):
            values[field["name"]] = next(field[key][0] for key in field if key.startswith("value_") and key != "value_type")
        sample.append(values)
    return normal(sample), count


def of_json(file):
    with open(f"{work}/{file}") as text:
        sample = [json.loads(line) for _, line in zip(range(SAMPLE), text)]
    return normal(sample), count_lines(file)


def of_syslog(file):
    """Host, program and text of messages, as receive.sh has the others write them."""
    first, count = messages(file)
    return [f"{message['hostname']} {message['logger']} {message['payload']}" for message in first], count


def count_lines(file):
    return int(shell(f"wc -l < {file}"))


def of_text(file):
    with open(f"{work}/{file}") as text:
        return [line.rstrip("\n") for _, line in zip(range(SAMPLE), text)], count_lines(file)


def of_table(file):
    """Counts by minute and status, in any order; a minute is its two digits of hour and minute."""
    with open(f"{work}/{file}") as text:
        rows = sorted(line.split() for line in text if re.match(r"\d\d:\d\d \d+ \d+$", line))
    return rows, len(rows)


def normal(sample):
    rows = []
    for values in sample:
        row = []
        for name in FIELDS:
            value = values.get(name)
            number = name in ("status", "body_bytes_sent")
            row.append(int(float(value)) if number else (value if value not in (None, "") else "-"))
        rows.append(tuple(row))
    return rows


class Entry:
    def __init__(self, name, command, read=None, needs=(), runs=runs):
        self.name, self.command, self.read, self.needs, self.runs = name, command, read, needs, runs


with open(f"{work}/user.lua", "w") as file:
    file.write("""require "string"
function process_message()
    write_message("Fields[class]", string.format("%dxx", read_message("Fields[status]") / 100))
    return 0
end
""")

# Two scripts that count: what they are before the counting, where a message's time is, and its status.
COUNT = """require "string"
require "math"
require "os"
%s
local counts = {}
function process_message()
    %s
    local minute = math.floor(ns / 6e10)
    local row = counts[minute]
    if not row then row = {} counts[minute] = row end
    row[status] = (row[status] or 0) + 1
    return 0
end
function timer_event()
    for minute, row in pairs(counts) do
        -- The log's own time of day.
        local time = os.date("!%%H:%%M", minute * 60 - 8 * 3600)
        for status, count in pairs(row) do output(string.format("%%s %%d %%d\\n", time, status, count)) end
    end
    inject_message("txt", "counts")
end
"""
FORMAT = ('$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
          '"$http_referer" "$http_user_agent"')
with open(f"{work}/count.lua", "w") as file:
    file.write(COUNT % ("", 'local ns, status = read_message("Timestamp"), read_message("Fields[status]")'))
with open(f"{work}/count_lines.lua", "w") as file:
    file.write(COUNT % (
        f"local grammar = require 'common_log_format'.build_nginx_grammar('{FORMAT}')",
        """local line = grammar:match(read_message("Payload"))
    if not line then return -1 end
    local ns, status = line.time, line.status"""))

CAPTURE = (r'capture("^(?<remote_addr>\\S+) - (?<remote_user>\\S+) \\[(?<time>[^\\]]+)\\] \"(?<request>[^\"]*)\" '
           r'(?<status>\\d+) (?<body_bytes_sent>\\d+) \"(?<http_referer>[^\"]*)\" \"(?<http_user_agent>[^\"]*)\"")')
DECODE = "heka-tail access.log | heka-decode --lua nginx_access"

ROWS = [
    ("read a file into messages", [
        Entry("heka-tail", "heka-tail access.log > out"),
        Entry("wc -l (reads only)", "wc -l access.log > out", needs=["wc"]),
        Entry("rsyslog imfile → omfile", "$PEERS/rsyslog.sh access.log out", of_text, ["rsyslogd"]),
        Entry("Fluent Bit tail → file", "$PEERS/fluent_bit.sh lines access.log out", of_text, ["fluent-bit"]),
        Entry("Vector stdin → file", "$PEERS/vector.sh lines access.log out", of_text, ["vector"], 1),
        Entry("Hindsight file.lua → its queue", "$PEERS/hindsight.sh lines access.log out", needs=["hindsight"]),
    ]),
    ("read a gzip file into messages", [
        Entry("heka-tail", "heka-tail access.log.gz > out"),
        Entry("zcat (no messages)", "zcat access.log.gz > out", needs=["zcat"]),
    ]),
    ("decode nginx", [
        Entry("heka-tail | heka-decode", f"{DECODE} > out", of_heka),
        Entry("heka-tail | heka-decode -j 1", f"{DECODE} -j 1 > out", of_heka),
        Entry("Fluent Bit tail, regex parser → file", "$PEERS/fluent_bit.sh nginx access.log out", of_json, ["fluent-bit"]),
        Entry("Vector stdin, parse_regex → file", "$PEERS/vector.sh nginx access.log out", of_json, ["vector"], 1),
        Entry("Hindsight decoders.nginx.access → its queue", "$PEERS/hindsight.sh nginx access.log out", of_heka, ["hindsight"]),
        Entry("lua5.1 + lpeg (captures, kept nowhere)", "lua5.1 $PEERS/nginx_lpeg.lua access.log > out", needs=["lua5.1"]),
        Entry("luajit + lpeg (captures, kept nowhere)", "luajit $PEERS/nginx_lpeg.lua access.log > out", needs=["luajit"]),
        Entry("jq -R capture", f"jq -cR '{CAPTURE}' access.log > out", of_json, ["jq"], 1),
        Entry("syslog-ng csv-parser (its apache-accesslog-parser)", "$PEERS/syslog_ng.sh access.log out", of_json, ["syslog-ng"], 1),
    ]),
    ("decode nginx, and a Lua function of the user's for each record", [
        Entry("heka-tail | heka-decode --lua nginx_access --lua user", f"{DECODE} --lua user.lua > out", of_heka),
        Entry("… -j 2", f"{DECODE} --lua user.lua -j 2 > out", of_heka),
        Entry("… without output", f"{DECODE} --lua user.lua > /dev/null"),
        Entry("Fluent Bit tail, regex parser, Lua filter → file", "$PEERS/fluent_bit.sh lua access.log out", of_json, ["fluent-bit"]),
        Entry("Vector stdin, parse_regex, a field more in VRL → file", "$PEERS/vector.sh class access.log out", of_json, ["vector"], 1),
        Entry("jq -R capture, a member more", f"jq -cR '{CAPTURE} | .class = .status[:1] + \"xx\"' access.log > out", of_json, ["jq"], 1),
    ]),
    ("decode JSON", [
        Entry("heka-tail | heka-decode --lua json", "heka-tail access.json | heka-decode --lua json > out", of_heka),
        Entry("Fluent Bit tail, JSON parser → file", "$PEERS/fluent_bit.sh json access.json out", of_json, ["fluent-bit"]),
        Entry("Vector stdin, parse_json → file", "$PEERS/vector.sh json access.json out", of_json, ["vector"], 1),
        Entry("jq -c .", "jq -c . access.json > out", of_json, ["jq"], 1),
        Entry("mlr --json cat", "mlr --ijsonl --ojsonl cat access.json > out", of_json, ["mlr"], 1),
    ]),
    ("decode and select (status 404)", [
        Entry("heka-tail | heka-decode | heka-match", f"{DECODE} | heka-match 'Fields[status] == 404' > out", of_heka),
        Entry("Fluent Bit tail, regex parser, grep → file", "$PEERS/fluent_bit.sh select access.log out", of_json, ["fluent-bit"]),
        Entry("Vector stdin, parse_regex, abort → file", "$PEERS/vector.sh select access.log out", of_json, ["vector"]),
        Entry("jq -R capture, select", f"jq -cR '{CAPTURE} | select(.status == \"404\")' access.log > out", of_json, ["jq"], 1),
        Entry("grep '\" 404 ' (no decoding)", "grep '\" 404 ' access.log > out", needs=["grep"]),
    ]),
    ("count by status and minute", [
        Entry("heka-tail | heka-decode | heka-sandbox",
              f"{DECODE} | heka-sandbox --lua count.lua | heka-cat --format payload > out", of_table),
        Entry("heka-tail | heka-sandbox (a script that parses)",
              "heka-tail access.log | heka-sandbox --lua count_lines.lua | heka-cat --format payload > out", of_table),
        Entry("awk", "awk '{ split($4, t, \":\"); c[t[2] \":\" t[3] \" \" $9]++ } END { for (k in c) print k, c[k] }' access.log > out",
              of_table, ["awk"]),
        Entry("goaccess (its full report)", "goaccess access.log --log-format=COMBINED --no-progress -o out.html", needs=["goaccess"], runs=1),
    ]),
    ("to JSON lines", [
        Entry("heka-cat --format json", "heka-cat --format json day.hpb > out"),
        Entry("jq -c . (of that)", "jq -c . day.json > out", needs=["jq"], runs=1),
    ]),
    ("to HEC, a server that keeps nothing", [
        Entry("heka-tail | heka-decode | heka-hec", f"{DECODE} | heka-hec --event fields --url $HEC"),
        Entry("Fluent Bit tail, regex parser → splunk", "$PEERS/fluent_bit.sh hec access.log out", needs=["fluent-bit"]),
        Entry("Vector stdin, parse_regex → splunk_hec_logs", "$PEERS/vector.sh hec access.log out", needs=["vector"]),
    ]),
    ("syslog over TCP to a file", [
        Entry("heka-listen --no-raw", f"receive heka tcp {lines} out", of_syslog),
        Entry("rsyslog imtcp → omfile", f"receive rsyslog tcp {lines} out", of_text, ["rsyslogd"]),
        Entry("Fluent Bit syslog → file", f"receive fluent-bit tcp {lines} out", of_text, ["fluent-bit"]),
        Entry("Vector syslog → file", f"receive vector tcp {lines} out", of_text, ["vector"], 1),
        Entry("syslog-ng network → file", f"receive syslog-ng tcp {lines} out", of_text, ["syslog-ng"]),
    ]),
    ("syslog over UDP to a file, 300,000 a second", [
        Entry("heka-listen --no-raw", f"receive heka udp {lines} out", of_syslog),
        Entry("rsyslog imudp → omfile", f"receive rsyslog udp {lines} out", of_text, ["rsyslogd"]),
        Entry("Fluent Bit syslog → file", f"receive fluent-bit udp {lines} out", of_text, ["fluent-bit"]),
        Entry("Vector syslog → file", f"receive vector udp {lines} out", of_text, ["vector"], 1),
        Entry("syslog-ng network → file", f"receive syslog-ng udp {lines} out", of_text, ["syslog-ng"]),
    ]),
    ("match on a stream", [
        Entry("heka-match one field", "heka-match 'Fields[status] == 404' day.hpb > out", of_heka),
        Entry("wc -l (reads only)", "wc -l day.hpb > out", needs=["wc"]),
        Entry("lsb_heka_cat", "lsb_heka_cat -h -m 'Fields[status] == 404' day.hpb > out", of_heka, ["lsb_heka_cat"]),
    ]),
    ("stream to text", [
        Entry("heka-cat", "heka-cat day.hpb > out"),
        Entry("lsb_heka_cat -t", "lsb_heka_cat -t day.hpb > out", needs=["lsb_heka_cat"]),
    ]),
]


def there(program):
    if program == "syslog-ng":
        return os.path.exists(os.environ.get("SYSLOG_NG", ""))
    return shutil.which(program) is not None


results, missing = [], set()
versions = os.environ["VERSIONS"].splitlines()
print(f"{lines} lines; CPU seconds of all programs of a row, wall time, memory of the largest program; medians\n")
print("| | CPU s | wall s | MiB | × ours | result |")
print("|---|---:|---:|---:|---:|---|")
for title, entries in ROWS:
    print(f"| **{title}** | | | | | |", flush=True)
    reference, ours = None, None
    for entry in entries:
        absent = [program for program in entry.needs if not there(program)]
        if absent:
            missing.update(absent)
            continue
        measured = [measure(entry.command) for _ in range(entry.runs)]
        cpu, wall, memory = (statistics.median(run[i] for run in measured) for i in range(3))
        ours = cpu if ours is None else ours
        verdict = "failed" if any(run[3] for run in measured) else ""
        if entry.read and not verdict:
            found = entry.read("out")
            if reference is None:
                reference, verdict = found, f"{found[1]} records"
            elif found == reference:
                verdict = "the same"
            else:
                # Which field differs says more than that something does.
                pairs = zip(found[0], reference[0])
                differing = collections.Counter(
                    FIELDS[i] for a, b in pairs if isinstance(a, tuple) for i in range(len(a)) if a[i] != b[i])
                verdict = f"DIFFERS: {found[1]} records" + (f"; {dict(differing)}" if differing else "")
        name = entry.name.replace("|", "\\|")
        print(f"| {name} | {cpu:.2f} | {wall:.2f} | {memory:.0f} | {cpu / max(ours, 0.01):.1f} | {verdict} |", flush=True)
        results.append({"row": title, "program": entry.name, "cpu_s": cpu, "wall_s": wall, "peak_mib": memory, "result": verdict})
with open("target/peers.json", "w") as file:
    json.dump({"lines": lines, "versions": versions, "rows": results}, file, indent=1)
print(f"\nVersions: {'; '.join(versions)}")
if missing:
    print(f"\nNot found, so not shown: {', '.join(sorted(missing))}")
