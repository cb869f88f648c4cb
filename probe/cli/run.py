"""What the commands share: the version, and turning an error into one message and exit code 2."""

import math
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence

from probe import __version__
from probe.errors import ProbeError


def run(parser: ArgumentParser, body: Callable[[Namespace], int | None], argv: Sequence[str] | None) -> int:
    """Parse, do, and report. The body may return an exit code; argparse itself exits with 2 on bad usage."""
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    arguments = parser.parse_args(argv)
    # Matrices are those of one sentence: threads would wait for each other longer than they work.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        return body(arguments) or 0
    except ProbeError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        sys.stderr.close()
    return 0


def _scale(text: str) -> float:
    """A number that keys can be divided by."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ArgumentTypeError(f"a finite number above 0, not {text!r}")
    return value


def add_checkpoints(parser: ArgumentParser) -> None:
    """Several checkpoints, and how to open them."""
    parser.add_argument(
        "--checkpoint",
        action="append",
        metavar="NAME",
        help="bundled name, directory or hub id; may be repeated; default demo",
    )
    add_checkpoint_options(parser)


def add_checkpoint_options(parser: ArgumentParser) -> None:
    """Options that say how to open a checkpoint."""
    parser.add_argument("--student", metavar="MODEL", help="directory, .gguf file or hub id of the student, if moved")
    parser.add_argument("--teacher", metavar="MODEL", help="the same for the teacher")
    parser.add_argument(
        "--key-scale", type=_scale, metavar="X", help="what keys are divided by, for DSKD directories, which store none"
    )
