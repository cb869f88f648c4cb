"""What the explorer's page is told of a map that is written out here, by a bench that holds nothing else."""

import io
from dataclasses import dataclass, replace

import numpy as np
import pytest
from matplotlib import image as plt_image

from probe.errors import MapError, Problem
from probe.gold.rows import GoldRow
from probe.maps import AttentionMap
from probe.plots.style import DARK, LIGHT
from probe.tokens import TokenizedText
from probe.widgets.exploration import Choice, Found, Method, Ranked, answer, open_exploration
from probe.widgets.explorer_view import LARGEST_WEIGHT, POSSIBLE, SURE, TOP, fixed, static_picture, top_tokens, view
from probe.widgets.widgets import Explorer

STUDENT = TokenizedText.from_pieces("a cat sat", ["a", "Ġcat", "Ġs", "at"])
TEACHER = TokenizedText.from_pieces("a cat sat", ["a", "▁", "cat", "▁sat"])
GOLD = GoldRow("r-1", "s~t", STUDENT, TEACHER, frozenset({(0, 0), (1, 2)}), frozenset({(1, 1)}), (), "")
WEIGHTS = np.array(
    [
        [0.6, 0.1, 0.1, 0.1, 0.1],
        [0.3, 0.1, 0.2, 0.3, 0.1],
        [0.0, 0.0, 0.0, 1.0, 0.0],
        [0.2, 0.2, 0.2, 0.2, 0.2],
        [0.0, 0.0, 0.0, 0.0, 1.0],
    ]
)


@dataclass(frozen=True)
class Written:
    """A bench of one map, which draws every text but the empty one."""

    gold: GoldRow | None = GOLD
    checkpoints: tuple[str, ...] = ("one",)

    def methods(self, checkpoint: str, *, gold: bool) -> tuple[Method, ...]:
        return Method("cma", softmax=True), Method("chunk", softmax=False), Method("mask", True, "a mask")

    def ranked(self, checkpoint: str) -> tuple[Ranked, ...]:
        return () if self.gold is None else (Ranked(self.gold, 0.25),)

    def find(self, choice: Choice) -> Found:
        if not choice.text:
            raise MapError(Problem("sentence", "a text", "none", "Type one."))
        return Found(AttentionMap(choice.method, STUDENT, TEACHER, WEIGHTS), self.gold)


BEGIN = open_exploration(Written(), Choice("one", "a cat sat", "cma"))


def cells(value: bytes, kind: type) -> np.ndarray:
    return np.frombuffer(value, dtype=kind).reshape(WEIGHTS.shape)


def test_cells_go_as_bytes_row_by_row():
    told = view(BEGIN)
    np.testing.assert_array_equal(cells(told["weights"], np.dtype("<f4")), WEIGHTS.astype(np.float32))
    np.testing.assert_array_equal(cells(told["levels"], np.uint8), np.rint(255 * WEIGHTS))
    flags = cells(told["flags"], np.uint8)
    assert {(int(i), int(j)) for i, j in np.argwhere(flags & SURE)} == GOLD.sure
    assert {(int(i), int(j)) for i, j in np.argwhere(flags & POSSIBLE)} == GOLD.possible
    largest = WEIGHTS.max(axis=1, keepdims=True) == WEIGHTS
    np.testing.assert_array_equal(flags & LARGEST_WEIGHT > 0, largest)


def test_each_scale_has_its_shades():
    row = view(answer(BEGIN, "choose", {"scale": "row"}))
    np.testing.assert_array_equal(cells(row["levels"], np.uint8)[1], np.rint(255 * WEIGHTS[1] / 0.3))
    log = view(answer(BEGIN, "choose", {"scale": "log"}))
    assert cells(log["levels"], np.uint8)[2].tolist() == [0, 0, 0, 255, 0]
    assert cells(log["levels"], np.uint8)[0, 1] == round(255 * 3 / 4)
    assert (row["bar"], log["bar"][0]) == (["0", "1", "weight / largest of its row"], "≤ 10⁻⁴")


def test_the_largest_weights_of_a_row_are_ranked_and_links_are_never_left_out():
    assert view(BEGIN)["top"][1] == [(0, 1), (3, 1), (2, 3), (1, 4), (4, 4)]
    weights = np.array([np.arange(12, 0, -1.0), np.ones(12)]) / 78
    links = replace(GOLD, sure=frozenset({(0, 11), (0, 3)}), possible=frozenset({(0, 9)})).links
    first, second = top_tokens(weights, links)
    assert first == [*((j, j + 1) for j in range(TOP)), (9, 10), (11, 12)]
    assert second == [(j, 1) for j in range(TOP)]


def test_tokens_are_shown_and_named_with_their_bytes_and_ties():
    told = view(BEGIN)
    assert told["student"][1] == {"shown": "␣cat", "name": "student target 1 '␣cat', bytes 1–5", "tie": None}
    assert told["teacher"][4]["name"] == "teacher target 4 '⟨eos⟩', end of sequence"
    again = TokenizedText.from_pieces("a a", ["a", "Ġa"])
    twice = AttentionMap("cma", again, TokenizedText.from_pieces("a a", ["a", " ", "a"]), np.full((3, 4), 0.25))
    tied = view(replace(BEGIN, found=Found(twice, None)))
    assert [head["tie"] for head in tied["teacher"]] == [0, None, 0, None]


def test_gold_is_told_with_place_and_score():
    assert view(BEGIN)["gold"] == {"id": "r-1", "place": 0, "of": 1, "top_1": 0.25}
    bare = open_exploration(Written(None), BEGIN.choice)
    assert (view(bare)["gold"], fixed(bare)["gold"]) == (None, False)
    assert not cells(view(bare)["flags"], np.uint8).max() & (SURE | POSSIBLE)


def test_entropy_of_a_row_is_a_share_of_its_maximum():
    assert view(BEGIN)["entropy"][2:] == [0.0, 1.0, 0.0]


def test_colours_are_those_of_the_heatmaps():
    told = fixed(BEGIN)["palettes"]
    assert (told["light"]["map"], told["dark"]["map"]) == (LIGHT.sequential, DARK.sequential)
    assert (told["light"]["link"], told["dark"]["link"]) == (LIGHT.link, DARK.link)


def test_the_widget_answers_each_question_by_its_number():
    widget = Explorer(BEGIN)
    widget._hear(widget, {"do": "choose", "what": {"method": "chunk", "temperature": 2.0}, "id": "x-1"}, [])
    assert (widget.view["answers"], widget.view["method"], widget.map.method) == ("x-1", "chunk", "chunk")
    widget._hear(widget, {"do": "choose", "what": {"text": ""}, "id": "x-2"}, [])
    assert (widget.view["answers"], widget.view["stale"], widget.view["refused"]) == ("x-2", True, True)
    assert widget.view["message"] == "sentence: expected a text; got none. Type one."
    widget._hear(widget, {"do": "export", "what": "a.txt", "id": "x-3"}, [])
    assert widget.view["message"].startswith("export: expected a heatmap of what is chosen")


def test_a_title_names_the_temperature_where_there_is_one():
    hot = answer(BEGIN, "choose", {"temperature": 2.0})
    assert (BEGIN.title, hot.title) == ("one, cma", "one, cma, T = 2")
    assert answer(hot, "choose", {"method": "chunk"}).title == "one, chunk"


def test_beside_the_widget_stand_a_picture_and_a_line_of_text():
    widget = Explorer(BEGIN)
    bundle = widget._repr_mimebundle_()
    assert bundle is not None
    assert bundle[0].keys() == {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"}
    assert bundle[0]["text/plain"] == "<Explorer of one, cma: 'a cat sat'>" == repr(widget)
    assert plt_image.imread(io.BytesIO(static_picture(BEGIN))).shape[2] == 4


def test_a_long_text_is_cut_in_the_line():
    long = replace(BEGIN, shown=replace(BEGIN.shown, text="a cat sat " * 40))
    assert len(repr(Explorer(long))) < 100


@pytest.mark.parametrize("size", [47, 400])
def test_the_picture_of_a_long_text_shows_its_beginning_and_stays_small(size: int):
    text = TokenizedText.from_pieces("ab" * size, ["ab"] * size)
    rng = np.random.default_rng(0)
    weights = rng.random((size + 1, size + 1))
    found = Found(AttentionMap("cma", text, text, weights / weights.sum(axis=1, keepdims=True)), None)
    assert len(static_picture(replace(BEGIN, found=found))) < 300_000
