"""Makes records with Mozilla's `cef` library: a call in JSON on each line in, a record in JSON on each line out."""
import builtins
import json
import sys

# The library was written for Python 2: no text here is an instance of its `unicode`.
builtins.unicode = type("unicode", (), {})
import cef  # noqa: E402

cef._HOST = "h1"
cef.strftime = lambda form: "Sep 03 02:05:09"
# As in Python 2, where texts are bytes.
cef._len = lambda data: len(str(data).encode("utf8"))
cef.logger.disabled = True

for line in sys.stdin:
    call = json.loads(line)
    config = cef._filter_params("cef", call["config"])
    fields = cef._get_fields(
        call["name"], call["severity"], call["environ"], config,
        username=call["username"], signature=call["signature"], **call["ext"])
    print(json.dumps(cef._format_msg(fields, call["ext"])))
