"""An attention map: how much each student target draws from each teacher target. Numbers and tokens, no model."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float

from probe.errors import MapError, Problem, TokenError
from probe.output.files import replacing_file
from probe.tokens import EOS_DISPLAY, TokenizedText

_TOLERANCE = 1e-3  # float16 storage of a row of 512 weights stays well within


@dataclass(frozen=True)
class AttentionMap:
    """Weights indexed by *target* tokens: row i belongs to response token x_{i+1}, column j to y_{j+1}.

    The last row and the last column are the end-of-sequence targets, so a text of n and m tokens has weights of shape
    (n + 1, m + 1). Every row sums to one. `over_student`, where known, is the other softmax: its columns sum to one.

    Raises:
        MapError: shapes do not fit the tokens, a weight is negative or not finite, or a row does not sum to one.

    Example:
        >>> import probe
        >>> opened = probe.find_checkpoint("demo")
        >>> map_ = opened.map(*opened.tokenize("Return the path of the file."))
        >>> map_.weights.shape
        (8, 8)
        >>> row = map_.student_labels.index("␣path")  # the position that predicts it
        >>> map_.teacher_labels[map_.weights[row].argmax()]
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
                self._refuse(f"{name} of shape {shape}, end of sequence included", f"{values.shape}")
            if not (np.isfinite(values).all() and (values >= 0).all()):
                self._refuse(f"finite {name} of at least 0", "others")
            if np.abs(values.sum(axis) - 1).max() > _TOLERANCE:
                self._refuse(f"{name} that sum to one", f"a sum that is {np.abs(values.sum(axis) - 1).max():.3g} off")

    def _refuse(self, expected: str, got: str) -> NoReturn:
        remedy = "Index by target tokens and normalise."
        raise MapError(Problem(f"map of {self.method} for {self.student.text!r}", expected, got, remedy))

    @property
    def reversed(self) -> "AttentionMap":
        """A′ as a map of its own: teacher targets as rows.

        Raises:
            MapError: A′ is not known.
        """
        if self.over_student is None:
            self._refuse("over_student, the other softmax", "none")
        return AttentionMap(self.method, self.teacher, self.student, self.over_student.T, self.weights.T)

    @property
    def student_labels(self) -> tuple[str, ...]:
        """Display form of the rows."""
        return (*self.student.display(), EOS_DISPLAY)

    @property
    def teacher_labels(self) -> tuple[str, ...]:
        """Display form of the columns."""
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
            MapError: the file is missing or no such map.
        """
        try:
            # Opened here, because numpy leaves a damaged file open.
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                meta = json.loads(str(arrays["meta"]))
                student, teacher = (TokenizedText.from_pieces(meta["text"], meta[s]) for s in ("student", "teacher"))
                return cls(meta["method"], student, teacher, arrays["weights"], arrays.get("over_student"))
        except (OSError, EOFError, BadZipFile, ValueError, KeyError, TypeError, TokenError) as error:
            raise MapError(
                Problem(str(path), "a map saved by AttentionMap.save", str(error), "Save the map again.")
            ) from error


def with_eos(weights: Float[np.ndarray, "student teacher"]) -> Float[np.ndarray, "student_targets teacher_targets"]:
    """Add the targets of end of sequence, and let each row sum to one; a row of zeros has all its weight there."""
    padded = np.pad(weights, ((0, 1), (0, 1)))
    padded[padded.sum(axis=1) == 0, -1] = 1.0
    return padded / padded.sum(axis=1, keepdims=True)
