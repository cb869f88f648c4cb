"""What is printed first: the sentences follow from the figures and their intervals, and the table fits the terminal."""

from dataclasses import replace
from pathlib import Path

import pytest
from places import GOLD
from rich.console import Console

from probe.alignment.align import align
from probe.checkpoints.loading import load
from probe.cli.align import main
from probe.errors import MapError
from probe.gold.pairs import read_pairs, write_pairs
from probe.report.comparison import MANY, compare_all, together
from probe.report.method_comparison import MethodComparison, MethodDifference
from probe.report.overview import overview
from probe.report.report import ProbeReport
from probe.report.steps import Step
from probe.report.tables import GROUPED, against_table
from probe.report.verdict import side, verdict, verdict_of_several
from probe.scoring.references import uniform
from probe.scoring.scores import COUNTS, SLICE_METRICS
from probe.scoring.truth import SLICES
from probe.stats import Estimate

TOP_1 = COUNTS.index("top-1")


@pytest.fixture(scope="module")
def report(demo_report: ProbeReport) -> ProbeReport:
    return demo_report


def hits_of(report: ProbeReport, method: str, factor: float = 1.0) -> ProbeReport:
    """The same, where the probed method has the hits of another one, times a factor."""
    counts = report.counts.copy()
    counts[:, 0, TOP_1] = factor * counts[:, report.methods.index(method), TOP_1]
    return replace(report, counts=counts)


@pytest.mark.parametrize(
    ("difference", "where"),
    [
        (Estimate(0.2, 0.1, 0.3), "above"),
        (Estimate(-0.2, -0.3, -0.1), "below"),
        (Estimate(0.2, -0.1, 0.5), "not distinguishable from"),
        (Estimate(0.2, 0.0, 0.5), "not distinguishable from"),
        (Estimate(0.2), "unknown"),
    ],
)
def test_only_an_interval_without_zero_tells_two_apart(difference: Estimate, where: str):
    assert side(difference) == where


@pytest.mark.parametrize(
    ("method", "factor", "lead"),
    [
        ("uniform", 1.0, "demo does not align: it is no better than chance."),
        ("diagonal", 0.5, "demo aligns better than chance, but worse than position alone and equal spelling."),
        ("diagonal", 1.0, "demo aligns better than chance, but no better than position alone or equal spelling."),
        ("bigram", 1.0, "demo aligns better than position alone and equal spelling."),
    ],
)
def test_the_first_sentence_is_the_answer(report: ProbeReport, method: str, factor: float, lead: str):
    assert verdict(hits_of(report, method, factor))[0].startswith(lead)


def test_the_figures_of_the_verdict_are_those_of_the_report(report: ProbeReport):
    text = " ".join(verdict(report))
    assert "Top-1 is 43.3 % [36.8, 50.4]: above an untrained query (3.8) and equal weights (3.4)" in text
    assert "not distinguishable from position alone (43.3) and equal spelling (48.1)" in text
    assert "44.7 [40.8, 48.0] points below the best a query can reach (88.1)" in text
    assert "Weakest kind of token: part of a character, 7.6 % [3.6, 17.3]." in text
    assert len(verdict(report)) <= 5


def test_of_few_sentences_nothing_is_claimed():
    gold = read_pairs(GOLD)
    few = replace(gold, rows=tuple([row for row in gold.rows if row.pair.startswith("demo~")][:3]))
    told = verdict(align(load("demo"), few))
    assert told[0] == "demo: 3 sentences are too few to tell: a 95 % CI takes 10."
    assert "above" not in " ".join(told)


def test_methods_that_were_not_scored_are_not_named(report: ProbeReport):
    alone = align(load("demo"), read_pairs(GOLD), methods=["uniform"])
    told = " ".join(verdict(alone))
    assert told.startswith("demo aligns better than chance. ")
    assert "position" not in told
    assert "a query can reach" not in told


def test_of_several_the_highest_is_named_and_the_others_set_against_it(report: ProbeReport):
    reports = {"worse": hits_of(report, "cma", 0.8), "same": replace(report), "best": hits_of(report, "cma", 1.0001)}
    told = verdict_of_several(reports, compare_all(reports), (), ())
    assert told[0] == "Highest top-1: best."
    assert told[1].startswith("worse is 8.7 [7.4, 10.1] points below best, p")
    assert told[2].startswith("same is 0.0 [0.0, 0.0] points below best")


def test_many_checkpoints_are_compared_with_the_best_alone(report: ProbeReport):
    reports = {str(n): hits_of(report, "cma", 1 - n / 100) for n in range(MANY + 1)}
    found = compare_all(reports)
    assert [(one.first, one.second) for one in found] == [("0", str(n)) for n in range(1, MANY + 1)]
    told = verdict_of_several(reports, found, (), ())
    assert f"{MANY - 3} more are in the table above." in told


def test_few_seeds_are_checkpoints_and_not_methods():
    figures = (MethodDifference("top-1", (0.3,), (0.2,), Estimate(-0.1, -0.15, -0.05)),)
    one = MethodComparison("cma", "ga", ("a",), ("b",), 43, figures)
    (told,) = verdict_of_several({}, (), [one], ())
    assert told.startswith(
        "ga is below cma: top-1 -10.0 [-15.0, -5.0] points over 1 pair of trainings, higher in 0 of 1."
    )
    assert "checkpoints, not methods: a claim on methods takes 5 seeds" in told


def test_a_run_is_told_from_its_first_step_to_its_last(report: ProbeReport):
    ends = Estimate(0.1, 0.05, 0.15), Estimate(0.4, 0.3, 0.5)
    steps = [Step(f"s{n}", n, top, Estimate(None), 0.1, 0.1, 0.1, 0.1) for n, top in zip((25, 400), ends, strict=True)]
    told = verdict_of_several({"s25": hits_of(report, "uniform"), "s400": report}, (), (), steps)
    assert told[0] == "Top-1 goes from 10.0 % [5.0, 15.0] at step 25 to 40.0 % [30.0, 50.0] at step 400."


# The table


@pytest.mark.parametrize("width", [80, 60, 45])
def test_narrow_terminals_lose_columns_and_no_digit(report: ProbeReport, width: int):
    console = Console(width=width)
    with console.capture() as capture:
        console.print(overview({"demo": report}))
    lines = capture.get().splitlines()
    assert max(map(len, map(str.rstrip, lines))) <= width
    assert "…" not in capture.get()
    assert any("43.3 [36.8, 50.4]" in line for line in lines)
    titles = [line.strip() for line in lines if line.strip() in ("floors", "baselines", "attention", "ceilings")]
    assert titles == ["floors", "baselines", "attention", "ceilings"]
    assert ("+39.5" in capture.get()) == (width >= 60)


def test_reports_of_other_sentences_have_tables_of_their_own(report: ProbeReport):
    other = replace(report, sentences=tuple(f"x{id_}" for id_ in report.sentences))
    assert [list(group) for group in together({"a": report, "b": other, "c": report})] == [["a", "c"], ["b"]]


# Against a method


@pytest.mark.parametrize("section", GROUPED)
def test_differences_of_groups_are_those_of_their_figures(report: ProbeReport, section: str):
    found = report.against(section, "diagonal")
    m, k = report.methods.index("diagonal"), SLICE_METRICS.index("top-1")
    for one in report.groups(section):
        expected = one.figures.value[0, k] - one.figures.value[m, k]
        assert found[one.name].value == pytest.approx(expected)
        assert (found[one.name].low is None) == (one.sentences < 10)


def test_a_planted_difference_of_a_kind_is_found(report: ProbeReport):
    slices = report.slices.copy()
    kind, m = SLICES.index("punctuation"), report.methods.index("diagonal")
    slices[:, 0, kind] = slices[:, m, kind]
    found = replace(report, slices=slices).against("token", "diagonal")
    assert list(found["punctuation"]) == [0, 0, 0]
    assert found["in another chunk"] == report.against("token", "diagonal")["in another chunk"]


def test_a_method_that_was_not_scored_is_refused(report: ProbeReport):
    with pytest.raises(MapError, match=r"nothing: expected a method of this report.*diagonal"):
        against_table(report, "token", "nothing")


# The command


def test_the_command_fits_forty_lines_and_ends_with_the_verdict(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["--pairs", str(GOLD)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 40
    assert all(len(line.rstrip()) <= 80 for line in lines if str(GOLD) not in line)
    assert lines[-1].startswith("Weakest kind of token")


def test_checkpoints_of_other_sentences_have_a_verdict_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = [row for row in read_pairs(GOLD).rows if row.pair.startswith("demo~")]
    write_pairs(tmp_path / "some.tsv", rows[:20], read_pairs(GOLD).comments)
    maps = tmp_path / "maps"
    maps.mkdir()
    for row in rows[:15]:
        uniform(row).save(maps / f"{row.id}.npz")
    names = ["--checkpoint", "demo", "--maps", str(maps)]
    assert main(["--pairs", str(tmp_path / "some.tsv"), *names, "--methods", "uniform"]) == 0
    out = capsys.readouterr().out
    assert "demo aligns better than chance." in out
    assert "maps does not align" in out
    assert "Highest top-1" not in out
    assert out.rstrip().endswith("Checkpoints of other sentences are not compared.")


def test_sections_are_printed_on_demand(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    gold, few = read_pairs(GOLD), tmp_path / "few.tsv"
    write_pairs(few, [row for row in gold.rows if row.pair.startswith("demo~")][:12], gold.comments)
    assert main(["--pairs", str(few), "--by", "token", "--against", "diagonal"]) == 0
    out = capsys.readouterr().out
    assert "cma − it" in out
    assert "floors" not in out
    assert main(["--pairs", str(few), "--against", "diagonal"]) == 0
    out = capsys.readouterr().out
    assert out.count("cma − it") == len(GROUPED)
    assert main(["--pairs", str(few), "--against", "diagonal", "--methods", "uniform", "--by", "token"]) == 0
    assert "cma − it" in capsys.readouterr().out
    assert main(["--pairs", "nowhere", "--against", "diagonale"]) == 2
    assert "diagonale" in capsys.readouterr().err
    assert main(["--pairs", str(few), "--by", "all", "--explain", "--methods", "lexical"]) == 0
    out = capsys.readouterr().out
    assert all(title in out for title in ("phenomenon", "hard links", "backward", "mass, %"))
    assert "spelling alone" in out
