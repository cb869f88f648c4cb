import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle

import probe
from probe.gold.rows import HEADS, ROLES, GoldRow
from probe.widgets.annotation import (
    Annotation,
    clear,
    finish,
    go,
    jump,
    open_annotation,
    press,
    redo,
    save,
    set_note,
    set_suggest,
    toggle_head,
    toggle_tag,
    undo,
)
from probe.widgets.annotator_view import answer, picture, problems, view

COMMENT = "tokenizer a: kept as it is"


def row(id_: str) -> GoldRow:
    sides = [
        probe.TokenizedText.from_pieces("The cat sat.", pieces.split())
        for pieces in ("The Ġc at Ġsat .", "The Ġcat Ġs at .")
    ]
    return GoldRow(id_, "a~b", *sides, frozenset({(0, 0)}), frozenset(), (), "")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    probe.write_pairs(tmp_path / "gold.tsv", [row("r-1"), row("r-2")], [COMMENT])
    return tmp_path / "gold.tsv"


@pytest.fixture
def state(path: Path) -> Annotation:
    return open_annotation(path)


@pytest.fixture
def second(path: Path, tmp_path: Path) -> Path:
    probe.blank_pairs(path, tmp_path / "second.tsv")
    return tmp_path / "second.tsv"


def test_a_second_press_unlinks_and_another_kind_replaces(state: Annotation):
    one = press(state, (1, 1), "sure")
    assert one.row.links.kind((1, 1)) == "sure"
    assert press(one, (1, 1), "sure").row == state.row
    other = press(one, (1, 1), "possible")
    assert (other.row.sure, other.row.possible) == ({(0, 0)}, {(1, 1)})
    assert clear(other, (1, 1)).row == state.row
    with pytest.raises(probe.ProbeError, match="within 5 × 5 tokens"):
        press(state, (5, 0), "sure")


def test_undo_and_redo_go_to_the_row_of_the_act(state: Annotation):
    done = go(set_note(toggle_tag(press(state, (1, 1), "sure"), "split"), "why"), 1)
    back = undo(undo(undo(done)))
    assert (back.rows, back.current) == (state.rows, 0)
    assert redo(redo(redo(back))).rows == done.rows
    assert press(undo(done), (2, 1), "sure").future == ()
    assert undo(state).message == "There is nothing to undo."
    assert redo(done).message == "There is nothing to redo."
    assert set_note(state, "").past == ()


def test_rows_are_found_by_place_and_by_id(state: Annotation):
    assert [go(state, by).current for by in (-1, 0, 1, 9)] == [0, 0, 1, 1]
    assert jump(state, "r-2").current == 1
    with pytest.raises(probe.ProbeError, match="'r-3'"):
        jump(state, "r-3")


def test_saving_writes_all_rows_and_says_which(state: Annotation, path: Path):
    assert save(state).message == "Nothing to save: gold.tsv has all changes."
    done = save(toggle_tag(press(state, (1, 1), "sure"), "split"))
    assert done.message == "Saved gold.tsv: r-1 changed; 2 rows in total."
    read = probe.read_pairs(path)
    assert (read.rows, read.comments) == (done.rows, (COMMENT,))
    again = save(set_note(done, "more"))  # its own writing is no change by somebody else
    assert probe.read_pairs(path).rows == again.rows


@pytest.mark.parametrize("theirs", [b"other", None])
def test_a_file_that_changed_is_left_as_it_is(state: Annotation, path: Path, theirs: bytes | None):
    path.unlink() if theirs is None else path.write_bytes(theirs)
    told = answer(press(state, (1, 1), "sure"), {"do": "save"})
    assert told.refused
    assert "Nothing was written." in told.message
    assert (path.read_bytes() if path.exists() else None) == theirs
    assert [file.name for file in path.parent.iterdir()] == ([] if theirs is None else ["gold.tsv"])


def test_links_that_need_a_note_keep_the_file_from_being_written(state: Annotation, path: Path):
    before = path.read_bytes()
    odd = press(state, (0, 4), "sure")
    assert any("0-4" in problem for problem in problems(odd))
    assert answer(odd, {"do": "save"}).refused
    assert path.read_bytes() == before
    named = answer(set_note(odd, "0-4 stands for a test."), {"do": "save"})
    assert not named.refused
    assert probe.read_pairs(path).rows == named.rows


def test_good_rows_are_saved_and_a_bad_one_is_kept_as_a_draft_and_named(state: Annotation, path: Path):
    bad = press(state, (0, 4), "sure")
    both = press(jump(bad, "r-2"), (1, 1), "sure")
    done = answer(both, {"do": "save"})
    assert done.refused
    assert "Saved gold.tsv: r-2 changed" in done.message
    assert "r-1: expected sure links" in done.message
    assert f"{path.name}.draft.json" in done.message
    first, second = probe.read_pairs(path).rows
    assert (first.sure, second.sure) == ({(0, 0)}, {(0, 0), (1, 1)})
    assert done.changed == ("r-1",)
    again = open_annotation(path)  # as after the notebook was closed
    assert again.rows == done.rows
    assert again.changed == ("r-1",)
    assert "1 row is a draft: r-1" in again.message
    mended = answer(set_note(again, "0-4 stands for a test."), {"do": "save"})
    assert not mended.refused, mended.message
    assert probe.read_pairs(path).rows == mended.rows
    assert [file.name for file in path.parent.iterdir()] == ["gold.tsv"]


@pytest.mark.parametrize("draft", ["", "[]", '{"r-9": {}}', '{"r-1": {"sure": [[9, 9]]}}', '{"r-1": {"sure": 3}}'])
def test_a_draft_that_does_not_fit_is_left_alone(path: Path, draft: str):
    file = path.with_name(f"{path.name}.draft.json")
    file.write_text(draft)
    opened = open_annotation(path)
    assert not opened.changed
    assert save(press(opened, (1, 1), "sure")).saved[0].sure == {(0, 0), (1, 1)}
    assert file.read_text() == draft


def test_a_note_that_follows_from_a_rule_is_written_by_the_tool(tmp_path: Path):
    """The sure link of white space is the half rule's own; rule 6 wants it named."""
    text = "a\n b"
    sides = [
        probe.TokenizedText.from_pieces(text, pieces)
        for pieces in (["a", "\u010a", "\u0120b"], ["a", "\u010a", "\u0120", "b"])
    ]
    blank = GoldRow("r-1", "a~b", *sides, frozenset(), frozenset(), (), "mine.")
    probe.write_pairs(tmp_path / "gold.tsv", [blank])
    state = press(open_annotation(tmp_path / "gold.tsv", suggest="nothing"), (1, 1), "sure")
    done = answer(state, {"do": "save"})
    assert not done.refused, done.message
    assert done.row.note == "mine. Sure on white space, which is all that these pieces carry: 1-1."
    assert probe.read_pairs(tmp_path / "gold.tsv").rows == done.rows


def test_without_suggestions_nothing_tells_what_the_half_rule_would_link(state: Annotation):
    assert view(state)["suggested"]["1,1"] == "sure"
    assert problems(state)
    for less in ("1-1 chunks", "nothing"):
        blind = answer(state, {"do": "suggest", "what": less})
        assert (view(blind)["suggested"], problems(blind)) == ({}, [])
    with pytest.raises(probe.ProbeError, match="one of nothing, 1-1 chunks, half rule; got 'all'"):
        set_suggest(state, "all")


def test_chunks_of_one_token_are_filled_in_once_marked_and_taken_back(second: Path):
    opened = open_annotation(second)
    assert opened.row.sure == {(0, 0), (4, 4)}
    assert view(opened)["filled"] == ["0,0", "4,4"]
    assert view(clear(opened, (4, 4)))["filled"] == ["0,0"]
    back = undo(opened)
    assert not back.row.sure
    assert go(go(back, 1), -1).rows[0] == back.row  # filled in once, not again
    assert redo(go(go(back, 1), -1)).row == opened.row


def test_a_row_that_was_only_looked_at_is_not_saved(second: Path):
    looked = go(open_annotation(second), 1)
    assert looked.changed == ()
    assert view(looked)["progress"] == "row 2 of 2 · open chunks: 2 · 0 with links · 0 not saved"
    done = save(press(looked, (1, 1), "sure"))
    assert done.message == "Saved second.tsv: r-2 changed; 2 rows in total."
    assert view(done)["filled"] == []
    assert [one.sure for one in probe.read_pairs(second).rows] == [set(), {(0, 0), (1, 1), (4, 4)}]
    assert clear(go(done, -1), (0, 0)).changed == ("r-1",)


def test_enter_accepts_what_was_filled_in_saves_and_goes_on_unless_the_row_is_a_draft(second: Path):
    opened = open_annotation(second)
    done = finish(opened)
    assert (done.current, done.message) == (1, "Saved second.tsv: r-1 changed; 2 rows in total.")
    assert probe.read_pairs(second).rows[0].sure == {(0, 0), (4, 4)}
    last = finish(done)
    assert last.current == 1
    draft = finish(press(jump(last, "r-1"), (0, 4), "sure"))
    assert (draft.current, draft.refused) == (0, True)


def test_nothing_is_given_away_where_nothing_is_suggested(second: Path):
    opened = open_annotation(second, row="r-2", suggest="nothing")
    assert opened.rows == opened.saved
    assert (view(opened)["suggested"], view(opened)["filled"], problems(opened)) == ({}, [], [])
    assert go(opened, -1).rows == opened.saved


def test_a_second_reading_is_not_shown_the_half_rule_also_when_it_is_opened_again(path: Path, second: Path):
    assert open_annotation(path).suggest == "half rule"
    save(press(open_annotation(second), (1, 1), "sure"))
    assert open_annotation(second).suggest == "1-1 chunks"
    probe.blank_pairs(second, path.with_name("third.tsv"))
    comments = probe.read_pairs(path.with_name("third.tsv")).comments
    assert [comment for comment in comments if comment.startswith("second reading")] == [comments[-1]]


def test_open_chunks_are_those_that_need_a_link(state: Annotation):
    assert state.open_chunks == ((1, 1), (3, 2), (4, 4))
    assert press(state, (2, 1), "possible").open_chunks == ((3, 2), (4, 4))


def test_two_empty_tokens_are_neither_filled_in_nor_open(tmp_path: Path):
    empty = probe.TokenizedText.from_pieces("🙂", ["▁", "🙂"])
    probe.write_pairs(
        tmp_path / "gold.tsv", [GoldRow("r-1", "a~b", empty, empty, frozenset(), frozenset(), (), "")], [COMMENT]
    )
    opened = open_annotation(tmp_path / "gold.tsv")
    assert (opened.row.sure, opened.open_chunks) == ({(1, 1)}, ())
    assert undo(opened).open_chunks == ((1, 1),)


def test_a_word_has_one_head_which_is_a_sure_link(state: Annotation):
    word = replace(state.row, sure=frozenset({(1, 1), (2, 1)}), phenomena=(HEADS,))
    judged = replace(state, rows=(word, *state.rows[1:]))
    one = toggle_head(judged, (1, 1))
    assert view(one)["links"] == {"1,1": "head", "2,1": "sure"}
    assert toggle_head(one, (2, 1)).row.heads == {(2, 1)}
    assert toggle_head(one, (1, 1)).row == word
    assert press(one, (1, 1), "possible").row.heads == set()
    assert toggle_tag(one, "merge").row.phenomena == (HEADS, "merge")
    assert "one of the sure links 1-1 2-1" in answer(judged, {"do": "head", "student": 0, "teacher": 0}).message
    assert HEADS in answer(state, {"do": "head", "student": 0, "teacher": 0}).message


def test_a_draft_keeps_the_head_of_its_word(path: Path):
    word = replace(row("r-1"), phenomena=(HEADS,))
    probe.write_pairs(path, [word], [COMMENT])
    odd = press(toggle_head(open_annotation(path), (0, 0)), (0, 4), "sure")
    assert save(odd).refused
    assert open_annotation(path).rows == odd.rows


def test_tokens_without_a_place_have_no_chunks_and_nothing_suggested(path: Path):
    sides = [probe.TokenizedText.unplaced("Hi", pieces) for pieces in (["<s>", "Hi"], ["<bos>", "Hi"])]
    links = {"sure": frozenset({(1, 1)}), "possible": frozenset(), "roles": frozenset({(0, 0)})}
    dialogue = GoldRow("r-1", "a~b", *sides, phenomena=(ROLES,), note="", **links)
    probe.write_pairs(path, [dialogue, replace(dialogue, id="r-2", roles=frozenset(), sure=frozenset())], [COMMENT])
    shown = view(open_annotation(path))
    assert (shown["links"], shown["open"], shown["suggested"]) == ({"0,0": "role", "1,1": "sure"}, [], {})
    assert view(open_annotation(path, row="r-2"))["links"] == {}


def test_a_key_that_was_meant_for_the_row_before_changes_nothing(state: Annotation):
    late = {"do": "press", "student": 1, "teacher": 1, "kind": "sure", "row": "r-1"}
    assert answer(state, late).row.sure == {(0, 0), (1, 1)}
    assert answer(go(state, 1), late).rows == state.rows


def test_blank_rows_hold_nothing_of_the_first_reading(path: Path, tmp_path: Path):
    out = tmp_path / "second.tsv"
    probe.blank_pairs(path, out, ["r-2"])
    assert probe.read_pairs(out).rows == (replace(row("r-2"), sure=frozenset()),)
    with pytest.raises(probe.ProbeError, match="a new file"):
        probe.blank_pairs(path, out)
    with pytest.raises(probe.ProbeError, match="r-9"):
        probe.blank_pairs(path, tmp_path / "third.tsv", ["r-9"])


def test_the_widget_passes_intents_on(path: Path):
    widget = probe.annotate(path, row="r-2", suggest="nothing")
    widget._hear(widget, {"do": "press", "student": 1, "teacher": 1, "kind": "sure"}, [])
    assert widget.rows[1].sure == {(0, 0), (1, 1)}
    assert widget.view["links"] == {"0,0": "sure", "1,1": "sure"}
    assert widget.view["student"][1] == {"shown": "␣c", "name": "student 1 ' c'"}


Box = tuple[Any, ...]
"""Fill or frame, its row and column, and whether its line is dashed."""


def boxes(state: Annotation) -> set[Box]:
    (axes,) = picture(state).axes
    return {
        (
            "fill" if each.get_fill() else "frame",
            *(round(at) for at in each.get_center()[::-1]),
            each.get_linestyle() not in ("-", "solid"),
        )
        for each in axes.patches
        if isinstance(each, Rectangle)
    }


def test_the_picture_has_each_link_on_its_cell(state: Annotation):
    made = press(press(set_suggest(state, "nothing"), (1, 1), "possible"), (3, 2), "sure")
    assert boxes(made) == {("fill", 0, 0, False), ("frame", 1, 1, False), ("fill", 3, 2, False)}
    (axes,) = picture(made).axes
    labels = [[label.get_text() for label in names] for names in (axes.get_yticklabels(), axes.get_xticklabels())]
    assert labels == [list(made.row.student.display()), list(made.row.teacher.display())]


def test_the_picture_shows_suggestions_that_are_not_taken(state: Annotation):
    assert boxes(state) - boxes(set_suggest(state, "nothing")) == {
        ("frame", i, j, False) for i, j in ((1, 1), (2, 1), (3, 2), (3, 3), (4, 4))
    }
    assert ("frame", 1, 1, False) not in boxes(press(state, (1, 1), "sure"))


def test_a_notebook_is_given_the_widget_and_a_picture_that_do_not_change_from_run_to_run(path: Path):
    first, second = (probe.annotate(path) for _ in range(2))
    (data, _), (other, _) = first._repr_mimebundle_(), second._repr_mimebundle_()
    assert set(data) == {"text/plain", "image/png", "application/vnd.jupyter.widget-view+json"}
    assert data["text/plain"] == "<Annotator of gold.tsv, row r-1>"
    assert data["image/png"][:4] == b"\x89PNG"
    assert data["image/png"] == other["image/png"]
    numbers = [int(widget.model_id.removeprefix("probe-annotator-")) for widget in (first, second)]
    assert numbers[1] == numbers[0] + 1
    assert first.layout.model_id == f"{first.model_id}-layout"


def test_without_the_extra_the_error_names_it(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "probe.widgets.widgets", raising=False)
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(probe.ProbeError, match=r"no anywidget.*cma-probe\[notebooks\]"):
        probe.annotate(path)


def test_the_legend_of_the_picture_lies_within_it_and_below_the_grid(path: Path):
    sides = [
        probe.TokenizedText.from_pieces("The parser skips unknown tokens.", pieces.split())
        for pieces in (
            "The Ġparser Ġs k ip s Ġun k n own Ġto ken s .",
            "The Ġparser Ġ skip s Ġunknown Ġtoken s .",
        )
    ]
    probe.write_pairs(path, [GoldRow("r-3", "a~b", *sides, frozenset({(0, 0)}), frozenset(), (), "")], [COMMENT])
    figure = picture(open_annotation(path))
    FigureCanvasAgg(figure).draw()
    box = figure.legends[0].get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert 0 <= box.y0 < box.y1 <= figure.axes[0].get_window_extent().y0
