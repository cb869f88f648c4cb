"""Two methods, each trained with several seeds, on the same gold pairs: does one align better than the other?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from probe.errors import CheckpointError, Problem
from probe.output.tables import new_table, percent, points, with_interval
from probe.report.comparison import COMPARED, shared_counts
from probe.report.values import Findings
from probe.scoring.scores import METRICS, metrics
from probe.stats import ENOUGH_SEEDS, SEED, SEED_RESAMPLES, Estimate, difference_over_seeds

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True)
class MethodDifference:
    """One figure of two methods, for each pair of training seeds."""

    figure: str
    first: tuple[float, ...]
    second: tuple[float, ...]
    difference: Estimate
    """The second minus the first, mean over pairs of seeds; over other seeds and other sentences."""

    @property
    def higher(self) -> int:
        """Pairs of seeds in which the second method has more."""
        return int((np.array(self.second) > np.array(self.first)).sum())


@dataclass(frozen=True)
class MethodComparison:
    """Two methods by figure; seeds are paired in the order in which they were given."""

    first: str
    second: str
    first_checkpoints: tuple[str, ...]
    second_checkpoints: tuple[str, ...]
    sentences: int
    figures: tuple[MethodDifference, ...]

    @property
    def seeds(self) -> int:
        """Pairs of training seeds."""
        return len(self.first_checkpoints)


def check_paired(methods: Mapping[str, Sequence[str]]) -> None:
    """Check that there are two methods or more, and equally many checkpoints of each.

    Raises:
        CheckpointError: there are not.
    """
    if len(methods) < 2:
        got = f"one, {', '.join(methods)}" if methods else "none"
        remedy = "Name the method to compare with, or leave the label out."
        raise CheckpointError(Problem("--checkpoint", "two labels or more", got, remedy))
    if len({len(names) for names in methods.values()}) > 1:
        got = ", ".join(f"{label}: {len(names)}" for label, names in methods.items())
        remedy = "Name the seeds of each label in the same order; they are paired in that order."
        raise CheckpointError(Problem("--checkpoint", "as many checkpoints of each label", got, remedy))


def _check_trainings(methods: Mapping[str, Mapping[str, Findings]]) -> None:
    for label, reports in methods.items():
        seen: dict[tuple[tuple[str, str], ...], str] = {}
        for name, report in reports.items():
            files = report.origin.files
            if files and files in seen:
                got = f"the same files in {seen[files]} and {name}"
                remedy = "One training is one seed: name it once."
                raise CheckpointError(Problem(f"label {label}", "checkpoints of different trainings", got, remedy))
            seen[files] = name


def compare_methods(methods: Mapping[str, Mapping[str, Findings]]) -> list[MethodComparison]:
    """Every two methods, given by label and then by checkpoint, on the sentences that all their checkpoints have.

    Raises:
        CheckpointError: see `check_paired`; or two checkpoints of one method are the same files.
    """
    check_paired({label: list(reports) for label, reports in methods.items()})
    _check_trainings(methods)
    found: list[MethodComparison] = []
    for one, other in combinations(methods, 2):
        ids = _shared([*methods[one].values(), *methods[other].values()])
        if ids:
            first, second = (_counts(list(methods[label].values()), ids) for label in (one, other))
            figures = tuple(_differences(first, second))
            found.append(MethodComparison(one, other, tuple(methods[one]), tuple(methods[other]), len(ids), figures))
    return found


def _shared(reports: Sequence[Findings]) -> list[str]:
    """Sentences that all have. Of different gold files nothing is shared."""
    if len({report.origin.gold_sha256 for report in reports}) > 1:
        return []
    common = set(reports[0].sentences).intersection(*(report.sentences for report in reports))
    return [id_ for id_ in reports[0].sentences if id_ in common]


def _counts(reports: Sequence[Findings], ids: Sequence[str]) -> Float[np.ndarray, "seeds clusters counts"]:
    return np.stack([shared_counts(report, ids) for report in reports])


def _differences(
    first: Float[np.ndarray, "seeds sentences counts"], second: Float[np.ndarray, "seeds sentences counts"]
) -> list[MethodDifference]:
    columns = [METRICS.index(name) for name in COMPARED]

    def statistic(summed: Float[np.ndarray, "*batch counts"]) -> Float[np.ndarray, "*batch statistics"]:
        return metrics(summed)[..., columns]

    sides = [statistic(side.sum(axis=1)).T.tolist() for side in (first, second)]
    found = zip(COMPARED, *sides, difference_over_seeds(first, second, statistic).each(), strict=True)
    return [MethodDifference(name, tuple(ours), tuple(theirs), one) for name, ours, theirs, one in found]


def table(comparison: MethodComparison) -> "RenderableType":
    """All figures of two methods, 80 columns wide, in percent: mean over seeds ± their standard deviation."""
    heads = "first\nmean ± seeds", "second\nmean ± seeds", "second − first\n[95 % CI]", "second higher\nin seeds"
    made = new_table("%", *heads)
    for one in comparison.figures:
        cells = _mean(one.first), _mean(one.second), with_interval(one.difference, points)
        made.add_row(one.figure, *cells, f"{one.higher} of {comparison.seeds}")
    return made


def _mean(values: Sequence[float]) -> str:
    spread = f" ± {percent(float(np.std(values, ddof=1)))}" if len(values) > 1 else ""
    return f"{percent(float(np.mean(values)))}{spread}"


def reading(comparison: MethodComparison) -> list[str]:
    """What is compared, and how far it reaches."""
    seeds = comparison.seeds
    lines = [
        f"first: {comparison.first}",
        f"second: {comparison.second}",
        f"{seeds} pairs of checkpoints, in the order given; {comparison.sentences} sentences that all have.",
        f"95 % CI: {SEED_RESAMPLES:,} resamples of pairs and, shared by them, of sentences, seed {SEED};",
        "expanded for few seeds (Hesterberg 2015).",
    ]
    if seeds < ENOUGH_SEEDS:
        lines += [
            f"This compares checkpoints. To compare methods takes {ENOUGH_SEEDS} paired seeds: how far",
            f"trainings differ cannot be told from {'one' if seeds == 1 else seeds}.",
        ]
    return lines
