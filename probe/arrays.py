"""The library of an array, for equations that hold for numpy and torch alike."""

from typing import Any

import array_api_compat
import numpy as np

Array = Any  # numpy or torch: shapes are checked for both, without importing torch


def array_namespace(*arrays: Array) -> Any:
    """The functions for some arrays of one library.

    Numpy's own for those of numpy, which are the standard's: the wrapper would import every part of numpy.
    """
    if all(isinstance(one, np.ndarray) for one in arrays):
        return np
    return array_api_compat.array_namespace(*arrays)
