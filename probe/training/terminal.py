"""What training shows: one message where packages are missing, bars on a terminal alone, no advice from libraries."""

import importlib.util
import sys

from probe.errors import MissingExtraError, Problem

PACKAGES = ("torch", "transformers", "sentencepiece", "rouge_score")


def quiet_transformers() -> None:
    """Silence the bars of transformers in a pipe, and its warnings everywhere; its errors are exceptions."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    if not sys.stderr.isatty():
        logging.disable_progress_bar()


def require_train() -> None:
    """Check that the packages of the extra ``train`` are there, before anything imports them.

    Raises:
        MissingExtraError: one of them is not.
    """
    missing = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        remedy = "Run: pip install 'cma-probe[train]', or '.[train]' in a clone."
        raise MissingExtraError(Problem("training", "the extra train", f"no {', '.join(missing)}", remedy))
