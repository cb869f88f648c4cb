"""Roots are those of scipy."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from probe.scoring.roots import root

FUNCTIONS: dict[str, Callable[[float], float]] = {
    "line": lambda x: 2 * x - 1,
    "cubic": lambda x: x**3 - 2 * x - 5,
    "falling": lambda x: math.exp(-x) - 0.3,
    "flat": lambda x: math.tanh(x - 1) ** 5,
    "step": lambda x: 1.0 if x > 0.1 else -1.0,
}


@pytest.mark.parametrize("name", FUNCTIONS)
@given(st.floats(-10, -0.5), st.floats(3, 12), st.sampled_from([1e-1, 1e-3, 1e-9]))
def test_a_root_is_that_of_scipy_to_the_digit(name: str, low: float, high: float, tolerance: float):
    function = FUNCTIONS[name]
    seen: tuple[list[float], list[float]] = ([], [])

    def recorded(of: list[float]) -> Callable[[float], float]:
        return lambda x: of.append(x) or function(x)

    found = root(recorded(seen[0]), low, high, tolerance)
    assert found == brentq(recorded(seen[1]), low, high, xtol=tolerance)
    assert seen[0] == seen[1]


def test_an_end_may_be_the_root_and_equal_signs_have_none():
    assert root(lambda x: x, 0.0, 1.0, 1e-3) == 0.0
    assert root(lambda x: x - 1, 0.0, 1.0, 1e-3) == 1.0
    with pytest.raises(ValueError, match=r"at 1\.0 than at 2\.0"):
        root(lambda x: x, 1.0, 2.0, 1e-3)
