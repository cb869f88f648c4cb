"""The packages that this analysis alone needs."""

import importlib.util
import os

from probe.errors import MissingExtraError, Problem

PACKAGES = {"sklearn": "scikit-learn", "ot": "POT", "threadpoolctl": "threadpoolctl"}


def require_analysis() -> None:
    """Check that the packages of the extra ``analysis`` are there, before anything imports them.

    Raises:
        MissingExtraError: one of them is not.
    """
    missing = [name for module, name in PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        remedy = "Run: pip install 'cma-probe[analysis]', or '.[analysis]' in a clone."
        raise MissingExtraError(Problem("key-query analysis", "the extra analysis", f"no {', '.join(missing)}", remedy))


def only_numpy() -> None:
    """Keep POT from loading torch, or another framework that is installed: numpy is enough. Before its first import."""
    for backend in ("PYTORCH", "TENSORFLOW", "JAX", "CUPY"):
        os.environ.setdefault(f"POT_BACKEND_DISABLE_{backend}", "1")
