"""The table of deviations: a row for each run, the largest deviation of each kind in its columns."""

import math

from probe.training.golden.comparison import LIMITS, Kind, deviations
from probe.training.golden.numbers import Golden


def print_table(golden: Golden) -> float:
    """Print each row when its run is done; returns the worst deviation, in units of its limit."""
    worst = 0.0
    kinds: list[Kind] = list(LIMITS)
    print("| run | divergence |", " | ".join(f"{kind} ≤ {LIMITS[kind]:.0e}" for kind in kinds), "|")
    print("|---|---|" + "---:|" * len(kinds))
    for name in golden.runs:
        found = list(deviations(golden, name))
        largest = {kind: max((d.value for d in found if d.kind == kind), default=None) for kind in kinds}
        # A number that is none is as far off as can be; max would pass over it.
        worst = max(worst, *(math.inf if math.isnan(d.value) else d.value / LIMITS[d.kind] for d in found))
        cells = ("–" if value is None else f"{value:.1e}" for value in largest.values())
        print(f"| {name.run} | {name.objective} |", " | ".join(cells), "|")
    return worst
