"""The errors of this package, and the four facts that each message has.

ProbeError                 base; commands print it and exit with code 2
├── TokenError             tokens that do not spell their sentence
├── PairsError             a gold file, or a row of it
├── MapError               an attention map, or a file that holds one
├── ProjectorError         the structure or the tensors of a projector
├── TableError             an embedding table
├── CheckpointError        a checkpoint directory
├── OutputError            a file that cannot be written
├── ReportError            a report that cannot be read or drawn
├── TrainingError          training data, settings or state
├── ArgumentError          an argument of the Python API that is not what the function takes; a TypeError too
└── MissingExtraError      a package that one of the extras installs
"""

import unicodedata
from collections.abc import Collection
from contextvars import ContextVar
from dataclasses import dataclass

OPTIONS: ContextVar[Collection[str] | None] = ContextVar("OPTIONS", default=None)
"""The options of the command at hand; None in Python."""


def option(name: str, value: str = "", *, command: str = "probe-align", python: str = "") -> str:
    """How to give something here: by an option of this command, by that of another one, or by an argument in Python.

    Args:
        name: of the option, as ``--key-scale``.
        value: to give.
        command: one that has the option.
        python: the argument and its value; default: as the option is called.

    Example:
        >>> option("--key-scale"), option("--base", "1")
        ('key_scale=…', 'base=1')
    """
    known = OPTIONS.get()
    if known is None:
        return python or f"{name.removeprefix('--').replace('-', '_')}={value or '…'}"
    given = f"{name} {value}".rstrip()
    return given if name in known else f"{given} of {command}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what was expected, what was found, and how to correct it."""

    where: str
    expected: str
    got: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: expected {self.expected}; got {self.got}. {self.remedy}"


class ProbeError(Exception):
    """Input that cannot be used. It has one problem or, for a file with several bad rows, all of them.

    Example:
        >>> import probe
        >>> try:
        ...     probe.load_report("missing.json")
        ... except probe.ProbeError as error:
        ...     print(error)
        missing.json: expected a report of probe-align --json; got No such file or directory. Name a file of --json.
    """

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class TokenError(ProbeError):
    """Tokens do not spell the sentence that they should come from."""


class PairsError(ProbeError):
    """A gold file has a wrong format, or none of its rows fits."""


class MapError(ProbeError):
    """An attention map has a wrong form."""


class ProjectorError(ProbeError):
    """The structure of a projector cannot be parsed, or its tensors do not match it."""


class TableError(ProbeError):
    """An embedding table cannot be found or read."""


class CheckpointError(ProbeError):
    """A checkpoint directory is incomplete or inconsistent, or belongs to other models."""


class OutputError(ProbeError):
    """A file cannot be written."""


class ReportError(ProbeError):
    """A saved report cannot be read, or a report cannot be drawn."""


class TrainingError(ProbeError):
    """Training data, settings or a saved training state cannot be used."""


class ArgumentError(ProbeError, TypeError):
    """An argument is not what the function takes.

    Example:
        >>> import probe
        >>> try:
        ...     probe.load("demo").map(None)
        ... except probe.ArgumentError as error:
        ...     print(error)
        map: expected a sentence or a gold row; got None. Write map("The cat sat.").
    """

    @classmethod
    def of(cls, where: str, expected: str, got: object, remedy: str) -> "ArgumentError":
        """The error for a value, of which the message gives the type and the beginning."""
        shown = repr(got)
        given = shown if got is None else f"{type(got).__name__} {shown[:60]}{'…' if len(shown) > 60 else ''}"
        return cls(Problem(where, expected, given, remedy))


class MissingExtraError(ProbeError):
    """A package is missing that one of the extras installs."""


def visible(text: str) -> str:
    """Text without control characters but line breaks and tabs: a terminal would obey them."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) != "Cc" else f"⟨U+{ord(c):04X}⟩" for c in text)
