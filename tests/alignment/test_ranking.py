"""Aligners of other tools and planted ones, ranked on gold rows."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from places import GOLD, ROOT

import probe
from probe.aligners.of_tools import TOOL_ALIGNERS
from probe.alignment.ranking import rank_aligners
from probe.cli.aligners import main
from probe.errors import ArgumentError, MapError, PairsError
from probe.gold.rows import GoldRow
from probe.plots.aligner_page import to_html
from probe.plots.aligner_picture import aligner_figure
from probe.report.aligner_report import AlignerReport, to_json
from probe.report.aligner_tables import to_csv, to_latex, to_markdown, verdict
from probe.scoring.hard_links import COUNTS, FIGURES, count_links, link_figures

PAIR = "demo~demo-teacher"
SIDES = {"student": "bundled:demo/student", "teacher": "bundled:demo/teacher"}


@pytest.fixture(scope="module")
def rows() -> list[GoldRow]:
    return [row for row in probe.read_pairs(GOLD) if row.pair == PAIR]


@pytest.fixture(scope="module")
def report(rows: list[GoldRow]) -> AlignerReport:
    return rank_aligners(rows)[PAIR]


def written(place: Path, rows: list[GoldRow], links: dict[str, set[tuple[int, int]]]) -> Path:
    """Somebody's links of all rows, in the Pharaoh format with the tokens beside."""
    place.write_text("".join(" ".join(f"{i}-{j}" for i, j in sorted(links[row.id])) + "\n" for row in rows))
    return place


def test_planted_aligners_rank_where_they_must(tmp_path: Path, rows: list[GoldRow]):
    rng = np.random.default_rng(0)
    every = {row.id: {(i, j) for i in range(row.sizes[0]) for j in range(row.sizes[1])} for row in rows}
    planted = {
        "gold": {row.id: set(row.sure) for row in rows},
        "shifted": {row.id: {(i, (j + 1) % row.sizes[1]) for i, j in row.sure} for row in rows},
        "random": {row.id: {(i, int(rng.integers(row.sizes[1]))) for i in range(row.sizes[0])} for row in rows},
        "all": every,
    }
    maps = [written(tmp_path / f"{name}.pharaoh", rows, links) for name, links in planted.items()]
    found = rank_aligners(rows, maps=maps)[PAIR]
    place = {name: found.names.index(name) for name in planted}
    assert place["gold"] == 0
    assert max(place["shifted"], place["random"], place["all"]) == len(found.names) - 1
    assert all(place[name] > found.names.index("time warping") for name in ("shifted", "random", "all"))
    assert found.figure("gold", "F1").value == 1
    assert found.figure("gold", "wrong per 100 tokens").value == 0
    assert found.figure("all", "coverage").value == 1
    assert found.figure("all", "recall").value == 1
    assert int(found.largest[:, place["all"]].max()) == max(sum(row.sizes) for row in rows)


def test_figures_are_those_of_counting_by_hand(rows: list[GoldRow]):
    row = next(row for row in rows if row.sizes[0] > 4 and row.sizes[1] > 4)
    links = {(0, 0), (1, 0), (1, 1), (3, 3)}
    found = count_links(links, row)
    counts = dict(zip(COUNTS, found.counts.tolist(), strict=True))
    assert counts["predicted"] == 4
    assert counts["tokens"] == sum(row.sizes)
    assert counts["linked tokens"] == 6
    assert counts["many-to-many"] == 3
    assert found.largest == 4
    assert counts["predicted sure"] == len(links & row.sure)
    figures = dict(zip(FIGURES, link_figures(found.counts).tolist(), strict=True))
    assert figures["coverage"] == 6 / sum(row.sizes)
    assert figures["many-to-many"] == 0.75
    assert figures["wrong per 100 tokens"] == 100 * (4 - counts["predicted possible"]) / sum(row.sizes)
    nothing = count_links(set(), row)
    assert nothing.largest == 0
    assert nothing.counts[COUNTS.index("linked tokens")] == 0


def test_all_tools_are_ranked_by_f1(report: AlignerReport):
    assert set(report.names) == {one.name for one in TOOL_ALIGNERS}
    f1 = [float(report.figure(name, "F1")) for name in report.names]
    assert f1 == sorted(f1, reverse=True)
    assert all(one.low is None or one.low >= 0 for one in report.behind_best[1:2])
    assert np.isnan(report.hits).all()


def test_the_verdict_names_the_best_and_what_breaks_the_others(report: AlignerReport):
    lead, *rest = verdict(report)
    assert lead.startswith(f"{PAIR}: use {report.best}. F1 is ")
    assert any(line.startswith("GOLD strings breaks on ") for line in rest)
    assert report.breaks_on(report.best) == []
    with pytest.raises(MapError, match="GOLD strings"):
        report.figure("magic", "F1")


def test_two_tokenizers_alone_are_enough():
    found = rank_aligners(texts=["Return the maximum of the list.", "Read it twice."], **SIDES)
    (only,) = found.values()
    assert only.sentences == ("text-1", "text-2")
    assert only.source.endswith("linked by rule")
    assert only.figure("byte chunks", "recall").value == 1
    assert "too few" in verdict(only)[1]


def test_a_tokenizer_may_be_a_json_file_of_any_name(tmp_path: Path):
    files = [ROOT / "probe" / "bundled" / "demo" / side / "tokenizer.json" for side in ("student", "teacher")]
    own = tmp_path / "my-own.json"
    own.write_bytes(files[0].read_bytes())
    (named,) = rank_aligners(texts=["Read it twice."], student=str(own), teacher=str(files[1])).values()
    assert named.pair == "my-own~teacher"
    (bundled,) = rank_aligners(texts=["Read it twice."], **SIDES).values()
    np.testing.assert_array_equal(named.counts, bundled.counts)


def test_a_checkpoint_adds_what_needs_vectors(rows: list[GoldRow]):
    found = rank_aligners(rows[:12], checkpoint="demo")[PAIR]
    added = {"simalign inter", "simalign itermax", "simalign matching", "soft-DTW", "cma", "cma-grid"}
    assert added == set(found.names) - {one.name for one in TOOL_ALIGNERS}
    known = {name for k, name in enumerate(found.names) if found.top_1.at(k).value is not None}
    assert known == {"soft-DTW", "cma", "cma-grid"}
    scored = probe.align("demo", rows[:12], methods=["cma-grid"])
    assert float(found.top_1.at(found.names.index("cma")).value or 0) == pytest.approx(float(scored["cma"].top1))
    assert float(found.top_1.at(found.names.index("cma-grid")).value or 0) == pytest.approx(
        float(scored["cma-grid"].top1)
    )


def test_links_without_tokens_follow_the_order_of_the_file(tmp_path: Path, rows: list[GoldRow]):
    others = [row for row in probe.read_pairs(GOLD) if row.pair != PAIR][:20]
    mixed = [*others[:10], *rows[::-1][:12], *others[10:]]
    place = written(tmp_path / "own.pharaoh", mixed, {row.id: set(row.sure) for row in mixed})
    found = rank_aligners(mixed, maps=[place])
    assert set(found) == {PAIR, *(row.pair for row in others)}
    for report in found.values():
        assert report.figure("own", "F1").value == 1
    (of_demo,) = rank_aligners(mixed, checkpoint="demo", maps=[place]).values()
    assert of_demo.figure("own", "F1").value == 1


def test_a_checkpoint_and_two_tokenizers_contradict_each_other():
    with pytest.raises(ArgumentError, match="a checkpoint or two tokenizers"):
        rank_aligners(checkpoint="demo", **SIDES)


def test_half_a_pair_or_texts_without_tokenizers_are_refused():
    with pytest.raises(ArgumentError, match="teacher"):
        rank_aligners(student="bundled:demo/student")
    with pytest.raises(PairsError, match="two tokenizers"):
        rank_aligners(texts=["The cat sat."])


def test_every_form_has_every_aligner(report: AlignerReport):
    reports = {PAIR: report}
    document = json.loads(to_json(reports))["pairs"][PAIR]
    assert list(document["aligners"]) == list(report.names)
    lines = list(csv.DictReader(io.StringIO(to_csv(reports))))
    assert {line["aligner"] for line in lines} == set(report.names)
    told = {(line["aligner"], line["figure"]): line["value"] for line in lines if line["group"] == "all"}
    assert float(told["byte chunks", "F1"]) == document["aligners"]["byte chunks"]["F1"]["value"]
    page = to_html(reports)
    for name in report.names:
        assert f"| {name} |" in to_markdown(reports)
        assert f"{name} & " in to_latex(reports)
        assert f">{name}<" in page
    assert "<script" not in page
    assert page.count("data:image/svg+xml") == 2


def test_the_picture_has_a_number_for_each_aligner_and_phenomenon(report: AlignerReport):
    (axes,) = aligner_figure(report).axes
    numbers = [text.get_text() for text in axes.texts]
    assert len(numbers) == len(report.names) * (1 + len(report.by_phenomenon))
    assert numbers[0] == f"{100 * float(report.figure(report.best, 'F1')):.0f}"


def test_the_command_prints_the_answer_and_writes_files(
    tmp_path: Path, few_gold: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "80")
    files = {form: tmp_path / f"found.{form}" for form in ("json", "csv", "latex", "markdown", "html")}
    arguments = [word for form, path in files.items() for word in (f"--{form}", str(path))]
    assert main(["--pairs", str(few_gold), "--by", "phenomenon", *arguments]) == 0
    out = capsys.readouterr().out
    assert f"{PAIR}: use " in out
    assert "win by construction" in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80
    assert all(path.stat().st_size for path in files.values())


def test_a_teacher_alone_is_a_message(capsys: pytest.CaptureFixture[str]):
    assert main(["--teacher", "bundled:demo/teacher"]) == 2
    assert "--student" in capsys.readouterr().err
