"""Renew the tables of does-alignment-matter.md from the saved results. ``make study`` and ``make docs`` run this."""

import re
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from probe.figures.arms import arms
from probe.figures.dose import dose
from probe.figures.saved import Saved
from probe.figures.study import BASELINE, PRIMARY, STUDENT, Contrast, compare, contrasted, difference
from probe.output.documents import markdown_table
from probe.output.tables import interval, number, thousandths, with_interval
from probe.stats import Estimate, as_float

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "does-alignment-matter.md"
SAVED = ROOT / "figures" / "saved"
ANSWER = ("", "bits × 1000", "ROUGE-L, points", "bits, without D", "ROUGE-L, without D")
ANSWERED = {
    "right links, against wrong ones": ("cla", "wrong"),
    "an aligned start, against a random one made as sharp": ("aligned", "random-sharp"),
    "an aligned start, against a plain random one (not announced)": ("aligned", "random"),
    "an aligned start, against equal weights": ("aligned", "uniform"),
    "a random start with the critic, against one without": ("random-critic", "random"),
    "a random start with matched norms, against an aligned one (not announced)": ("norm-only", "aligned"),
    "right links, against fine-tuning": ("cla", BASELINE),
    "an aligned start, against fine-tuning": ("aligned", BASELINE),
}
"""What the page asks first, and the arms that answer it."""
COMPARED = ("", "difference", "bits × 1000 [95 % CI]", "CI with rows", "as is", "p, Holm", "outcome", "ROUGE-L, points")
WITHOUT_D = "-no-d"
REPEATED = (
    ("aligned", "random-sharp"),
    ("uniform", "aligned"),
    ("wrong", "cla"),
    ("aligned", "random"),
    ("norm-only", "aligned"),
    ("norm-only", "cla"),
    *((arm, BASELINE) for arm in ("random-sharp", "aligned", "uniform", "cla", "wrong", "norm-only")),
)
"""P1, P4 and P5, the plain start, the control, and arms against fine-tuning: repeated with rate 0 of D."""
REAL = (("cla", BASELINE), ("aligned", "shipped"), ("aligned", BASELINE))
DOSED = ("arm", "seeds", "− cla, × 1000 [95 % CI]", "t2s right, %")
SECONDARY = {
    "Which attention matters? (with D)": (
        ("forward-only", "cla"),
        ("backward-only", "cla"),
        ("forward-only", "random"),
        ("backward-only", "random"),
    ),
    "Do later tokens leak? (a teacher position holds its target)": (("sees-earlier", "cla"), ("sees-later", "cla")),
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
    "Does it work by D? (added)": (("random-critic-no-d", "random-no-d"), ("norm-only-no-d", "random-no-d")),
    "Which start? (not announced)": (("aligned", "random"), ("random-sharp", "random")),
    "And other methods?": (
        ("critic-released", BASELINE),
        ("clp", BASELINE),
        ("uld", BASELINE),
        ("eta", BASELINE),
    ),
}
"""The questions of the secondary experiment, beside the dose, and the differences that answer them."""


def tables_of(saved: Saved) -> dict[str, str]:
    """The tables of the page, by name."""
    made = arms(saved)
    tables = {f"arms {student}": markdown_table(*made.table(student)) for student in made.students}
    tables |= {f"compared {student}": _compared(saved, student) for student in saved.study}
    tables |= {"dose": _dose(saved), "without D": _without_d(saved), "secondary": _secondary(saved)}
    return tables | {"answer": _answer(saved), "real": _real(saved)}


def document(page: str, tables: Mapping[str, str]) -> str:
    """The page with these tables; what lies between ``<!-- NAME -->`` and ``<!-- end -->`` is replaced."""
    for name, table in tables.items():
        place = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end -->)", flags=re.DOTALL)
        # Once: where nothing stands between the marks yet, a second match would reach to the next end.
        page = place.sub(f"\n{table}\n".replace("\\", r"\\"), page, count=1)
    return page


def _answer(saved: Saved) -> str:
    study = saved.student(STUDENT)
    lines: list[Sequence[str]] = []
    for asked, (arm, other) in ANSWERED.items():
        cells: list[str] = []
        for contrast in (Contrast("", {arm: 1, other: -1}), _less_d(arm, other)):
            bits, rouge = contrasted(study, contrast), contrasted(study, contrast, "rouge")
            cells += [f"{_verdict(-bits)} {_milli(bits)}", f"{_verdict(rouge)} {_points(rouge)}"]
        lines.append((asked, *cells))
    return markdown_table(ANSWER, lines)


def _verdict(gain: Estimate) -> str:
    """Of a difference that is above 0 where the first is better."""
    _, low, high = map(as_float, gain)
    return "better" if low > 0 else "worse" if high < 0 else "open"


def _compared(saved: Saved, student: str) -> str:
    study = saved.student(student)
    contrasts = {one.name: one for one in PRIMARY}
    lines: list[Sequence[str]] = []
    for one in compare(study, PRIMARY):
        rows = interval(Estimate.of(one.value, one.rows_low, one.rows_high), partial(thousandths, form="+.2f"))
        as_is, rouge = (contrasted(study, contrasts[one.name], measure) for measure in ("bits", "rouge"))
        shown = _milli(Estimate.of(one.value, one.low, one.high)), rows, _milli(as_is), f"{one.p_holm:.2g}"
        lines.append((one.name, one.difference, *shown, one.outcome, _points(rouge)))
    return markdown_table(COMPARED, lines)


def _dose(saved: Saved) -> str:
    shown = [one for one in dose(saved).rows if one.kind in ("moved", "dropped") and one.percent]
    lines = [
        (one.arm, str(one.seeds), _milli(Estimate.of(one.value, one.low, one.high)), f"{100 * one.hits:.1f}")
        for one in shown
    ]
    return markdown_table(DOSED, lines)


def _without_d(saved: Saved) -> str:
    study = saved.student(STUDENT)
    lines = [
        (
            f"{arm} − {other}",
            _milli(difference(study, arm, other)),
            _milli(contrasted(study, _less_d(arm, other))),
            _milli(contrasted(study, _by_d(arm, other))),
            _points(contrasted(study, Contrast("", {arm: 1, other: -1}), "rouge")),
            _points(contrasted(study, _less_d(arm, other), "rouge")),
        )
        for arm, other in REPEATED
    ]
    counts = [len(study.runs(arm)) for arm in ("aligned", f"aligned{WITHOUT_D}")]
    heads = (
        "with D, {} seeds",
        "without, {} seeds",
        "what D changes, {} seeds",
        "ROUGE-L with D, {}",
        "ROUGE-L without, {}",
    )
    seeds = *counts, counts[1], *counts
    return markdown_table(("difference", *(head.format(one) for head, one in zip(heads, seeds, strict=True))), lines)


def _less_d(arm: str, other: str) -> Contrast:
    """Two arms with rate 0 of D; fine-tuning has none."""
    return Contrast("", {f"{arm}{WITHOUT_D}": 1, other if other == BASELINE else f"{other}{WITHOUT_D}": -1})


def _by_d(arm: str, other: str) -> Contrast:
    """The difference with D less that without."""
    first = {arm: 1, f"{arm}{WITHOUT_D}": -1}
    return Contrast("", first if other == BASELINE else first | {other: -1, f"{other}{WITHOUT_D}": 1})


def _secondary(saved: Saved) -> str:
    study = saved.student(STUDENT)
    lines = [
        (
            "" if number else question,
            f"{arm} − {other}",
            str(len(study.runs(arm).keys() & study.runs(other).keys())),
            _milli(difference(study, arm, other)),
        )
        for question, asked in SECONDARY.items()
        for number, (arm, other) in enumerate(asked)
    ]
    return markdown_table(("question", "difference", "seeds", "× 1000 [95 % CI]"), lines)


def _real(saved: Saved) -> str:
    sets = saved.study_real
    lines = [
        (f"{arm} − {other}", *(_milli(difference(study, arm, other)) for study in sets.values())) for arm, other in REAL
    ]
    return markdown_table(("difference, × 1000 [95 % CI]", *sets), lines)


def _points(found: Estimate) -> str:
    return with_interval(found, partial(number, form="+.2f"))


def _milli(found: Estimate) -> str:
    return with_interval(found, partial(thousandths, form="+.2f"))


def main() -> int:
    """Entry point."""
    PAGE.write_text(document(PAGE.read_text(encoding="utf-8"), tables_of(Saved(SAVED))), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
