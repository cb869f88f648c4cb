"""Whether the texts of a batch can be aligned between two tokenizers: what a trainer should say at its first step."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from probe.alignment.token_alignment import TokenAlignment, align_tokens
from probe.errors import ArgumentError, TokenError
from probe.watch.marks import Mark, marks_in, sentences
from probe.watch.side import Side

CALL = "Write alignment_health(texts, student_tokenizer, teacher_tokenizer)."


@dataclass(frozen=True)
class AlignmentHealth:
    """What of some texts two tokenizers align. Shares are of one; NaN where there is nothing to share.

    Attributes:
        texts: how many there are.
        differing: of these, how many differ between the sides: a tokenizer changes them, or the student's tokenizer
            gives other ids than the batch has.
        tokens: of the student, in all texts.
        coverage: the share of them that some teacher token shares a byte with.
        groups: how many smallest pairs of ranges begin and end at the same bytes.
        student_size: mean number of student tokens in a group.
        teacher_size: mean number of teacher tokens in a group.
        unequal: the share of student tokens in groups with another number of teacher tokens.
        largest: numbers of student and teacher tokens of the largest group.
        largest_text: what it spells, or the beginning of that.
        findings: what looks wrong, a sentence each; empty where nothing does.

    Example:
        >>> import probe
        >>> demo = "bundled:demo/student", "bundled:demo/teacher"
        >>> found = probe.alignment_health(["<|im_start|>user"], *demo)
        >>> found.findings[0].partition(":")[0]
        "'<|im_start|>' is a mark of neither tokenizer"
    """

    texts: int
    differing: int
    tokens: int
    coverage: float
    groups: int
    student_size: float
    teacher_size: float
    unequal: float
    largest: tuple[int, int]
    largest_text: str
    findings: tuple[str, ...]

    def figures(self) -> dict[str, float]:
        """The figures by name, for a logger."""
        return {
            "coverage": self.coverage,
            "student tokens per group": self.student_size,
            "teacher tokens per group": self.teacher_size,
            "largest group": float(max(self.largest)),
            "tokens in unequal groups": self.unequal,
            "texts that differ": self.differing / self.texts,
        }

    def __str__(self) -> str:
        """What looks wrong, then the figures in a few sentences."""
        ours, theirs = self.largest
        texts = "1 text" if self.texts == 1 else f"{self.texts} texts"
        lines = [f"! {one}" for one in self.findings] or ["Nothing looks wrong."]
        lines.append(f"{texts}, {self.tokens} student tokens: {self.coverage:.1%} share bytes with a teacher token.")
        if not self.groups:  # no text could be aligned
            return "\n".join(lines)
        lines += [
            f"A group has {self.student_size:.2f} student and {self.teacher_size:.2f} teacher tokens; "
            f"{self.unequal:.1%} of the tokens are in groups of unequal sides.",
            f"The largest group has {ours} student and {theirs} teacher tokens: {self.largest_text!r}.",
        ]
        return "\n".join(lines)


def alignment_health(
    texts: Sequence[str],
    student_tokenizer: object,
    teacher_tokenizer: object,
    *,
    student_ids: Sequence[Sequence[int]] | None = None,
) -> AlignmentHealth:
    """Say how well two tokenizers align some texts, and what looks wrong, such as the marks of a chat template.

    Args:
        texts: as the models read them, the marks of the chat template included.
        student_tokenizer: what `align_tokens` takes.
        teacher_tokenizer: likewise.
        student_ids: the ids of each text in the student's batch, to be compared with those of its tokenizer.

    Raises:
        ArgumentError: there is no text, or an argument is no tokenizer.
        CheckpointError: there is no tokenizer of this name.

    Example:
        >>> import probe
        >>> found = probe.alignment_health(["Return the maximum."], "bundled:demo/student", "bundled:demo/teacher")
        >>> print(found)
        Nothing looks wrong.
        1 text, 7 student tokens: 100.0% share bytes with a teacher token.
        A group has 1.75 student and 1.00 teacher tokens; 57.1% of the tokens are in groups of unequal sides.
        The largest group has 4 student and 1 teacher tokens: ' maximum'.
    """
    if isinstance(texts, str) or not texts:
        raise ArgumentError.of("texts", "a list of texts, at least one", texts, CALL)
    sides = Side.of(student_tokenizer, "student"), Side.of(teacher_tokenizer, "teacher")
    return health_of(texts, *sides, student_ids)


def health_of(
    texts: Sequence[str], student: Side, teacher: Side, student_ids: Sequence[Sequence[int]] | None = None
) -> AlignmentHealth:
    """The same between two sides."""
    aligned: list[TokenAlignment] = []
    marks: list[Mark] = []
    refused: list[str] = []
    lost = others = 0
    for number, text in enumerate(texts):
        ids = None if student_ids is None else tuple(student_ids[number])
        try:
            found = align_tokens(text, student.tokenizer, teacher.tokenizer, add_special_tokens=False)
        except TokenError as error:
            refused.append(str(error))
            lost += len(text.encode()) if ids is None else len(ids)
            continue
        aligned.append(found)
        marks += marks_in(found, student, teacher)
        others += ids is not None and found.student.ids != ids
    findings = sentences(marks, refused, others, len(texts))
    return _health(aligned, len(texts), (lost, len(refused) + others), findings)


def _health(
    aligned: Sequence[TokenAlignment], texts: int, bad: tuple[int, int], findings: tuple[str, ...]
) -> AlignmentHealth:
    lost, differing = bad
    sizes = _sizes(aligned)
    tokens = sum(len(one.student) for one in aligned) + lost
    linked = sum(len({i for i, _ in one.links}) for one in aligned)
    mean = sizes.mean(axis=0) if len(sizes) else np.full(2, np.nan)
    grouped = sizes[:, 0].sum()
    at = int(sizes.max(axis=1).argmax()) if len(sizes) else -1
    return AlignmentHealth(
        texts=texts,
        differing=differing,
        tokens=tokens,
        coverage=linked / tokens if tokens else float("nan"),
        groups=len(sizes),
        student_size=float(mean[0]),
        teacher_size=float(mean[1]),
        unequal=float(sizes[sizes[:, 0] != sizes[:, 1], 0].sum() / grouped) if grouped else float("nan"),
        largest=(int(sizes[at, 0]), int(sizes[at, 1])) if len(sizes) else (0, 0),
        largest_text=_surface(aligned, at)[:40],
        findings=findings,
    )


def _sizes(aligned: Sequence[TokenAlignment]) -> Int[np.ndarray, "groups 2"]:
    sizes = [(len(ours), len(theirs)) for one in aligned for ours, theirs in one.groups]
    return np.array(sizes, dtype=np.int64).reshape(-1, 2)


def _surface(aligned: Sequence[TokenAlignment], at: int) -> str:
    """What a group spells, counted through all texts."""
    for one in aligned:
        if at < len(one.groups):
            if at < 0:
                return ""
            ours = one.groups[at][0]
            spans = one.student.byte_spans
            return one.student.text.encode()[spans[ours[0], 0] : spans[ours[-1], 1]].decode(errors="replace")
        at -= len(one.groups)
    return ""
