"""Checks of types and shapes at each call, as ``--jaxtyping-packages`` asks for them, at a fraction of its price."""

import functools
import typing
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import Any

from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, TypeCheckError, jaxtyped

CHECK = beartype(conf=BeartypeConf(violation_type=TypeCheckError))


def checked(*, typechecker: object) -> Callable[[Any], Any]:
    """
    In the place of ``jaxtyping.jaxtyped``, which binds all arguments of a call by name and checks them twice.

    Here beartype checks them once. Only a function whose annotations name arrays keeps account of their axes.
    """
    del typechecker  # beartype, as the option says
    return lambda checkable: _class(checkable) if isinstance(checkable, type) else _function(checkable)


def _class(checkable: type) -> type:
    if is_dataclass(checkable):
        checkable.__init__ = _function(checkable.__init__)
    return checkable


def _function(function: Callable[..., Any]) -> Callable[..., Any]:
    hints = {name: Any if _is_quoted(hint) else hint for name, hint in function.__annotations__.items()}
    function.__annotations__ = hints
    inner = CHECK(function)
    if not any(map(_has_array, hints.values())):
        return inner

    @functools.wraps(function)
    def with_axes(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True  # from pytest
        with jaxtyped("context"):
            return inner(*args, **kwargs)

    return with_axes


def _is_quoted(hint: Any) -> bool:
    """Whether a name in it is that of a class further down, or of a module that only pyright imports."""
    return isinstance(hint, str | typing.ForwardRef) or any(map(_is_quoted, _parts(hint)))


def _has_array(hint: Any) -> bool:
    return (isinstance(hint, type) and issubclass(hint, AbstractArray)) or any(map(_has_array, _parts(hint)))


def _parts(hint: Any) -> Iterator[Any]:
    """The hints inside of one: not the values of a literal, which are strings."""
    if typing.get_origin(hint) is not typing.Literal:
        for part in typing.get_args(hint):
            yield from part if isinstance(part, list) else (part,)  # arguments of a callable
