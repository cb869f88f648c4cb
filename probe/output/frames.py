"""Tables as data frames, where pandas is installed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from probe.errors import MissingExtraError, Problem

if TYPE_CHECKING:
    from pandas import DataFrame


def data_frame(rows: Any, *, index: Sequence[str] | None = None, columns: Sequence[str] | None = None) -> "DataFrame":
    """A data frame of what pandas takes for one.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    try:
        from pandas import DataFrame
    except ImportError as error:
        remedy = "Install it: pip install 'cma-probe[notebooks]'. Reports are written as CSV without it."
        raise MissingExtraError(Problem("data frame", "pandas", "none", remedy)) from error
    names: Any = {name: list(values) for name, values in (("index", index), ("columns", columns)) if values is not None}
    return DataFrame(rows, **names)
