"""Renew the tables of does-alignment-matter.md from the saved results of the study. ``make docs`` runs this."""

import re
import sys
from collections.abc import Sequence
from functools import partial
from math import nan
from pathlib import Path

from probe.figures.arms import arms
from probe.figures.dose import dose
from probe.figures.saved import Saved
from probe.figures.study import BASELINE, MILLI, PRIMARY, STUDENT, compare, contrasted, difference
from probe.output.documents import markdown_table
from probe.output.tables import number, with_interval
from probe.stats import Estimate, as_float

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "does-alignment-matter.md"
SAVED = ROOT / "figures" / "saved"
COMPARED = ("", "difference", "bits × 1000 [95 % CI]", "CI with rows", "as is", "p, Holm", "outcome", "ROUGE-L, points")
WITHOUT_D = "-no-d"
REPEATED = (
    ("aligned", "random-sharp"),
    ("uniform", "aligned"),
    ("wrong", "cla"),
    *((arm, BASELINE) for arm in ("random-sharp", "aligned", "uniform", "cla", "wrong")),
)
"""P1, P4 and P5, and their arms against fine-tuning: repeated with rate 0 of D."""
REAL = (("cla", BASELINE), ("aligned", "shipped"), ("aligned", BASELINE))
DOSED = ("arm", "seeds", "− cla, × 1000 [95 % CI]", "t2s right, %")
SECONDARY = {
    "Which attention matters?": (
        ("forward-only", "cla"),
        ("backward-only", "cla"),
        ("forward-only", "random"),
        ("backward-only", "random"),
    ),
    "Do later tokens leak?": (("sees-earlier", "cla"), ("sees-later", "cla")),
    "Which term?": (
        ("random-no-d", "random"),
        ("random-sharp-no-d", "random-sharp"),
        ("aligned-no-d", "aligned"),
        ("uniform-no-d", "uniform"),
        ("cla-no-d", "cla"),
        ("wrong-no-d", "wrong"),
        ("random-no-s2t", "random"),
        ("aligned-no-s2t", "aligned"),
    ),
    "Must the query learn?": (
        ("random-learns", "random-fixed"),
        ("aligned-learns", "aligned-fixed"),
        ("aligned-fixed", "random-fixed"),
        ("aligned-learns", "random-learns"),
    ),
    "Does order help?": (("aligned-grid", "aligned"),),
    "Is it the critic? (not announced)": (
        ("norm-only", "random"),
        ("norm-only", "random-critic"),
        ("aligned-critic", "aligned"),
        ("critic-released", "random"),
    ),
    "Which start? (not announced)": (("aligned", "random"), ("random-sharp", "random")),
    "And other methods?": (
        ("critic-released", BASELINE),
        ("clp", BASELINE),
        ("uld", BASELINE),
        ("eta", BASELINE),
    ),
}
"""The questions of the secondary experiment, beside the dose, and the differences that answer them."""


def document(page: str, saved: Saved) -> str:
    """The page with its tables made anew; what lies between ``<!-- NAME -->`` and ``<!-- end -->`` is replaced."""
    tables = {f"arms {student}": _arms(saved, student) for student in saved.study}
    tables |= {f"compared {student}": _compared(saved, student) for student in saved.study}
    tables |= {"dose": _dose(saved), "without D": _without_d(saved), "secondary": _secondary(saved)}
    if (saved.directory / "study-real").is_dir():
        tables["real"] = _real(saved)
    for name, table in tables.items():
        place = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end -->)", flags=re.DOTALL)
        # Once: where nothing stands between the marks yet, a second match would reach to the next end.
        page = place.sub(f"\n{table}\n".replace("\\", r"\\"), page, count=1)
    return page


def _arms(saved: Saved, student: str) -> str:
    return markdown_table(*arms(saved).table(student))


def _compared(saved: Saved, student: str) -> str:
    study = saved.student(student)
    contrasts = {one.name: one for one in PRIMARY}
    lines: list[Sequence[str]] = []
    for one in compare(study, PRIMARY):
        value, rows = _milli(one.value, one.low, one.high), _milli(one.value, one.rows_low, one.rows_high)
        shown = value, rows[rows.index("[") :], _milli(one.as_is), f"{one.p_holm:.2g}"
        points = with_interval(contrasted(study, contrasts[one.name], "rouge"), partial(number, form="+.2f"))
        lines.append((one.name, one.difference, *shown, one.outcome, points))
    return markdown_table(COMPARED, lines)


def _dose(saved: Saved) -> str:
    shown = [one for one in dose(saved).rows if one.kind in ("moved", "dropped") and one.percent]
    lines = [(one.arm, str(one.seeds), _milli(one.value, one.low, one.high), f"{100 * one.hits:.1f}") for one in shown]
    return markdown_table(DOSED, lines)


def _without_d(saved: Saved) -> str:
    study = saved.student(STUDENT)
    lines: list[Sequence[str]] = []
    for arm, other in REPEATED:
        names = [f"{one}{'' if one == BASELINE else WITHOUT_D}" for one in (arm, other)]
        found = difference(study, arm, other), difference(study, *names)
        lines.append((f"{arm} − {other}", *(_milli(*map(as_float, one)) for one in found)))
    counts = (len(study.runs(arm)) for arm in ("aligned", f"aligned{WITHOUT_D}"))
    heads = (f"{head}, {count} seeds" for head, count in zip(("with D", "without D"), counts, strict=True))
    return markdown_table(("difference, × 1000 [95 % CI]", *heads), lines)


def _secondary(saved: Saved) -> str:
    study = saved.student(STUDENT)
    lines = [
        (
            "" if number else question,
            f"{arm} − {other}",
            str(len(study.runs(arm).keys() & study.runs(other).keys())),
            _milli(*map(as_float, difference(study, arm, other))),
        )
        for question, asked in SECONDARY.items()
        for number, (arm, other) in enumerate(asked)
    ]
    return markdown_table(("question", "difference", "seeds", "× 1000 [95 % CI]"), lines)


def _real(saved: Saved) -> str:
    sets = saved.study_real
    lines = [
        (f"{arm} − {other}", *(_milli(*map(as_float, difference(study, arm, other))) for study in sets.values()))
        for arm, other in REAL
    ]
    return markdown_table(("difference, × 1000 [95 % CI]", *sets), lines)


def _milli(value: float, low: float = nan, high: float = nan) -> str:
    """Bits per byte times 1000, with the interval if there is one."""
    return with_interval(Estimate.of(*(MILLI * one for one in (value, low, high))), partial(number, form="+.2f"))


def main() -> int:
    """Entry point."""
    PAGE.write_text(document(PAGE.read_text(encoding="utf-8"), Saved(SAVED)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
