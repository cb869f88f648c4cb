"""The table of a reproduction: what students are worth, and what their attention finds."""

from dataclasses import dataclass
from math import isnan, nan

import numpy as np

from probe.figures.reproduction import Reproduction, System
from probe.figures.saved import Saved
from probe.output.documents import escape_latex
from probe.stats import ENOUGH_SEEDS, RESAMPLES, as_float

METRICS = ("top-1", "MRR", "AUC")
BESIDE = {"random": "untrained projector", "diagonal": "diagonal", "lexical": "lexical", "bigram": "bigram ceiling"}
"""Lines of the probe's own methods, whose students are none."""
HEADERS = ("", "seeds", "ROUGE-L, %", "bits per byte", "top-1, %", "MRR", "AUC")


@dataclass(frozen=True, slots=True)
class Line:
    """A system; `_sd` is a standard deviation over training seeds, NaN of one seed."""

    system: str
    seeds: int
    rouge_l: float
    rouge_l_low: float
    """95 % bounds over questions."""
    rouge_l_high: float
    bits_per_byte: float
    bits_per_byte_sd: float
    top_1: float
    top_1_sd: float
    mrr: float
    mrr_sd: float
    auc: float
    auc_sd: float


@dataclass(frozen=True)
class Results:
    """Systems, and below them what alignment is read against."""

    recipe: str
    set_: str
    questions: int
    seeds: tuple[str, ...]
    sentences: int
    tokens: int
    rows: tuple[Line, ...]
    students: int
    """How many of the rows are students; the others are references of the alignment."""

    @property
    def caption(self) -> str:
        """What the columns are."""
        few = (
            f" Fewer than {ENOUGH_SEEDS} seeds: of these checkpoints, not of the methods."
            if len(self.seeds) < ENOUGH_SEEDS
            else ""
        )
        return (
            f"Recipe {self.recipe}, training seeds {', '.join(self.seeds)}: ROUGE-L and bits per byte on "
            f"{self.questions} {self.set_} questions, and alignment on gold links ({self.sentences} sentences, "
            f"{self.tokens} tokens with a sure link) where the query projector was trained. Brackets: 95 % bounds over "
            f"questions ({RESAMPLES} resamples). ± is a standard deviation over training seeds. Below: what alignment "
            f"is read against, of the first student that was probed.{few}"
        )

    @property
    def latex(self) -> str:
        """A booktabs table."""
        lines = [
            r"\begin{tabular}{@{}l" + "r" * (len(HEADERS) - 1) + "@{}}",
            r"\toprule",
            " & ".join(escape_latex(one) for one in HEADERS) + r" \\",
            r"\midrule",
            *(_latex(one) for one in self.rows[: self.students]),
            r"\midrule",
            *(_latex(one) for one in self.rows[self.students :]),
            r"\bottomrule",
            r"\end{tabular}",
        ]
        return "\n".join(lines) + "\n"


def results(saved: Saved) -> Results:
    """The systems of the reproduction.

    Raises:
        ReportError: its results are missing.
    """
    found = saved.reproduction
    seeds = sorted({seed for system in found.systems for seed in system.bits if seed != "None"})
    students = [_line(system) for system in found.systems]
    probed = next((probed for system in found.systems for probed in system.probes.values()), None)
    beside = _beside(found)
    sizes = (probed.sentences, probed.rows) if probed else (0, 0)
    lines = (*students, *beside)
    return Results(found.recipe, found.set_, found.questions, tuple(seeds), *sizes, lines, len(students))


def _line(system: System) -> Line:
    bits = _mean(list(system.bits.values()))
    aligned = (_mean([as_float(one.own[metric].value) for one in system.probes.values()]) for metric in METRICS)
    cells = *map(as_float, system.rouge_l), *bits, *(value for pair in aligned for value in pair)
    return Line(system.name, len(system.bits), *cells)


def _beside(found: Reproduction) -> list[Line]:
    probed = next((probed for system in found.systems for probed in system.probes.values()), None)
    if probed is None:
        return []
    unknown = (nan,) * 5
    return [
        Line(label, 0, *unknown, *(v for m in METRICS for v in (as_float(probed.figures[name][m].value), nan)))
        for name, label in BESIDE.items()
        if name in probed.figures
    ]


def _mean(values: list[float]) -> tuple[float, float]:
    """Mean and standard deviation; NaN where there is too little."""
    mean = float(np.mean(values)) if values else nan
    return mean, float(np.std(values, ddof=1)) if len(values) > 1 else nan


def _latex(line: Line) -> str:
    rouge = (
        ""
        if isnan(line.rouge_l)
        else f"{line.rouge_l:.1f} {{\\scriptsize [{line.rouge_l_low:.1f}, {line.rouge_l_high:.1f}]}}"
    )
    cells = [
        escape_latex(line.system),
        str(line.seeds or ""),
        rouge,
        _cell(line.bits_per_byte, line.bits_per_byte_sd, 3),
        _cell(100 * line.top_1, 100 * line.top_1_sd, 1),
        _cell(line.mrr, line.mrr_sd, 2),
        _cell(line.auc, line.auc_sd, 2),
    ]
    return " & ".join(cells) + r" \\"


def _cell(value: float, deviation: float, digits: int) -> str:
    if isnan(value):
        return ""
    return f"{value:.{digits}f}" + ("" if isnan(deviation) else rf" {{\scriptsize $\pm$ {deviation:.{digits}f}}}")
