"""What the study of alignment found: its arms by training seed, and the comparisons that were announced beforehand.

The design, with the meaning of each outcome, is in docs/alignment-study.md. Differences are in bits per byte at a
fitted temperature, paired by training seed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from probe.errors import Problem, ReportError
from probe.output.documents import parsed
from probe.stats import CONFIDENCE, Estimate, as_float, difference_over_seeds, holm, over_seeds

SCHEMA = 3
MARGIN = 0.0005
"""Differences within it, their whole interval, are reported as equal."""
Outcome = Literal["equal", "below", "above", "undecided"]
Measure = Literal["fitted", "bits", "rouge"]
"""A figure of a `Run`."""


@dataclass(frozen=True)
class Run:
    """One student: an arm with one training seed."""

    bits: float
    """Bits per byte of the held-out responses as they are."""
    fitted: float
    """The same at a fitted temperature: the primary endpoint."""
    temperature: float
    """The fitted one: above 1, the student is too sure."""
    nats: Float[np.ndarray, " questions"]
    """Cross-entropy of each response at the fitted temperature."""
    bytes: Int[np.ndarray, " questions"]
    accuracy: float
    """The share of response tokens that are the student's likeliest."""
    rouge: float = math.nan
    """ROUGE-L in percent, the mean over decoding seeds; NaN where nothing was sampled."""
    top_1: float = math.nan
    """Of the attention on the gold sentences at the end."""
    decoded: float = math.nan
    """The same, brought into order by `grid`."""
    hits: float | None = None
    """The share of targets that t2s predicted along the training."""
    trajectory: Sequence[Mapping[str, Any]] = ()
    """The attention at the saved steps: top_1, in_chunk, entropy, fan_in."""

    @property
    def in_chunk(self) -> float:
        """The share of weight in the right chunk at the end; NaN of an arm without attention."""
        return float(self.trajectory[-1]["in_chunk"]) if self.trajectory else math.nan


@dataclass(frozen=True)
class Study:
    """The runs of one student: by arm and training seed, and those that were not trained."""

    arms: Mapping[str, Mapping[str, Run]]
    untrained: Run
    teacher: Run

    def runs(self, arm: str) -> Mapping[str, Run]:
        """Of an arm that a figure needs, by training seed.

        Raises:
            ReportError: it has none.
        """
        if arm not in self.arms:
            remedy = f"Run it: probe-reproduce alignment-study --methods {arm}"
            raise ReportError(Problem("the study", f"runs of {arm}", f"those of {', '.join(self.arms)}", remedy))
        return self.arms[arm]

    def fitted(self, arm: str) -> dict[str, float]:
        """The primary endpoint by training seed."""
        return {seed: run.fitted for seed, run in self.runs(arm).items()}

    def hits(self, arm: str) -> float:
        """The share of targets that t2s predicted, averaged over training seeds; NaN of an arm without t2s."""
        found = [run.hits for run in self.runs(arm).values() if run.hits is not None]
        return float(np.mean(found)) if found else math.nan


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of arms that is compared with 0: +1 and −1 for a plain difference."""

    name: str
    weights: Mapping[str, int]


PRIMARY = (
    Contrast("P0", {"aligned": 1, "sft": -1}),
    Contrast("P1", {"aligned": 1, "random-sharp": -1}),
    Contrast("P2", {"random-critic": 1, "random": -1}),
    Contrast("P3", {"aligned-critic": 1, "aligned": -1, "random-critic": -1, "random": 1}),
    Contrast("P4", {"uniform": 1, "aligned": -1}),
    Contrast("P5", {"wrong": 1, "cla": -1}),
)
"""What each asks, and what each outcome means, is in the design."""
ATTENDING = ("random", "random-sharp", "aligned", "random-critic", "aligned-critic", "norm-only")
"""Arms of the primary experiment whose attention may go anywhere, so that it is for the query to align."""
STUDENT = "one-epoch"
"""The primary one; the other is a replication."""
BASELINE = "sft"
UNTRAINED, TEACHER = "untrained student", "teacher"
ARMS = (BASELINE, *ATTENDING, "uniform", "cla", "wrong")
ROUNDING = 0.01
"""Nats by which the untrained student's cross-entropy of a response may differ between machines."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What a contrast came to."""

    name: str
    difference: str
    seeds: int
    value: float
    """Bits per byte."""
    low: float
    """Of the 95 % t interval over training seeds; rows and students are fixed."""
    high: float
    as_is: float
    """The difference of bits per byte without the fit: where its sign is another, it is one of calibration."""
    rows_low: float
    """Of the 95 % bootstrap interval that draws training seeds and rows anew; see `difference_over_seeds`."""
    rows_high: float
    deviation: float
    """Standard deviation of the paired differences over training seeds."""
    p: float
    p_holm: float
    outcome: Outcome


def read_study(texts: Mapping[str, str]) -> Study:
    """The results of one or several ``probe-reproduce`` runs of the same student, on their first set of questions.

    Args:
        texts: their ``results.json``, by the name that messages give them.

    Raises:
        ReportError: one is no such document, or they were evaluated on other questions.
    """
    return next(iter(read_by_set(texts).values()))


def read_by_set(texts: Mapping[str, str]) -> dict[str, Study]:
    """The same on every set, by its name."""
    found = {where: parsed(text, where, "results of probe-reproduce", SCHEMA, _by_set) for where, text in texts.items()}
    first = next(iter(found.values()))
    return {name: _merged({where: of_sets[name] for where, of_sets in found.items()}) for name in first}


def _merged(studies: Mapping[str, Study]) -> Study:
    """One study of all runs."""
    first = next(iter(studies.values()))
    arms: dict[str, dict[str, Run]] = {}
    for where, study in studies.items():
        ours, theirs = study.untrained.nats, first.untrained.nats
        if ours.shape != theirs.shape or not np.allclose(ours, theirs, atol=ROUNDING):
            got = "those of another student or other questions"
            raise ReportError(Problem(where, f"results of the student of {next(iter(studies))}", got, "Leave it out."))
        for arm, runs in study.arms.items():
            arms.setdefault(arm, {}).update(runs)
    return Study({arm: dict(sorted(runs.items())) for arm, runs in arms.items()}, first.untrained, first.teacher)


def by_importance(students: Mapping[str, Study]) -> list[tuple[str, Study]]:
    """The primary student first."""
    return sorted(students.items(), key=lambda named: named[0] != STUDENT)


def _by_set(document: Any) -> dict[str, Study]:
    of_seeds = next(iter(document["bits per byte"].values()))
    return {name: _study(document, name) for name in next(iter(of_seeds.values()))}


def _study(document: Any, set_: str) -> Study:
    runs = {
        name: {seed: _run(document, name, seed, set_) for seed in of_seeds}
        for name, of_seeds in document["bits per byte, fitted"].items()
    }
    untrained = {name: of_seeds["None"] for name, of_seeds in runs.items() if "None" in of_seeds}
    student, teacher = untrained.values()
    return Study({name: of_seeds for name, of_seeds in runs.items() if name not in untrained}, student, teacher)


def _run(document: Any, name: str, seed: str, set_: str) -> Run:
    def of(part: str) -> Any:
        return document[part][name][seed][set_]

    fitted = of("bits per byte, fitted")
    return Run(
        bits=float(of("bits per byte")),
        fitted=float(fitted["bits_per_byte"]),
        temperature=float(fitted["temperature"]),
        nats=np.array(fitted["nats"], dtype=np.float64),
        bytes=np.array(fitted["sizes"], dtype=np.int64),
        accuracy=float(of("accuracy")),
        rouge=as_float(of("ROUGE-L")),
        top_1=_top_1(document, name, seed, "cma"),
        decoded=_top_1(document, name, seed, "cma-grid"),
        hits=document["t2s hits"].get(name, {}).get(seed),
        trajectory=document["trajectories"].get(name, {}).get(seed, ()),
    )


def _top_1(document: Any, name: str, seed: str, method: str) -> float:
    report = document["probes"].get(name, {}).get(seed)
    return math.nan if report is None else float(report["figures"][method]["top-1"]["value"])


def compare(study: Study, contrasts: Sequence[Contrast]) -> list[Compared]:
    """Each contrast over the training seeds that all of its arms have; Holm's correction is over those given.

    Contrasts without two such seeds are left out.
    """
    usable = [one for one in contrasts if len(_seeds(study, one)) > 1]
    tests = [_t_test(_paired(study, one)) for one in usable]
    corrected = holm([p for *_, p in tests])
    found: list[Compared] = []
    for one, (value, low, high, deviation, p), p_holm in zip(usable, tests, corrected, strict=True):
        ends, outcome = _over_seeds_and_rows(study, one), _outcome(value, low, high, p_holm)
        as_is = float(_paired(study, one, "bits").mean())
        numbers = value, low, high, as_is, *ends, deviation, p, p_holm
        found.append(Compared(one.name, _named(one), len(_seeds(study, one)), *numbers, outcome))
    return found


def difference(study: Study, arm: str, other: str) -> Estimate:
    """How many bits per byte an arm needs more than another, with the t interval over training seeds."""
    return contrasted(study, Contrast("", {arm: 1, other: -1}))


def against(run: Run, study: Study, arm: str) -> Estimate:
    """How many bits per byte a model that was not trained needs more than an arm, over the arm's training seeds."""
    return over_seeds(np.array([run.fitted - each for each in study.fitted(arm).values()]))


def contrasted(study: Study, contrast: Contrast, measure: Measure = "fitted") -> Estimate:
    """A contrast by any measure, with the t interval over the training seeds that all of its arms have."""
    return over_seeds(_paired(study, contrast, measure))


def _named(contrast: Contrast) -> str:
    first, *others = contrast.weights.items()
    return first[0] + "".join(f" {'+' if weight > 0 else '−'} {arm}" for arm, weight in others)


def _seeds(study: Study, contrast: Contrast) -> list[str]:
    arms = [study.arms.get(arm, {}) for arm in contrast.weights]
    return [seed for seed in arms[0] if all(seed in runs for runs in arms)]


def _paired(study: Study, contrast: Contrast, measure: Measure = "fitted") -> Float[np.ndarray, " seeds"]:
    seeds = _seeds(study, contrast)
    parts = [
        [weight * getattr(study.arms[arm][seed], measure) for seed in seeds] for arm, weight in contrast.weights.items()
    ]
    return np.sum(parts, axis=0)


def _t_test(paired: Float[np.ndarray, " seeds"]) -> tuple[float, float, float, float, float]:
    """Mean, both ends of its t interval, standard deviation, and the two-sided p-value of a mean of 0."""
    from scipy.stats import ttest_1samp

    found: Any = ttest_1samp(paired, 0.0)
    value, low, high = map(as_float, over_seeds(paired))
    return value, low, high, float(paired.std(ddof=1)), float(found.pvalue)


def _over_seeds_and_rows(study: Study, contrast: Contrast) -> tuple[float, float]:
    """The ends of an interval for which both are drawn anew."""
    weighted = [
        [weight * study.arms[arm][seed].nats for seed in _seeds(study, contrast)]
        for arm, weight in contrast.weights.items()
    ]
    nats = np.sum(weighted, axis=0)
    counts = np.stack([nats, np.broadcast_to(study.untrained.bytes, nats.shape)], axis=-1)
    nothing = counts * np.array([0.0, 1.0])
    found = difference_over_seeds(nothing, counts, _bits)
    return float(found.low[0]), float(found.high[0])


def _bits(summed: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 1"]:
    return summed[..., :1] / math.log(2) / summed[..., 1:]


def _outcome(value: float, low: float, high: float, p_holm: float) -> Outcome:
    if low > -MARGIN and high < MARGIN:
        return "equal"
    if p_holm < 1 - CONFIDENCE:
        return "below" if value < 0 else "above"
    return "undecided"
