"""What `probe.explore` computes: real checkpoints and real gold, without a browser."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from places import GOLD

import probe
from probe.alignment.methods import CMA_GRID, HALVES, RANDOM, REFERENCES, checkpoint_maps
from probe.attention import softmax
from probe.errors import CheckpointError, MissingExtraError, OutputError, PairsError
from probe.scoring.scores import METRICS, metrics, worst_first
from probe.widgets.bench import CheckpointBench, Desk
from probe.widgets.exploration import Choice, Exploration, choose, export, open_exploration, step

TEXT = "Return the path of the file; if the file is missing, raise an error."
DEMO = probe.load("demo")
CLA = probe.load("demo-cla")
ROWS = tuple(probe.fitting_rows(DEMO, probe.read_pairs(GOLD)))
BENCH = CheckpointBench({"demo": Desk(DEMO, ROWS[:12]), "demo-cla": Desk(CLA, ROWS[:12])})
ROW = ROWS[0]


def state(**changes: object) -> Exploration:
    return choose(open_exploration(BENCH, Choice("demo", TEXT, "cma")), changes)


def weights(**changes: object) -> np.ndarray:
    found = state(**changes)
    assert not found.refused, found.message
    return found.found.map.weights


def test_what_is_typed_is_attended_to_by_the_checkpoint_that_is_chosen():
    for name, open_ in (("demo", DEMO), ("demo-cla", CLA)):
        np.testing.assert_array_equal(weights(checkpoint=name), open_.map(*open_.tokenize(TEXT)).weights)
    assert np.abs(weights() - weights(checkpoint="demo-cla")).max() > 0.1


@pytest.mark.parametrize("temperature", [0.25, 4.0])
def test_temperature_divides_the_logits_of_a_softmax_and_leaves_the_others(temperature: float):
    student, teacher = DEMO.tokenize(TEXT)
    attention = DEMO.attend(student, teacher, DEMO.checkpoint.query)
    np.testing.assert_allclose(weights(temperature=temperature), softmax(attention.logits / temperature, axis=1))
    np.testing.assert_array_equal(weights(method="diagonal", temperature=temperature), weights(method="diagonal"))


@pytest.mark.parametrize("method", [CMA_GRID, *HALVES, RANDOM, *REFERENCES])
def test_every_method_draws_the_map_that_is_scored(method: str):
    own = checkpoint_maps(DEMO, ROWS[:12], None)(ROW)
    scored = REFERENCES[method](ROW) if method in REFERENCES else next(map_ for name, map_ in own if name == method)
    np.testing.assert_allclose(weights(text=ROW.text, method=method), scored.weights, rtol=1e-5)


def test_the_mask_of_cla_is_kept_at_any_temperature():
    masked = weights(checkpoint="demo-cla", text=ROW.text, method="cla mask", temperature=3.0)
    np.testing.assert_array_equal(masked > 0, REFERENCES["chunk"](ROW).weights > 0)
    np.testing.assert_allclose(masked.sum(axis=1), 1, rtol=1e-5)


def test_gold_comes_in_the_order_in_which_the_report_says_the_checkpoint_fails():
    ranked = Desk(DEMO, ROWS).ranked
    report = probe.align(DEMO, probe.read_pairs(GOLD), methods=["uniform"])
    hits = metrics(report.counts[:, 0])[:, METRICS.index("top-1")].tolist()
    assert [one.row.id for one in ranked] == [report.sentences[n] for n in worst_first(hits, report.sentences)]
    np.testing.assert_allclose([one.top_1 for one in ranked], sorted(hits))
    assert ranked[0].top_1 < ranked[-1].top_1


def test_a_sentence_without_sure_links_comes_last():
    assert worst_first([float("nan"), 0.5, 0.0, 0.5], ["a", "c", "d", "b"]) == [2, 3, 1, 0]


def test_steps_go_through_the_gold_rows_and_stop_at_the_ends():
    ranked = BENCH.ranked("demo")
    one = step(state(), 1)  # a text that somebody typed is before the first
    assert (one.place, one.found.gold, one.choice.text) == (0, ranked[0].row, ranked[0].row.text)
    assert step(one, -1).place == 0
    assert step(step(one, 1), 1).place == 2
    assert step(one, 99).place == len(ranked) - 1
    other = choose(one, {"checkpoint": "demo-cla"})
    assert other.found.gold == one.found.gold
    assert other.place == [one.row.id for one in BENCH.ranked("demo-cla")].index(ranked[0].row.id)


def test_two_gold_rows_of_one_sentence_are_both_stepped_to():
    twice = CheckpointBench({"demo": Desk(DEMO, (ROWS[0], replace(ROWS[0], id="second"), ROWS[1]))})
    one = open_exploration(twice, Choice("demo", "A file.", "cma"))
    seen = [one := step(one, 1) for _ in range(3)]
    assert {state.found.gold.id for state in seen if state.found.gold} == {ROWS[0].id, "second", ROWS[1].id}


def test_typing_a_gold_sentence_shows_its_links_and_typing_on_takes_them_away():
    typed = state(text=ROW.text)
    assert typed.found.gold == ROW
    more = choose(typed, {"text": f"{ROW.text} "})
    assert (more.found.gold, more.place, more.refused) == (None, None, False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"text": ""}, "at least one character"),
        ({"text": "\ud800"}, "surrogate pair"),
        ({"text": "a\n" * 400}, "fewer than 512 tokens on each side"),
        ({"method": "gold"}, "a sentence with gold links"),
        ({"method": "cla mask"}, "a checkpoint trained with CLA"),
    ],
)
def test_what_cannot_be_drawn_is_said_and_the_last_map_stays(changes: dict[str, str], said: str):
    before = state()
    refused = choose(before, changes)
    assert (refused.refused, refused.stale) == (True, True)
    assert said in refused.message
    assert (refused.found, refused.shown) == (before.found, before.choice)
    mended = choose(refused, {"text": ROW.text, "method": "cma"})
    assert (mended.refused, mended.stale, mended.message) == (False, False, "")


def test_the_longest_sentence_is_drawn():
    longest = weights(text="a\n" * 255)
    assert max(longest.shape) > 500


def test_without_gold_the_methods_that_need_some_say_so():
    bare = CheckpointBench({"demo": Desk(DEMO, ())})
    lacks = {method.name: method.lacks for method in bare.methods("demo", gold=False)}
    assert {name for name, lack in lacks.items() if not lack} == {
        *("cma", "cma-grid", "uniform", "diagonal", "lexical", "position-grid", "lexical-grid", "overlap", "chunk")
    }
    with pytest.raises(PairsError, match="gold=PATH"):
        step(open_exploration(bare, Choice("demo", TEXT, "cma")), 1)


def test_what_is_exported_is_the_figure_of_what_is_shown(tmp_path: Path):
    shown = state(text=ROW.text, temperature=2.0)
    done = export(shown, str(tmp_path / "ours.pdf"))
    assert (done.message, done.refused) == (f"Wrote {tmp_path}/ours.pdf.", False)
    probe.save_heatmap({"demo, cma, temperature 2": shown.found.map}, tmp_path / "theirs.pdf", gold=ROW)
    assert (tmp_path / "ours.pdf").read_bytes() == (tmp_path / "theirs.pdf").read_bytes()


@pytest.mark.parametrize(
    ("name", "said"), [("", "the name of a file"), ("a.txt", ".pdf"), ("no/where.pdf", "no folder")]
)
def test_what_cannot_be_exported_is_refused(name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(probe.ProbeError, match=said):
        export(state(), name)
    with pytest.raises(probe.ProbeError, match="an earlier choice"):
        export(state(text=""), "a.pdf")
    assert list(tmp_path.iterdir()) == []


def test_explore_begins_with_the_sentence_or_with_the_worst_gold_row():
    assert probe.explore().map.student.text == TEXT
    assert probe.explore(DEMO, text="A file.").map.student.text == "A file."
    widget = probe.explore(["demo", CLA], gold=GOLD)
    assert widget.state.bench.checkpoints == ("demo", "demo-cla")
    assert widget.view["gold"] == {"id": "demo-040", "place": 0, "of": 43, "top_1": pytest.approx(2 / 47)}
    assert probe.explore(gold=probe.read_pairs(GOLD), text="A file.").view["gold"] is None


def test_explore_refuses_what_it_cannot_open():
    with pytest.raises(CheckpointError, match="twice"):
        probe.explore(["demo", "demo"])
    with pytest.raises(CheckpointError, match="a checkpoint"):
        probe.explore([])
    with pytest.raises(probe.ProbeError, match="at least one character"):
        probe.explore(text="")
    with pytest.raises(OutputError, match=r"none\.ttf"):
        probe.explore(fonts=["none.ttf"])


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "probe.widgets.widgets", raising=False)
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(MissingExtraError, match=r"no anywidget.*cma-probe\[notebooks\]"):
        probe.explore()
