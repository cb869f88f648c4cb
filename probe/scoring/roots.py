"""The root of a function of one number by Brent's method, as scipy finds it: importing scipy.optimize takes longer."""

import math
from collections.abc import Callable

RELATIVE = 4 * 2.0**-52
"""Of a root, what it is never known more exactly than."""


def root(function: Callable[[float], float], low: float, high: float, tolerance: float) -> float:
    """Where a function is zero between two numbers where its signs differ (Brent 1973, chapter 4).

    Every step is that of `scipy.optimize.brentq`, and so is the root, to the digit.
    """
    before, here = low, high
    at_before, at_here = function(before), function(here)
    if at_before == 0 or at_here == 0:
        return before if at_before == 0 else here
    if (at_before < 0) == (at_here < 0):
        raise ValueError(f"the function has no other sign at {low} than at {high}")
    other = at_other = step = last_step = 0.0  # the root is between here and other
    while True:
        if at_before != 0 and at_here != 0 and (at_before < 0) != (at_here < 0):
            other, at_other = before, at_before
            last_step = step = here - before
        if abs(at_other) < abs(at_here):
            before, here, other = here, other, here
            at_before, at_here, at_other = at_here, at_other, at_here
        least, half = (tolerance + RELATIVE * abs(here)) / 2, (other - here) / 2
        if at_here == 0 or abs(half) < least:
            break
        tried = math.inf
        if abs(last_step) > least and abs(at_here) < abs(at_before):
            tried = _interpolated(before, here, other, at_before, at_here, at_other)
        if 2 * abs(tried) < min(abs(last_step), 3 * abs(half) - least):
            last_step, step = step, tried
        else:
            last_step = step = half
        before, at_before = here, at_here
        here += step if abs(step) > least else math.copysign(least, half)
        at_here = function(here)
    return here


def _interpolated(before: float, here: float, other: float, at_before: float, at_here: float, at_other: float) -> float:
    """How far the root is from here: on a line through two points, or on a curve through three."""
    if before == other:
        return -at_here * (here - before) / (at_here - at_before)
    to_before = (at_before - at_here) / (before - here)
    to_other = (at_other - at_here) / (other - here)
    return -at_here * (at_other * to_other - at_before * to_before) / (to_other * to_before * (at_other - at_before))
