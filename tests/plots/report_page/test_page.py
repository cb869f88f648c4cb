"""The page of ``probe-align --html``: it fetches nothing, holds the report's numbers, and escapes every text."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from places import ROOT

import probe
from probe.alignment.align import align, align_maps
from probe.alignment.fitting import fitting_rows
from probe.checkpoints.loading import load
from probe.cli.align import main
from probe.errors import MapError
from probe.exchange.given_maps import given_maps
from probe.gold.pairs import read_pairs
from probe.gold.rows import GoldRow
from probe.gold.triples import KINDS, Mark
from probe.maps import AttentionMap
from probe.plots.report_page.compared import Compared
from probe.plots.report_page.page import LEVELS, Probed, to_html
from probe.plots.report_page.tables import groups_table, markup
from probe.report.comparison import MANY, compare_all
from probe.report.method_comparison import compare_methods
from probe.report.report import ProbeReport
from probe.report.steps import Step
from probe.report.verdict import verdict, verdict_of_several
from probe.scoring.scores import COUNTS, METRICS, metrics
from probe.stats import Estimate, as_float

GOLD = ROOT / "alignments" / "gold.tsv"
NASTY = "</script><script>alert(\"x\")</script><!-- & '$title' ]]>"


class Reader(HTMLParser):
    """Tags with their attributes, the rows of tables as text, and what each script holds."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[tuple[dict[str, str | None], list[str]]] = []
        self.scripts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append((dict(attrs), []))
        if tag in ("td", "th"):
            self.rows[-1][1].append("")
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        last = self.tags[-1][0] if self.tags else ""
        if last == "script" and self.scripts[-1] == "":
            self.scripts[-1] = data
        elif last in ("td", "th", "b", "bdi", "small", "span") and data.strip():
            self.rows[-1][1][-1] += f" {data}" if self.rows[-1][1][-1] else data

    @property
    def sentences(self) -> dict[str, list[str]]:
        return {str(attributes["data-id"]): cells for attributes, cells in self.rows if "data-map" in attributes}

    @property
    def maps(self) -> list[list[dict]]:
        return json.loads(self.scripts[0])


@pytest.fixture(scope="module")
def probed() -> Probed:
    opened, gold = load("demo"), read_pairs(GOLD)
    rows = fitting_rows(opened, gold)
    report = align(opened, gold, methods=["lexical", "diagonal", "bigram"])
    report = replace(report, origin=replace(report.origin, command="probe-align --pairs <gold>"))
    return Probed(report, tuple((row, opened.map(row.student, row.teacher)) for row in rows))


@pytest.fixture(scope="module")
def page(probed: Probed) -> str:
    return to_html([probed])


def nasty(tmp_path: Path) -> tuple[GoldRow, AttentionMap]:
    """A row whose id, text, pieces and tag try to leave the place where they stand."""
    sides = [probe.TokenizedText.from_pieces(NASTY, pieces) for pieces in (re.findall(r"\S+|\s", NASTY), list(NASTY))]
    sides = [probe.TokenizedText.from_pieces(NASTY, [p.replace(" ", "Ġ") for p in side.pieces]) for side in sides]
    row = GoldRow(NASTY, "a~b", sides[0], sides[1], frozenset({(0, 0)}), frozenset(), ("code",), "")
    shape = len(sides[0].tokens) + 1, len(sides[1].tokens) + 1
    map_ = AttentionMap("x", *sides, np.full(shape, 1 / shape[1]))
    map_.save(tmp_path / "<style>.npz")
    probe.write_pairs(tmp_path / "<b>.tsv", [row])
    return row, map_


def figures(report: ProbeReport, metric: str) -> list[float]:
    return metrics(report.counts[:, 0])[:, METRICS.index(metric)].tolist()


def test_sentences_carry_the_reports_numbers(page: str, probed: Probed):
    shown = Reader(page).sentences
    report = probed.report
    assert set(shown) == set(report.sentences)
    for n, id_ in enumerate(report.sentences):
        values = [100 * figures(report, metric)[n] for metric in ("top-1", "attention mass")]
        assert shown[id_][1:] == [str(report.lengths[n]), *(f"{value:.1f}" for value in values)]
        for part in (id_, *report.phenomena[n]):
            assert part in shown[id_][0]


def test_the_worst_sentence_is_first(page: str, probed: Probed):
    top_1 = dict(zip(probed.report.sentences, figures(probed.report, "top-1"), strict=True))
    shown = [top_1[id_] for id_ in Reader(page).sentences]
    assert shown == sorted(shown)
    assert shown[0] < shown[-1]


def test_a_sentence_without_a_sure_link_is_last_and_has_no_figure(probed: Probed):
    first = probed.drawn[0]
    counts = probed.report.counts.copy()
    counts[0] = 0
    shown = Reader(to_html([replace(probed, report=replace(probed.report, counts=counts))])).sentences
    assert list(shown)[-1] == first[0].id
    assert shown[first[0].id][2:] == ["–", "–"]


def test_tables_carry_the_reports_numbers(page: str, probed: Probed):
    rows = {cells[0].split(" ")[0]: cells for _, cells in reversed(Reader(page).rows) if cells}
    found, report = probed.report.intervals, probed.report
    low, high = 100 * found.low[0, 0], 100 * found.high[0, 0]
    assert rows["cma"][1] == f"{100 * found.value[0, 0]:.1f} [{low:.1f}, {high:.1f}]"
    difference = report.differences.value[report.methods.index("lexical"), 0]
    assert rows["lexical"][-1].startswith(f"{100 * difference:+.1f} [")
    for one in report.by_phenomenon:
        assert rows[one.name][1:3] == [str(one.sentences), str(one.rows)]
        assert rows[one.name][3].split(" ")[0] == f"{100 * one.figures.value[0, 0]:.1f}"
        assert ("[" in rows[one.name][3]) == (not np.isnan(one.figures.low[0, 0]))
    assert f"{100 * report.destinations.figures.value[0, 0]:.1f}" in page


def test_bounds_take_no_place_in_a_table_without_any(probed: Probed):
    few = tuple(
        replace(one, figures=replace(one.figures, low=one.figures.low * np.nan, high=one.figures.high * np.nan))
        for one in probed.report.by_phenomenon
    )
    some, none = (
        markup(groups_table("phenomenon", "sentences", probed.report, groups))
        for groups in (probed.report.by_phenomenon, few)
    )
    # A place for bounds in every row of the one, the head over the figures; nothing of it in the other.
    assert some.count("<td>") == none.count("<td>")
    assert some.count("</small></td>") == len(few)
    assert some.count('class="bounded"') == some.count('class="beside"') == 1
    assert not any(mark in none for mark in ("</small></td>", "bounded", "beside"))


def test_maps_are_those_that_were_scored(page: str, probed: Probed):
    (maps,) = Reader(page).maps
    for drawn, (row, map_) in zip(maps, probed.drawn, strict=True):
        np.testing.assert_allclose(np.array(drawn["weights"]) / LEVELS, map_.weights, atol=0.5 / LEVELS)
        assert (tuple(drawn["student"]), tuple(drawn["teacher"])) == (map_.student_labels, map_.teacher_labels)
        for kind in ("sure", "possible"):
            assert {tuple(link) for link in drawn[kind]} == getattr(row, kind)
        largest = map_.weights == map_.weights.max(axis=1, keepdims=True)
        assert {(i, j) for i, line in enumerate(drawn["largest"]) for j in line} == set(
            zip(*largest.nonzero(), strict=True)
        )


def test_largest_weights_are_those_before_rounding():
    side = probe.TokenizedText.from_pieces("a", ["a"])
    row = GoldRow("r", "a~b", side, side, frozenset({(0, 0)}), frozenset(), (), "")
    map_ = AttentionMap("x", side, side, np.array([[0.5001, 0.4999], [0.5, 0.5]]))
    from probe.plots.report_page import page as report_page

    drawn = report_page._map(row, map_)
    assert (drawn["weights"], drawn["largest"]) == ([[500, 500], [500, 500]], [[0], [0, 1]])


def test_the_verdict_stands_first(page: str, probed: Probed):
    (lead, *rest) = verdict(probed.report)
    assert f'<p class="verdict"><strong>{lead}</strong>' in page
    assert all(sentence in page for sentence in rest)
    assert page.index(lead) < page.index("<table")


def drawn_in(page: str) -> list[str]:
    """The pictures of a page."""
    return re.findall(r"<figure>.*?</figure>", page, flags=re.DOTALL)


def test_pictures_stand_between_the_verdict_and_the_tables(page: str, probed: Probed):
    pictures = drawn_in(page)
    assert len(pictures) == 3
    assert page.index('class="verdict"') < page.index(pictures[0])
    assert page.index(pictures[-1]) < page.index("<table")
    labels = [attributes["aria-label"] or "" for tag, attributes in Reader("".join(pictures)).tags if tag == "svg"]
    assert [label.split(",")[0] for label in labels] == [
        "Between floors and ceilings",
        "Sentences that show …",
        "Kinds of student tokens",
    ]
    assert f"cma {100 * probed.report.intervals.value[0, 0]:.1f}, 95 % CI" in labels[0]
    assert all(one.name in labels[1] for one in probed.report.by_phenomenon)


def test_pictures_follow_the_colours_of_the_page(page: str):
    css = page[page.index("<style>") : page.index("</style>")]
    pictures = "".join(drawn_in(page))
    assert not re.search("(fill|stroke): *#", pictures)
    for name in set(re.findall(r"var\((--[a-z0-9-]+)\)", pictures)):
        light, dark = re.findall(rf"{name}: (#[0-9a-f]{{6}});", css)
        assert light != dark


def test_ids_are_unique_and_found(probed: Probed):
    other = replace(probed, name="other")
    alone = replace(probed, report=replace(probed.report, origin=replace(probed.report.origin, gold_sha256="x")))
    page = to_html([probed, other, alone])
    ids = [attributes["id"] for _, attributes in Reader(page).tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    asked = re.findall(r'href="#([^"]+)"', page) + re.findall(r"url\(#([^)]+)\)", page)
    assert asked
    assert set(asked) <= set(ids)
    shown = [page.index(picture) > page.index('id="report-2"') for picture in drawn_in(page)]
    assert shown == [False] * 3 + [True] * 3  # of two together, and of one that stands alone


def test_of_many_the_highest_are_drawn(probed: Probed):
    counts = probed.report.counts.copy()
    counts[:, 0, COUNTS.index("top-1")] = 0
    lowest = replace(probed, report=replace(probed.report, counts=counts), name="lowest")
    page = to_html([lowest, *(replace(probed, name=f"run {n}") for n in range(MANY))])
    assert f"The pictures show the {MANY} of {MANY + 1} checkpoints" in page
    pictures = drawn_in(page)
    assert f"run {MANY - 1} " in pictures[0]
    assert "lowest" not in pictures[0]


def test_the_verdict_on_several_is_the_first_of_all(probed: Probed):
    other = replace(probed, report=replace(probed.report, counts=probed.report.counts[:, ::-1]), name="second")
    first = replace(probed, name="first")
    comparisons = compare_all({"first": probed.report, "second": other.report})
    page = to_html([first, other], Compared(comparisons))
    lead, *rest = verdict_of_several({"first": probed.report, "second": other.report}, comparisons, (), ())
    assert page.index(f"<strong>{lead}</strong> {rest[0]}") < page.index("<section")


def test_provenance(page: str, probed: Probed):
    origin = probed.report.origin
    for text in (origin.gold_sha256, *(sha for _, sha in (*origin.files, *origin.tables)), "seed 0"):
        assert text in page
    assert "probe-align --pairs &lt;gold&gt;" in page
    assert f"numpy {dict(origin.versions)['numpy']}" in page


def test_nothing_is_fetched(page: str):
    read = Reader(page)
    assert not {"link", "img", "iframe", "object", "embed", "audio", "video", "source", "base"} & {
        t for t, _ in read.tags
    }
    for _, attributes in read.tags:
        assert not {"src", "srcset", "action", "data", "poster", "background"} & attributes.keys()
        assert (attributes.get("href") or "#").startswith("#")  # marks of a picture, which repeat one shape
    policy = next(attributes for tag, attributes in read.tags if tag == "meta" and "http-equiv" in attributes)
    assert policy["content"] is not None
    assert policy["content"].startswith("default-src 'none'")
    css = page[page.index("<style>") : page.index("</style>")]
    assert not re.search(r"url\(|@import|@font-face", css)
    for code in (css, read.scripts[1]):
        assert not re.search(r"https?://|fetch\(|XMLHttpRequest|import\(|innerHTML", code)


def test_no_text_becomes_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    row, map_ = nasty(tmp_path)
    out = tmp_path / "page.html"
    arguments = ["--pairs", str(tmp_path / "<b>.tsv"), "--maps", str(tmp_path / "<style>.npz"), "--html", str(out)]
    assert main(arguments) == 0
    read = Reader(out.read_text(encoding="utf-8"))
    assert [tag for tag, _ in read.tags if tag in ("script", "style", "title", "b")] == [
        "title",
        "style",
        "b",
        "script",
        "script",
    ]
    assert read.sentences[NASTY][0] == f"{NASTY} {NASTY} code"
    assert read.maps[0][0]["student"] == list(map_.student_labels)
    assert row.text == NASTY


def test_each_checkpoint_has_a_section(probed: Probed):
    other = replace(probed, report=replace(probed.report, origin=replace(probed.report.origin, checkpoint="other")))
    read = Reader(to_html([probed, other]))
    assert [a["id"] for tag, a in read.tags if tag == "section"] == ["report-0", "report-1"]
    assert [len(maps) for maps in read.maps] == [len(probed.drawn)] * 2
    ids = [a["id"] for _, a in read.tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_other_rows_are_refused(probed: Probed):
    with pytest.raises(MapError, match=f"expected the {len(probed.drawn)} sentences of the report; got"):
        Probed(probed.report, probed.drawn[1:])
    (row, _), (_, foreign), *rest = probed.drawn
    with pytest.raises(MapError, match=f"row {row.id}: expected a map with the tokens of the row"):
        Probed(probed.report, ((row, foreign), probed.drawn[1], *rest))


def test_the_command_writes_a_page_of_links_that_were_given(tmp_path: Path):
    row = read_pairs(GOLD).rows[0]
    gold, links, out = tmp_path / "gold.tsv", tmp_path / "theirs.pharaoh", tmp_path / "page.html"
    probe.write_pairs(gold, [row])
    links.write_text(" ".join(f"{i}-{j}" for i, j in sorted(row.links.either)) + "\n")
    assert main(["--pairs", str(gold), "--maps", str(links), "--html", str(out)]) == 0
    report = align_maps(given_maps(links, read_pairs(gold)), read_pairs(gold))
    assert Reader(out.read_text(encoding="utf-8")).sentences[row.id][2] == f"{100 * figures(report, 'top-1')[0]:.1f}"


def test_a_place_that_cannot_be_written_to_is_told_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--pairs", str(GOLD), "--html", str(tmp_path / "no" / "page.html")]) == 2
    assert capsys.readouterr().out == ""


def test_several_are_compared_at_the_end(probed: Probed):
    other = replace(probed, report=replace(probed.report, counts=probed.report.counts[:, ::-1]))
    reports = {"first": probed.report, "second": other.report}
    comparisons = compare_all(reports)
    steps = [replace(by_step, steps=count) for count, by_step in enumerate([step("early"), step("late")])]
    methods = compare_methods({"cma": {"a": probed.report}, "cla": {"b": other.report}})
    text = to_html([probed, other], Compared(comparisons, steps, methods))
    read = Reader(text)
    assert [a["id"] for tag, a in read.tags if tag == "section"][-1] == "compared"
    value, low, high = map(as_float, comparisons[0].figures[0].difference)
    for words in (
        f"<td>{100 * value:+.1f}<small>[{100 * low:+.1f}, {100 * high:+.1f}]</small>",
        "second minus first",
        "cla minus cma, over 1 pairs of training seeds",
        "This is about checkpoints: a statement about methods needs at least 5 pairs of seeds.",
        "late",
    ):
        assert words in text
    assert 'id="compared"' not in to_html([probed], Compared())


def step(checkpoint: str) -> Step:
    return Step(checkpoint, 0, Estimate(0.5, 0.4, 0.6), Estimate(0.1, 0.0, 0.2), 0.3, 0.1, 0.2, 0.6)


def test_triples_have_a_table_of_their_own(probed: Probed, page: str):
    assert bool(probed.report.by_triple) == ("<h3>Triples</h3>" in page)
    marked = replace(probed.report, triples=tuple(Mark(f"T{n // 3}", KINDS[n % 3]) for n in range(len(probed.drawn))))
    shown = to_html([replace(probed, report=marked)])
    value = 100 * marked.by_triple[0].top_1[0]
    assert "<h3>Triples</h3>" in shown
    assert f"<td>{value:.1f}</td>" in shown[shown.index("<h3>Triples</h3>") :]
