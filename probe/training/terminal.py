"""What training shows: progress bars on a terminal, none in a pipe, and no advice from libraries."""

import sys


def quiet_transformers() -> None:
    """Silence the bars of transformers in a pipe, and its warnings everywhere; its errors are exceptions."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    if not sys.stderr.isatty():
        logging.disable_progress_bar()
