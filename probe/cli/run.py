"""What all commands share: the version, and errors as one message with exit code 2."""

import errno
import math
import os
import shlex
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, _SubParsersAction  # pyright: ignore[reportPrivateUsage]
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probe import __version__
from probe.cli.streams import give_up_stdout, is_closed, show_everywhere, warnings_after
from probe.errors import OPTIONS, CheckpointError, ProbeError, Problem, visible

if TYPE_CHECKING:
    from rich.console import Console

    from probe.checkpoints.opened import OpenCheckpoint


def with_version(parser: ArgumentParser) -> ArgumentParser:
    """Add --version, the last option of each command."""
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def new_console() -> "Console":
    """The console of a command: it adds no colours, and does not read brackets as markup."""
    from rich.console import Console

    class Plain(Console):
        """Names and ids come from files: what a terminal would obey is shown by its code."""

        def render_str(self, text: str, **options: Any) -> Any:
            return super().render_str(visible(text), **options)

    return Plain(highlight=False, markup=False)


def run(
    parser: ArgumentParser,
    body: Callable[[Namespace], int | None],
    argv: Sequence[str] | None,
    *,
    intermixed: bool = False,
) -> int:
    """Parse the arguments, run the body and return the exit code: the body's, or 2 on an error.

    argparse itself exits with 2 on wrong usage. ``intermixed`` allows positional arguments after options.
    """
    show_everywhere()
    arguments = parser.parse_intermixed_args(argv) if intermixed else parser.parse_args(argv)
    at_hand = OPTIONS.set(_options(parser, arguments))
    # The matrices of one sentence are small: with threads, waiting would take longer than computing.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        with warnings_after():
            if is_closed():
                raise OSError(errno.EBADF, "a closed one")
            code = body(arguments) or 0
            sys.stdout.flush()
        return code
    except ProbeError as error:
        return _refused(parser, str(error))
    except KeyboardInterrupt as stopped:
        # A command that keeps what it has done says how to go on.
        told = str(stopped) or "stopped. Files are written whole or not at all, so the same command can start again."
        print(f"\n{parser.prog}: {told}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the program that reads the pipe, such as head, has ended
        give_up_stdout()
    except OSError as error:
        return _refused(parser, str(_failed(error)))
    except MemoryError:
        return _refused(parser, str(Problem("memory", "room for this input", "none left", "Use a smaller one.")))
    finally:
        OPTIONS.reset(at_hand)
    return 0


def _options(parser: ArgumentParser, arguments: Namespace) -> set[str]:
    """The options of the command, or of that of its commands which was chosen."""
    chosen: Any = parser
    for action in parser._actions:  # argparse has no other way to ask  # pyright: ignore[reportPrivateUsage]
        if isinstance(action, _SubParsersAction):  # pyright: ignore[reportUnknownVariableType]
            chosen = action.choices.get(getattr(arguments, action.dest) or "", parser)
    return set(chosen._option_string_actions)


def _refused(parser: ArgumentParser, message: str) -> int:
    with suppress(OSError, ValueError, AttributeError):  # standard error may be closed or full as well
        print(visible(f"{parser.prog}: {message}"), file=sys.stderr, flush=True)
    return 2


def _failed(error: OSError) -> Problem:
    """What the system refuses, whoever asked for it: a file, or standard output."""
    got = error.strerror or str(error)
    if error.filename is not None:
        remedy = "Check its name, its permissions and the room on its disk."
        return Problem(str(error.filename), "a file or directory to use", got, remedy)
    give_up_stdout()  # files that are written have names, and `probe.output.files` tells them
    return Problem("standard output", "a place to write to", got, "Send it elsewhere, or to /dev/null.")


def above_zero(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ArgumentTypeError(f"expected a finite number above 0; got {text!r}")
    return value


def named(argument: str) -> tuple[str | None, str]:
    """Name and path of ``NAME=PATH``; None and the path if there is no name.

    Raises:
        CheckpointError: nothing is before the =.
    """
    before, sign, after = argument.partition("=")
    if not sign or Path(argument).exists():
        return None, argument
    if not before:
        raise CheckpointError(Problem(argument, "a name before the =", "none", "Write NAME=PATH, or only the path."))
    return before, after


def add_source(parser: ArgumentParser, pairs: str, texts: str) -> None:
    """Add --pairs and --texts, of which one may be given; both arguments end their help."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--pairs", type=Path, metavar="FILE", help=f"gold file (.tsv); default: the bundled one{pairs}")
    source.add_argument(
        "--texts",
        type=Path,
        metavar="FILE",
        help=f"texts of your own, one a line, or the field output of a .jsonl file{texts}",
    )


def command_line(program: str) -> str:
    """The command that runs, for the record; the program alone where another one called it."""
    return shlex.join([program, *(sys.argv[1:] if sys.argv[0].endswith(program) else [])])


def write_texts(texts: Mapping[Path | None, Callable[[], str]]) -> None:
    """Write each file whole or not at all, under gzip where its name ends in ``.gz``; without a path, nothing."""
    from probe.output.documents import packed
    from probe.output.files import replacing_file

    for path, text in texts.items():
        if path is not None:
            with replacing_file(path) as temporary:
                temporary.write_bytes(packed(text(), path))


def add_checkpoints(parser: ArgumentParser, *, labels: bool = False) -> None:
    """Add --checkpoint and the options that say how to open one."""
    same = "; checkpoints with the same LABEL are training seeds of one method" if labels else ""
    parser.add_argument(
        "--checkpoint",
        action="append",
        metavar="[LABEL=]NAME" if labels else "NAME",
        help=f"bundled name, directory or hub id; may be repeated; default demo{same}",
    )
    add_checkpoint_options(parser)


def add_checkpoint_options(parser: ArgumentParser) -> None:
    """Add the options that say how to open a checkpoint."""
    parser.add_argument(
        "--student",
        metavar="MODEL",
        help="directory, .gguf file or hub id of the student, if it is not where the checkpoint says",
    )
    parser.add_argument("--teacher", metavar="MODEL", help="the same for the teacher")
    parser.add_argument(
        "--key-scale",
        type=above_zero,
        metavar="X",
        help="number that keys are divided by; for DSKD directories, which do not store it",
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


def opener(arguments: Namespace, texts: Sequence[str] | None = None) -> "Callable[[str], OpenCheckpoint]":
    """What opens a checkpoint by its name as those options say; ``texts`` are to estimate its key scale from."""
    from probe.checkpoints.loading import load

    return partial(
        load,
        student=arguments.student,
        teacher=arguments.teacher,
        key_scale=arguments.key_scale,
        embedding_scales=dict(arguments.embedding_scale),
        texts=texts,
    )


def _embedding_scale(text: str) -> tuple[str, float]:
    role, _, value = text.partition("=")
    if role not in ("student", "teacher"):
        raise ArgumentTypeError(f"{text}: student=X or teacher=X")
    return role, above_zero(value)
