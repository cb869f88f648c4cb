"""Renew the tables of does-alignment-matter.md from the saved results of the study. ``make docs`` runs this."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from probe.figures.arms import arms
from probe.figures.dose import SHARES, dose
from probe.figures.saved import Saved
from probe.figures.study import BASELINE, MILLI, PRIMARY, STUDENT, by_importance, compare, difference
from probe.output.documents import markdown_table
from probe.stats import Estimate, as_float

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "does-alignment-matter.md"
SAVED = ROOT / "figures" / "saved"
COMPARED = ("", "difference", "× 1000 [95 % CI]", "CI with rows", "as is", "p, Holm", "outcome")
WITHOUT_D = "-no-d"
REPEATED = (
    ("aligned", "random-sharp"),
    ("uniform", "aligned"),
    ("wrong", "cla"),
    *((arm, BASELINE) for arm in ("random-sharp", "aligned", "uniform", "cla", "wrong")),
)
"""P1, P4 and P5, and their arms against fine-tuning: repeated with rate 0 of D."""
DOSED = ("arm", "seeds", "− cla, × 1000 [95 % CI]", "D acts, %")


def document(page: str, saved: Saved) -> str:
    """The page with its tables made anew; what lies between ``<!-- NAME -->`` and ``<!-- end -->`` is replaced."""
    tables = {f"arms {student}": _arms(saved, student) for student in saved.study}
    tables |= {f"compared {student}": _compared(saved, student) for student in saved.study}
    if f"moved-{SHARES[0]}" in saved.student(STUDENT).arms:
        tables["dose"] = _dose(saved)
    if f"aligned{WITHOUT_D}" in saved.student(STUDENT).arms:
        tables["without D"] = _without_d(saved)
    for name, table in tables.items():
        place = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end -->)", flags=re.DOTALL)
        page = place.sub(f"\n{table}\n".replace("\\", r"\\"), page)
    return page


def _arms(saved: Saved, student: str) -> str:
    return markdown_table(*arms(saved).table(student))


def _compared(saved: Saved, student: str) -> str:
    lines: list[Sequence[str]] = []
    for one in compare(dict(by_importance(saved.study))[student], PRIMARY):
        ends, rows = (one.low, one.high), (one.rows_low, one.rows_high)
        shown = (f"{_milli(one.value)} {_interval(ends)}", _interval(rows), _milli(one.as_is), f"{one.p_holm:.2g}")
        lines.append((one.name, one.difference, *shown, one.outcome))
    return markdown_table(COMPARED, lines)


def _dose(saved: Saved) -> str:
    shown = [one for one in dose(saved).rows if one.kind in ("moved", "dropped") and one.percent]
    lines = [
        (one.arm, str(one.seeds), f"{_milli(one.value)} {_interval((one.low, one.high))}", f"{100 * one.hits:.1f}")
        for one in shown
    ]
    return markdown_table(DOSED, lines)


def _without_d(saved: Saved) -> str:
    study = saved.student(STUDENT)
    lines: list[Sequence[str]] = []
    for arm, other in REPEATED:
        names = [f"{one}{'' if one == BASELINE else WITHOUT_D}" for one in (arm, other)]
        found = difference(study, arm, other), difference(study, *names)
        lines.append((f"{arm} − {other}", *(_estimate(one) for one in found)))
    return markdown_table(("difference, × 1000 [95 % CI]", "with D", "without D"), lines)


def _estimate(one: Estimate) -> str:
    value, low, high = map(as_float, one)
    return f"{_milli(value)} {_interval((low, high))}"


def _milli(value: float) -> str:
    return f"{MILLI * value:+.2f}"


def _interval(ends: tuple[float, float]) -> str:
    return f"[{', '.join(map(_milli, ends))}]"


def main() -> int:
    """Entry point."""
    PAGE.write_text(document(PAGE.read_text(encoding="utf-8"), Saved(SAVED)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
