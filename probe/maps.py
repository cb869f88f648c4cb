"""Attention maps: how much each student token draws from each teacher token. They need no model."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from jaxtyping import Float

from probe.errors import MapError, Problem, TokenError
from probe.output.files import replacing_file
from probe.output.frames import data_frame
from probe.output.reading import MOST_BYTES, Wanted, opened, parse_json, reason
from probe.tokens import EOS_DISPLAY, TokenizedText, beginning

if TYPE_CHECKING:
    from pandas import DataFrame

_TOLERANCE = 1e-3  # a row of 512 weights in float16 differs by much less


@dataclass(frozen=True)
class AttentionMap:
    """The attention weights of one sentence, student tokens × teacher tokens.

    The row of a token is the position that predicts it (its *target*), and so is the column. The last row and the last
    column are the end of sequence, so n student and m teacher tokens give weights of shape (n + 1, m + 1). Every row
    sums to one. `over_student` is the backward attention, if known: its columns sum to one.

    Raises:
        MapError: shapes do not fit the tokens, a weight is negative or not finite, or a row does not sum to one.

    Example:
        >>> import probe
        >>> map_ = probe.load("demo").map("Return the path of the file.")
        >>> map_
        <AttentionMap cma, 7 student × 7 teacher tokens: 'Return the path of the file.'>
        >>> map_.weights.shape
        (8, 8)
        >>> map_.frame().loc["␣path"].idxmax()  # of the position that predicts it
        '␣path'
    """

    method: str
    student: TokenizedText
    teacher: TokenizedText
    weights: Float[np.ndarray, "student_targets teacher_targets"]
    over_student: Float[np.ndarray, "student_targets teacher_targets"] | None = None

    def __post_init__(self) -> None:
        shape = len(self.student.tokens) + 1, len(self.teacher.tokens) + 1
        for name, values, axis in (("weights", self.weights, 1), ("over_student", self.over_student, 0)):
            if values is None:
                continue
            if values.shape != shape:
                self._refuse(f"{name} of shape {shape}, with the end of sequence", f"{values.shape}")
            if not (values.min() >= 0 and values.max() < np.inf):  # false of NaN, too
                self._refuse(f"finite {name} of at least 0", "others")
            differs = np.abs(values.sum(axis) - 1).max()
            if differs > _TOLERANCE:
                self._refuse(f"{name} that sum to one", f"a sum that differs by {differs:.3g}")

    def __repr__(self) -> str:
        """The method, both numbers of tokens, and the beginning of the sentence."""
        sizes = f"{len(self.student.tokens)} student × {len(self.teacher.tokens)} teacher tokens"
        return f"<AttentionMap {self.method}, {sizes}: {beginning(self.student.text)}>"

    def __array__(self, dtype: Any = None, *, copy: bool | None = None) -> np.ndarray:
        """The weights, so that ``np.asarray(map_)`` gives them."""
        return np.array(self.weights, dtype=dtype) if copy or dtype is not None else self.weights

    def frame(self) -> "DataFrame":
        """The weights with the tokens as names of rows and columns; a token that comes again has its name twice.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        return data_frame(self.weights, index=self.student_labels, columns=self.teacher_labels)

    def _refuse(self, expected: str, got: str) -> NoReturn:
        remedy = "Give a row and a column for each token and for the end of sequence, and normalise the weights."
        raise MapError(Problem(f"map of {self.method} for {self.student.text!r}", expected, got, remedy))

    @property
    def reversed(self) -> "AttentionMap":
        """The backward attention as a map of its own: rows are teacher tokens.

        Raises:
            MapError: the backward attention is not known.
        """
        if self.over_student is None:
            self._refuse("over_student, the backward attention", "none")
        return AttentionMap(self.method, self.teacher, self.student, self.over_student.T, self.weights.T)

    @property
    def student_labels(self) -> tuple[str, ...]:
        """The tokens of the rows, as they are displayed."""
        return (*self.student.display(), EOS_DISPLAY)

    @property
    def teacher_labels(self) -> tuple[str, ...]:
        """The tokens of the columns, as they are displayed."""
        return (*self.teacher.display(), EOS_DISPLAY)

    def save(self, path: str | Path) -> None:
        """Write a ``.npz`` file, whole or not at all.

        Raises:
            OutputError: the place cannot be written to.
        """
        sides = {"student": self.student.pieces, "teacher": self.teacher.pieces}
        meta = json.dumps({"method": self.method, "text": self.student.text, **sides})
        arrays: dict[str, Any] = {"meta": np.array(meta), "weights": self.weights}
        if self.over_student is not None:
            arrays["over_student"] = self.over_student
        with replacing_file(Path(path)) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> "AttentionMap":
        """Read what `save` wrote.

        Raises:
            MapError: the file is missing or is not such a map.
        """
        wanted = Wanted("a map saved by AttentionMap.save", "Save the map again.", MapError)
        arrays = _arrays(Path(path), wanted)
        try:
            meta = parse_json(str(arrays["meta"]), path, wanted)
            student, teacher = (TokenizedText.from_pieces(meta["text"], meta[s]) for s in ("student", "teacher"))
            weights, over_student, method = arrays["weights"], arrays.get("over_student"), meta["method"]
        except (LookupError, TypeError, AttributeError, TokenError) as error:
            raise wanted.refusal(path, reason(error)) from error
        for name, values in (("weights", weights), ("over_student", over_student)):
            if values is not None and (values.ndim != 2 or values.dtype.kind != "f"):
                raise wanted.refusal(path, f"{name} of type {values.dtype} and shape {values.shape}")
        if not isinstance(method, str):
            raise wanted.refusal(path, f"a method called {method!r}")
        return cls(method, student, teacher, weights, over_student)


@dataclass(frozen=True)
class MapRows:
    """Some rows of an attention map, and of the others what all of them give to each column.

    Of a long text it takes little memory. `OpenCheckpoint.map_rows` makes it, and `probe.heatmap` draws it.
    """

    method: str
    student: TokenizedText
    teacher: TokenizedText
    rows: range
    """Numbers of the student targets."""
    weights: Float[np.ndarray, "rows teacher_targets"]
    mass: Float[np.ndarray, " teacher_targets"]
    """The sum of each column over all student targets."""

    def __repr__(self) -> str:
        """The method, the rows and the beginning of the sentence."""
        sizes = f"rows {self.rows.start}:{self.rows.stop} of {len(self.student.tokens) + 1}"
        return f"<MapRows {self.method}, {sizes}: {beginning(self.student.text)}>"


AnyMap = AttentionMap | MapRows
"""What a heatmap shows."""


def token_range(bounds: tuple[int, int], side: TokenizedText, name: str) -> range:
    """The targets ``[start, stop)`` of a side, the end of sequence being the last one.

    Raises:
        MapError: some are outside of the sentence, or there are none; ``name`` is that of the side.
    """
    start, stop = bounds
    size = len(side.tokens) + 1
    if not 0 <= start < stop <= size:
        expected = f"{name} tokens within 0:{size}, the start before the end"
        remedy = "Count from zero; the end of sequence comes last."
        raise MapError(Problem("window", expected, f"{start}:{stop}", remedy))
    return range(start, stop)


def _arrays(path: Path, wanted: Wanted) -> dict[str, np.ndarray]:
    # Opened here, because numpy would leave a damaged file open.
    with opened(path, wanted) as file:
        try:
            with np.load(file, allow_pickle=False) as stored:
                if sum(part.file_size for part in stored.zip.infolist()) > MOST_BYTES:
                    raise wanted.refusal(path, f"more than {MOST_BYTES >> 20} MB")
                return {name: np.asarray(stored[name]) for name in stored}
        except MapError:
            raise
        # Broad, because numpy and zipfile have no error for damaged files: they raise a dozen types.
        except Exception as error:
            raise wanted.refusal(path, reason(error).partition("\n")[0]) from error


def with_eos(weights: Float[np.ndarray, "student teacher"]) -> Float[np.ndarray, "student_targets teacher_targets"]:
    """Add a row and a column for the end of sequence, and normalise the rows; a row of zeros gets all weight there."""
    # Numpy's pad takes ten times as long. It keeps the order in memory, which decides the last digit of a sum.
    order = "F" if weights.flags.fnc else "C"
    padded = np.zeros((weights.shape[0] + 1, weights.shape[1] + 1), weights.dtype, order)
    padded[:-1, :-1] = weights
    padded[padded.sum(axis=1) == 0, -1] = 1.0
    padded /= padded.sum(axis=1, keepdims=True)
    return padded
