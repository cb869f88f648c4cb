"""What the commands share: the version, and turning an error into one message and exit code 2."""

import math
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from probe import __version__
from probe.errors import CheckpointError, ProbeError, Problem

if TYPE_CHECKING:
    from rich.console import Console

    from probe.checkpoints.find import Overrides


def with_version(parser: ArgumentParser) -> ArgumentParser:
    """Add the last option of a command. Its module hands out its ``parser``, for documents and tests to read."""
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def new_console() -> "Console":
    """What a command prints to: no colours of its own, and brackets are what they are."""
    from rich.console import Console

    return Console(highlight=False, markup=False)


def run(
    parser: ArgumentParser,
    body: Callable[[Namespace], int | None],
    argv: Sequence[str] | None,
    *,
    intermixed: bool = False,
) -> int:
    """Parse, do, and report. The body may return an exit code; argparse itself exits with 2 on bad usage.

    ``intermixed`` lets a list of words go on behind an option.
    """
    arguments = parser.parse_intermixed_args(argv) if intermixed else parser.parse_args(argv)
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


def named(argument: str) -> tuple[str | None, str]:
    """Name and path of ``NAME=PATH``; None and the path where it comes without a name.

    Raises:
        CheckpointError: nothing stands before the =.
    """
    before, sign, after = argument.partition("=")
    if not sign or Path(argument).exists():
        return None, argument
    if not before:
        raise CheckpointError(Problem(argument, "a name before the =", "none", "Write NAME=PATH, or the path alone."))
    return before, after


def add_checkpoints(parser: ArgumentParser, *, labels: bool = False) -> None:
    """Several checkpoints, and how to open them."""
    same = "; those of one LABEL are training seeds of one method" if labels else ""
    parser.add_argument(
        "--checkpoint",
        action="append",
        metavar="[LABEL=]NAME" if labels else "NAME",
        help=f"bundled name, directory or hub id; may be repeated; default demo{same}",
    )
    add_checkpoint_options(parser)


def add_checkpoint_options(parser: ArgumentParser) -> None:
    """Options that say how to open a checkpoint."""
    parser.add_argument("--student", metavar="MODEL", help="directory, .gguf file or hub id of the student, if moved")
    parser.add_argument("--teacher", metavar="MODEL", help="the same for the teacher")
    parser.add_argument(
        "--key-scale", type=_scale, metavar="X", help="what keys are divided by, for DSKD directories, which store none"
    )
    parser.add_argument(
        "--embedding-scale",
        action="append",
        default=[],
        type=_embedding_scale,
        metavar="ROLE=X",
        help="what the embedding module of student or teacher multiplies rows by, for DSKD directories whose model "
        "types do not tell; may be repeated",
    )


def overrides(arguments: Namespace) -> "Overrides":
    """What those options say."""
    from probe.checkpoints.find import Overrides

    scales = dict(arguments.embedding_scale)
    return Overrides(arguments.student, arguments.teacher, arguments.key_scale, scales)


def _embedding_scale(text: str) -> tuple[str, float]:
    role, _, value = text.partition("=")
    if role not in ("student", "teacher"):
        raise ArgumentTypeError(f"{text}: student=X or teacher=X")
    return role, _scale(value)
