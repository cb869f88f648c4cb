"""ROUGE-L and exact match: the scores by which distillation on instructions is evaluated, as DSKD computes them.

Exact match compares texts without case, ASCII punctuation and extra white space; articles stay. ROUGE-L is the
f-measure of the longest common subsequence of stemmed words. Either takes the best of a prediction's references, and
the figure of a corpus is the mean over predictions.

What the figures do not see is kept, because they are to be compared with published ones:

- The tokenizer of rouge-score knows a-z and 0-9 alone. Chinese text scores ROUGE-L 0 even where exact match is 100, and
  "café" is the word "caf". With the unit ``characters``, which is not the published figure, all text counts.
- Two empty texts score ROUGE-L 0 and exact match 100.
- Punctuation splits words for ROUGE-L, where exact match joins them: "well-known" is "well known" to one and
  "wellknown" to the other. Curly quotes are punctuation to ROUGE-L and letters to exact match.
"""

import string
from collections.abc import Sequence
from functools import cache
from statistics import fmean
from typing import Any, Literal, NamedTuple

from probe.errors import MissingExtraError, Problem, TrainingError

Unit = Literal["words", "characters"]
"""What ROUGE-L compares: stemmed words of a-z and 0-9, as published, or all characters but white space."""

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Score(NamedTuple):
    """Means over a corpus, in percent and not rounded."""

    rouge_l: float
    exact_match: float


class RowScore(NamedTuple):
    """Of one prediction, each the best of its references: an f-measure between 0 and 1, and whether one is met."""

    rouge_l: float
    exact_match: bool


def score(predictions: Sequence[str], references: Sequence[Sequence[str]], unit: Unit = "words") -> Score:
    """Both figures of a corpus, given all references of each prediction.

    Raises:
        TrainingError: there is no prediction, the lengths differ, or a prediction has no list of references; all such
            predictions are listed, counted from 1.
        MissingExtraError: rouge-score is not installed.
    """
    rows = score_each(predictions, references, unit)
    return Score(100 * fmean(row.rouge_l for row in rows), 100 * fmean(row.exact_match for row in rows))


def score_each(predictions: Sequence[str], references: Sequence[Sequence[str]], unit: Unit = "words") -> list[RowScore]:
    """Both figures of each prediction; errors are those of `score`."""
    _check(predictions, references)
    return [
        RowScore(
            rouge_l=max(rouge_l(prediction, one, unit) for one in several),
            exact_match=any(exact_match(prediction, one) for one in several),
        )
        for prediction, several in zip(predictions, references, strict=True)
    ]


def rouge_l(prediction: str, reference: str, unit: Unit = "words") -> float:
    """F-measure between 0 and 1 of one prediction and one reference.

    Raises:
        MissingExtraError: rouge-score is not installed.
    """
    return float(_scorer(unit).score(reference, prediction)["rougeL"].fmeasure)


def has_words(text: str) -> bool:
    """Whether ROUGE-L over words sees anything of a text."""
    return any(character.isascii() and character.isalnum() for character in text)


def exact_match(prediction: str, reference: str) -> bool:
    """Whether both are the same text once normalised."""
    return normalise(prediction) == normalise(reference)


def normalise(text: str) -> str:
    """Lower case, without ASCII punctuation, words one space apart."""
    return " ".join(text.lower().translate(_NO_PUNCTUATION).split())


def _check(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    # The published code scores as many as the shorter list has, and so hides that rows were lost.
    if len(predictions) != len(references):
        expected, got = f"one list of references for each of {len(predictions)} predictions", f"{len(references)} lists"
        raise TrainingError(Problem("evaluation", expected, got, "Give both for the same rows, in the same order."))
    if not predictions:
        raise TrainingError(Problem("evaluation", "predictions", "none", "Evaluate at least one row."))
    problems: list[Problem] = []
    for number, several in enumerate(references, start=1):
        # A string is a sequence of strings too: its letters would pass for references.
        if isinstance(several, str) or not several:
            got = "a string" if isinstance(several, str) else "none"
            remedy = "Give every prediction a list of references, even of one."
            problems.append(Problem(f"prediction {number}", "a list of references", got, remedy))
    if problems:
        raise TrainingError(*problems)


class _Characters:
    """The tokenizer of rouge-score's interface, for scripts that it does not know."""

    @staticmethod
    def tokenize(text: str) -> list[str]:
        return [character for character in text.casefold() if not character.isspace()]


@cache
def _scorer(unit: Unit) -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise MissingExtraError(
            Problem("evaluation", "rouge-score, to compute ROUGE-L", "none", "Run: pip install 'cma-probe[train]'.")
        ) from error
    return RougeScorer(["rougeL"], use_stemmer=True, tokenizer=_Characters() if unit == "characters" else None)
