"""What every call in a test is asked: types by beartype, and axes of one name to be equal within a call."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from checks import checked
from jaxtyping import Float, TypeCheckError

check: Any = checked(typechecker=None)
Rows = Float[np.ndarray, "rows width"]


def joined(a: Rows, b: Float[np.ndarray, " width"] | None = None, *, short: bool = False) -> Rows:
    return a[:, :1] if short else a


def half(count: int, later: "NotDefinedYet | None" = None) -> int:  # noqa: F821
    return count / 2 if count % 2 else count // 2


@check
@dataclass(frozen=True)
class Point:
    place: Float[np.ndarray, "2"]
    name: str


def test_axes_of_arguments_and_of_what_is_returned_are_equal_within_a_call():
    function = check(joined)
    function(np.zeros((2, 3)), np.zeros(3))
    function(np.zeros((5, 4)), np.zeros(4))  # no axis is remembered
    with pytest.raises(TypeCheckError, match="b"):
        function(np.zeros((2, 3)), np.zeros(2))
    with pytest.raises(TypeCheckError, match="return"):
        function(np.zeros((2, 3)), short=True)


def test_functions_without_arrays_are_checked_too():
    function = check(half)
    assert function(4, later="what a quoted name stands for is unknown") == 2
    with pytest.raises(TypeCheckError, match="count"):
        function("4")
    with pytest.raises(TypeCheckError, match="return"):
        function(3)


def test_values_are_checked_when_they_are_made():
    assert Point(np.zeros(2), "a").name == "a"
    for place, name in ((np.zeros(3), "a"), (np.zeros(2), 1)):
        with pytest.raises(TypeCheckError):
            Point(place, name)
