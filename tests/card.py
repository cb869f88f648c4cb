"""A graphics card that is not there: tensors which say that they are on another device, and hold their values here.

They meet tensors of the processor as those of a card do, which is hardly ever: an operation raises where CUDA would.
So what mishandles a device is seen on a machine without a card, with real values, also where code branches on them. The
device has the name "meta", the only one beside "cpu" for which every build of torch has gradients.

Autocast and the precision of kernels are not imitated.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_map

CARD = torch.device("meta")

_aten = torch.ops.aten
_COPIES = {_aten.copy_.default}
_INDEXINGS = {_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default, _aten._index_put_impl_.default}
_RUNNING_SUMS = {_aten.cumsum.default, _aten.cumsum_.default, _aten.cumsum.out}


class OnCard(Tensor):
    """A tensor on the card."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "OnCard":
        made: Any = Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=CARD,
        )
        made.inner = inner
        return made

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["inner"], None

    @staticmethod
    def __tensor_unflatten__(inner: Mapping[str, Tensor], context: None, size: Any, stride: Any) -> "OnCard":
        return OnCard(inner["inner"])

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        return _run(func, types, args, kwargs or {})

    def tolist(self) -> Any:
        return self.inner.tolist()


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        if func._can_decompose():  # in inference mode, operations come here before they are taken apart
            with self:
                return func.decompose(*args, **kwargs or {})
        return _run(func, types, args, kwargs or {})


class _Literals(TorchFunctionMode):
    """``torch.tensor`` takes no values to a device of this name."""

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and _is_card(kwargs.get("device")):
            return func(*args, **kwargs | {"device": "cpu"}).to(CARD)
        return func(*args, **kwargs)


@contextmanager
def card() -> Iterator[None]:
    """There is a card in the meantime: ``x.to(CARD)`` and ``device=CARD`` lead there."""
    with _Literals(), _Operations():
        yield


def _is_card(device: Any) -> bool:
    return device is not None and torch.device(device) == CARD


def _run(func: Any, types: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    given: list[Tensor] = []
    tree_map(lambda one: given.append(one) if isinstance(one, Tensor) else None, (args, kwargs))
    seen = any(isinstance(one, OnCard) for one in given)
    if seen and not all(isinstance(one, OnCard) for one in given):
        _check(func, args, kwargs)
    if seen:
        _check_order(func, args)
    asked = kwargs.get("device")
    there = seen if asked is None else _is_card(asked)
    here = kwargs if asked is None else kwargs | {"device": torch.device("cpu")}
    if not (seen or there):
        return func(*args, **kwargs)
    args_here, kwargs_here = tree_map(lambda one: one.inner if isinstance(one, OnCard) else one, (tuple(args), here))
    found = func(*args_here, **kwargs_here)
    if not there:
        return found
    wrapped = tree_map(lambda one: OnCard(one) if isinstance(one, Tensor) else one, found)
    return return_and_correct_aliasing(func, tuple(args), kwargs, wrapped) if seen else wrapped


def _check(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Raise where CUDA does not take tensors of two devices."""
    if func in _COPIES:
        return
    if func in _INDEXINGS and isinstance(args[0], OnCard):
        values = args[2] if len(args) > 2 else None
        if isinstance(values, OnCard) or values is None or values.ndim == 0:
            return
    elif torch.Tag.pointwise in func.tags and not _writes_here(func, args, kwargs):
        numbers: list[bool] = []
        tree_map(
            lambda one: numbers.append(isinstance(one, OnCard) or one.ndim == 0) if isinstance(one, Tensor) else None,
            (tuple(args), kwargs),
        )
        if all(numbers):
            return
    raise RuntimeError(f"Expected all tensors to be on the same device: {func}")


def _writes_here(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Whether something is written to a tensor of the processor."""
    names = [argument.name for argument in func._schema.arguments]
    given = dict(zip(names, args, strict=False)) | kwargs
    written = [a.name for a in func._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    return any(isinstance(given.get(name), Tensor) and not isinstance(given[name], OnCard) for name in written)


def _check_order(func: Any, args: Sequence[Any]) -> None:
    """Raise where a card that is to sum in one order cannot; torch names these operations."""
    strict = torch.are_deterministic_algorithms_enabled() and not torch.is_deterministic_algorithms_warn_only_enabled()
    if strict and func in _RUNNING_SUMS and args[0].is_floating_point():
        raise RuntimeError(f"{func} does not have a deterministic implementation on a card")
