"""What scipy and numpy make of the series on standard input: a line of JSON for each.

A line in: {"values": [number or null, ...], "n1": N, "n2": N, "continuity": bool, "win": N, "hwin": N, "sd": number}
A line out: {"u": number, "p": number} or {"u": null}, and "average", "deviation", "hit" of the rate of change.
"""

import json
import math
import sys
import warnings

import numpy
from scipy import stats

warnings.simplefilter("ignore")

for line in sys.stdin:
    series = json.loads(line)
    values = numpy.array([math.nan if value is None else value for value in series["values"]])
    n1, n2 = series["n1"], series["n2"]
    # Values that are not there are the lowest, and tie.
    low = numpy.where(numpy.isnan(values), -1e300, values)
    first, second = low[:n1], low[n1 : n1 + n2]
    result = {"u": None}
    if len(set(low[: n1 + n2])) > 1:
        u = stats.mannwhitneyu(first, second, method="asymptotic").statistic
        side = "greater" if u >= n1 * n2 / 2 else "less"
        test = stats.mannwhitneyu(
            first, second, use_continuity=series["continuity"], alternative=side, method="asymptotic"
        )
        # Where both samples are alike the correction turns the sign.
        result = {"u": float(u), "p": float(min(test.pvalue, 1 - test.pvalue))}
    win, hwin = series["win"], series["hwin"]
    # The newest row is not looked at.
    current, previous = values[-1 - win : -1], values[-1 - 2 * win : -1 - win]
    history = values[: -1 - 2 * win]
    if hwin:
        history = history[-hwin:]
    result["average"] = float(numpy.nanmean(current)) if not numpy.isnan(current).all() else None
    result["deviation"] = float(numpy.nanstd(history)) if not numpy.isnan(history).all() else None
    difference = abs(numpy.nanmean(current) - numpy.nanmean(previous))
    result["hit"] = bool(difference > numpy.nanstd(history) * series["sd"])
    print(json.dumps(result))
