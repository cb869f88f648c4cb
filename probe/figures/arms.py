"""The arms of the study: what students are worth by each measure, and what their attention aligns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import isnan, nan

from probe.figures.saved import Saved
from probe.figures.study import ARMS, TEACHER, UNTRAINED, Run, Study, by_importance
from probe.output.documents import escape_latex
from probe.output.tables import number, with_interval
from probe.stats import Estimate, as_float, over_seeds

MEASURES: Sequence[tuple[str, Callable[[Run], float], str]] = (
    ("bits per byte, fitted", lambda run: run.fitted, ".4f"),
    ("temperature", lambda run: run.temperature, ".3f"),
    ("bits per byte, as is", lambda run: run.bits, ".4f"),
    ("accuracy, %", lambda run: 100 * run.accuracy, ".2f"),
    ("ROUGE-L, %", lambda run: run.rouge, ".2f"),
    ("top-1, %", lambda run: 100 * run.top_1, ".1f"),
    ("top-1 decoded, %", lambda run: 100 * run.decoded, ".1f"),
    ("weight in the chunk, %", lambda run: 100 * run.in_chunk, ".1f"),
    ("t2s right, %", lambda run: nan if run.hits is None else 100 * run.hits, ".1f"),
)
"""What each column says of one run, and its digits."""
REAL = "real pair:"
"""What the name of a set is told after, in place of a student."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One arm by one measure: the mean over training seeds and its interval; NaN where there is none."""

    student: str
    arm: str
    measure: str
    seeds: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Arms:
    """Every arm by every measure, and above them the untrained student and the teacher."""

    rows: tuple[Measured, ...]
    questions: tuple[int, ...]
    """The different numbers of held-out rows."""

    @property
    def students(self) -> list[str]:
        """Their names, the primary one first."""
        return list(dict.fromkeys(one.student for one in self.rows))

    @property
    def caption(self) -> str:
        """What the columns are."""
        seeds = max(one.seeds for one in self.rows)
        rows = " or ".join(map(str, self.questions))
        return (
            f"The arms of the study: means over training seeds (at most {seeds}) on {rows} held-out rows. "
            "Brackets: 95 % t interval over training seeds, rows fixed. ROUGE-L: the mean over five decoding seeds. "
            "Temperature: the fitted one, above 1 where a student is too sure. Accuracy: the share of response tokens "
            "that are the likeliest. Top-1: of the attention on the gold sentences at the end, as it is and decoded by "
            "order. Weight in the chunk: the share that lies in the right one. T2s right: the share of targets that "
            "t2s, the teacher's states as attention brings them, predicted along training; the term D counts there "
            "alone, if at all."
        )

    def table(self, student: str) -> tuple[list[str], list[list[str]]]:
        """Heads and cells for one student, a line an arm; measures that no arm has are left out."""
        measured = {one.measure for one in self.rows if one.student == student and not isnan(one.value)}
        of_student = [one for one in self.rows if one.student == student and one.measure in measured]
        lines = [
            [arm, str(seeds), *(_cell(one) for one in of_student if one.arm == arm)]
            for arm, seeds in dict.fromkeys((one.arm, one.seeds) for one in of_student)
        ]
        return ["arm", "seeds", *(name for name, *_ in MEASURES if name in measured)], lines

    @property
    def latex(self) -> str:
        """A booktabs table for each student."""
        return "\n".join(map(self._latex, self.students))

    def _latex(self, student: str) -> str:
        heads, lines = self.table(student)
        body = [" & ".join(map(escape_latex, line)) + r" \\" for line in (heads, *lines)]
        return "\n".join(
            [
                f"% {student}",
                r"\begin{tabular}{@{}l" + "r" * (len(heads) - 1) + "@{}}",
                r"\toprule",
                body[0],
                r"\midrule",
                *body[1:],
                r"\bottomrule",
                r"\end{tabular}",
                "",
            ]
        )


_DIGITS = {name: form for name, _, form in MEASURES}


def _cell(one: Measured) -> str:
    return with_interval(Estimate.of(one.value, one.low, one.high), partial(number, form=_DIGITS[one.measure]))


def arms(saved: Saved) -> Arms:
    """Of every student whose results are saved, and of the real pair on each set if it was run.

    Raises:
        ReportError: there are no results of a student.
    """
    students = dict(by_importance(saved.study))
    students |= {f"{REAL} {set_}": study for set_, study in saved.study_real.items()}
    rows = [row for student, study in students.items() for row in _student(student, study)]
    return Arms(tuple(rows), tuple(dict.fromkeys(len(study.untrained.bytes) for study in students.values())))


def _student(student: str, study: Study) -> list[Measured]:
    lines: list[tuple[str, list[Run]]] = [(UNTRAINED, [study.untrained]), (TEACHER, [study.teacher])]
    lines += [(arm, list(study.arms[arm].values())) for arm in ARMS if arm in study.arms]
    lines += [(arm, list(runs.values())) for arm, runs in study.arms.items() if arm not in ARMS]
    return [
        Measured(student, arm, name, len(runs), *map(as_float, over_seeds(list(map(of_run, runs)))))
        for arm, runs in lines
        for name, of_run, _ in MEASURES
    ]
