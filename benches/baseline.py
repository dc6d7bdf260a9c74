# What `cargo bench --bench hot_paths` has measured, beside the baseline that is stored here.
#   baseline.py          a table
#   baseline.py save     the baseline becomes what was measured last
# Machines differ: the baseline's times count in those of a yardstick (SHA-1 of a page), which was measured with them.
import json
import pathlib
import sys

folder = pathlib.Path(__file__).parent
stored = folder / "baseline.json"
now = {}
for file in (folder.parent / "target/criterion").rglob("new/benchmark.json"):
    name = json.loads(file.read_text())["full_id"]
    now[name] = json.loads((file.parent / "estimates.json").read_text())["median"]["point_estimate"]
if "yardstick" not in now:
    sys.exit("nothing was measured yet: cargo bench --bench hot_paths")
if sys.argv[1:] == ["save"]:
    stored.write_text(json.dumps({name: round(ns, 1) for name, ns in sorted(now.items())}, indent=1) + "\n")
baseline = json.loads(stored.read_text())
scale = now["yardstick"] / baseline["yardstick"]
print(f"times in ns; this machine is {1 / scale:.2f} times as fast as the baseline's")
print(f"{'':44} {'now':>9} {'baseline':>9} {'ratio':>6}")
for name, ns in sorted(now.items()):
    then = baseline.get(name)
    compared = f"{then * scale:9.0f} {ns / (then * scale):6.2f}" if then else "        –"
    print(f"{name.removeprefix('message/'):44} {ns:9.0f} {compared}")
