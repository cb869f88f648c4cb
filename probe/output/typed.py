"""Values that were read from a document, against the types that their dataclass declares."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints


def check_types(value: Any) -> None:
    """Check the fields of a dataclass and of those inside of it; arrays were made here and are not looked at.

    Raises:
        TypeError: a field has another type, or a number is not finite.
    """
    hints = get_type_hints(type(value))
    for field in fields(value):
        found = getattr(value, field.name)
        if not _fits(found, hints[field.name]):
            raise TypeError(f"{field.name} with the value {found!r:.80}")


def _fits(value: Any, declared: Any) -> bool:
    origin, inner = get_origin(declared), get_args(declared)
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is tuple:
        return isinstance(value, tuple) and _fit(value, inner)  # pyright: ignore[reportUnknownArgumentType]
    if declared in (float, int):
        return _is_number(value, declared)
    if declared in (str, bool, NoneType):
        return isinstance(value, declared)
    if isinstance(declared, type) and is_dataclass(declared):
        if not isinstance(value, declared):
            return False
        check_types(value)
    return isinstance(value, Mapping) if origin is Mapping else True


def _fit(values: Sequence[Any], declared: Sequence[Any]) -> bool:
    """Whether the parts of a tuple fit: all of one type, or each of its own."""
    if len(declared) == 2 and declared[1] is Ellipsis:
        return all(_fits(value, declared[0]) for value in values)
    return len(values) == len(declared) and all(map(_fits, values, declared))


def _is_number(value: Any, declared: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if declared is int else (int, float)):
        return False
    return abs(value) < 1 << 63 if isinstance(value, int) else math.isfinite(value)
