"""Stages: nothing twice, nothing stale, and what fails or is killed takes no other with it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from trainer_runs import environment

from probe.errors import OutputError, Problem, TrainingError
from probe.output.locks import LOCK
from probe.training.stages import NOTE, TROUBLE, Outcome, Stage, Store


class Works:
    """Makes stages, and remembers which of them worked; those of ``failing`` raise instead."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.failing: dict[str, BaseException] = {}

    def stage(self, name: str, inputs: Mapping[str, Any] | None = None, needs: tuple[Stage, ...] = ()) -> Stage:
        def make(place: Path) -> None:
            self.made.append(name)
            with (place / "result").open("a") as file:
                file.write(f"{name}\n")
            if name in self.failing:
                raise self.failing[name]

        return Stage(name, {} if inputs is None else inputs, make, needs)

    def diamond(self, **inputs: Any) -> list[Stage]:
        """A base, two that need it, one that needs both, and one apart."""
        given = {name: {"of": name, "value": inputs.get(name)} for name in ("base", "left", "right", "top", "apart")}
        base = self.stage("base", given["base"])
        left, right = (self.stage(name, given[name], (base,)) for name in ("left", "right"))
        top = self.stage("top", given["top"], (left, right))
        return [base, left, right, top, self.stage("apart", given["apart"])]


@pytest.fixture
def works() -> Works:
    return Works()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def run(store: Store, stages: list[Stage]) -> dict[str, str]:
    """States by name; what is told on the way is what comes back."""
    told: list[Outcome] = []
    with store.held():
        outcomes = store.run(stages, told.append)
    assert outcomes == told
    return {outcome.stage.name: outcome.state for outcome in outcomes}


def files(directory: Path) -> dict[str, tuple[bytes, int, int]]:
    """Content, time and number of each file but the lock."""
    found = (file for file in directory.rglob("*") if file.is_file() and file.name != LOCK)
    return {str(f.relative_to(directory)): (f.read_bytes(), f.stat().st_mtime_ns, f.stat().st_ino) for f in found}


# Nothing twice, nothing stale


def test_a_second_run_makes_nothing_and_touches_nothing(works: Works, store: Store):
    stages = works.diamond()
    assert run(store, stages) == dict.fromkeys(("base", "left", "right", "top", "apart"), "made")
    before = files(store.directory)
    assert len(before) == 10
    assert run(store, works.diamond()) == dict.fromkeys(("base", "left", "right", "top", "apart"), "kept")
    assert works.made == ["base", "left", "right", "top", "apart"]
    assert files(store.directory) == before


def test_a_kept_stage_says_when_it_was_made_and_at_what_cost(works: Works, store: Store):
    (first,), (second,) = (store_run(store, [works.stage("a")]) for _ in range(2))
    assert (first.state, second.state) == ("made", "kept")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", str(first.finished))
    assert (first.finished, first.seconds) == (second.finished, second.seconds)
    assert first.trouble is second.trouble is None


def store_run(store: Store, stages: list[Stage]) -> list[Outcome]:
    with store.held():
        return store.run(stages, lambda _: None)


@pytest.mark.parametrize(
    ("changed", "again"),
    [
        ("base", ["base", "left", "right", "top"]),
        ("left", ["left", "top"]),
        ("right", ["right", "top"]),
        ("top", ["top"]),
        ("apart", ["apart"]),
    ],
)
def test_a_changed_input_makes_the_stage_and_those_that_need_it_and_no_other(
    works: Works, store: Store, changed: str, again: list[str]
):
    run(store, works.diamond())
    works.made.clear()
    states = run(store, works.diamond(**{changed: "new"}))
    assert works.made == [name for name, state in states.items() if state == "made"] == again
    # What was made before is still there: the old inputs find it.
    works.made.clear()
    assert set(run(store, works.diamond()).values()) == {"kept"}
    assert works.made == []


def test_the_digest_is_of_content_and_not_of_order_or_name(works: Works):
    one = works.stage("a", {"x": 1, "y": {"b": [1, 2], "a": None}})
    assert works.stage("a", {"y": {"a": None, "b": [1, 2]}, "x": 1}).digest == one.digest
    assert re.fullmatch("[0-9a-f]{64}", one.digest)
    for other in ({"x": 1, "y": {"b": [2, 1], "a": None}}, {"x": 1.5, "y": {"b": [1, 2], "a": None}}, {"x": 1}, {}):
        assert works.stage("a", other).digest != one.digest
    assert works.stage("a", {"é": "\u2028"}).digest != works.stage("a", {"e": "\u2028"}).digest
    needing = [works.stage("n", {}, needs) for needs in ((), (one,), (works.stage("a", {"x": 2}),))]
    assert len({stage.digest for stage in needing}) == 3


def test_another_version_of_the_package_makes_all_anew(works: Works, monkeypatch: pytest.MonkeyPatch):
    before = works.stage("a").digest
    monkeypatch.setattr("probe.training.stages.__version__", "99")
    assert works.stage("a").digest != before


def test_two_stages_of_one_digest_are_both_told(works: Works, store: Store):
    """As two variants are that change nothing: the outcome of one must not stand for the other."""
    stages = [works.stage("a"), works.stage("b")]
    works.failing["a"] = ValueError("no")
    assert stages[0].digest == stages[1].digest
    found = store_run(store, stages)
    assert [outcome.stage.name for outcome in found] == ["a", "b"]
    assert found[0].state == "failed"


# Failures


def test_a_failed_stage_takes_those_that_need_it_and_no_other(works: Works, store: Store):
    works.failing["left"] = ValueError("no such luck\nand more")
    with store.held():
        outcomes = {o.stage.name: o for o in store.run(works.diamond(), lambda _: None)}
    assert {name: o.state for name, o in outcomes.items()} == {
        "base": "made",
        "left": "failed",
        "right": "made",
        "top": "not reached",
        "apart": "made",
    }
    assert outcomes["left"].trouble == "ValueError: no such luck"
    assert outcomes["top"].trouble == "needs left"
    assert "top" not in works.made
    place = store.place(outcomes["left"].stage)
    assert "no such luck\nand more" in (place / TROUBLE).read_text()
    assert "Traceback" in (place / TROUBLE).read_text()
    assert not (place / NOTE).exists()


def test_what_fails_takes_those_far_off_too(works: Works, store: Store):
    works.failing["base"] = ValueError("no")
    states = run(store, works.diamond())
    assert states == {"base": "failed", "left": "not reached", "right": "not reached", "top": "not reached"} | {
        "apart": "made"
    }


def test_the_next_run_tries_again_and_forgets_the_trouble(works: Works, store: Store):
    works.failing["left"] = ValueError("no")
    run(store, works.diamond())
    works.made.clear()
    assert run(store, works.diamond())["left"] == "failed"
    assert works.made == ["left"]
    works.failing.clear()
    works.made.clear()
    assert run(store, works.diamond()) == {"base": "kept", "left": "made", "right": "kept", "top": "made"} | {
        "apart": "kept"
    }
    assert works.made == ["left", "top"]
    assert not list(store.directory.rglob(TROUBLE))


def test_errors_of_the_project_are_told_in_their_own_words(works: Works, store: Store):
    works.failing["a"] = TrainingError(Problem("here", "this", "that", "Mend it."), Problem("there", "", "", ""))
    (outcome,) = store_run(store, [works.stage("a")])
    assert outcome.trouble == "here: expected this; got that. Mend it."


def test_an_error_without_words_has_its_kind(works: Works, store: Store):
    works.failing["a"] = MemoryError()
    (outcome,) = store_run(store, [works.stage("a")])
    assert outcome.state == "failed"
    assert "MemoryError" in str(outcome.trouble)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interrupted_stage_ends_the_run_and_finds_later_what_it_left(
    works: Works, store: Store, kind: type[BaseException]
):
    works.failing["left"] = kind()
    stages = works.diamond()
    with pytest.raises(kind):
        run(store, stages)
    assert works.made == ["base", "left"]
    place = store.place(stages[1])
    assert [file.name for file in place.iterdir()] == ["result"]
    works.failing.clear()
    assert run(store, works.diamond())["base"] == "kept"
    assert (place / "result").read_text() == "left\nleft\n"
    assert works.made == ["base", "left", "left", "right", "top", "apart"]


# The directory


def test_a_second_run_in_the_same_directory_is_refused(works: Works, store: Store):
    other = Store(store.directory)
    with store.held():
        with (
            pytest.raises(OutputError, match=r"expected one run at a time; got another at work.*another directory"),
            other.held(),
        ):
            raise AssertionError("two are in")
        run(Store(store.directory.with_name("elsewhere")), [works.stage("a")])
    with other.held():
        assert other.run([works.stage("a")], lambda _: None)[0].state == "made"


def test_another_process_is_refused_and_a_killed_one_leaves_no_lock(works: Works, store: Store):
    code = (
        f"from pathlib import Path; from probe.training.stages import Store\n"
        f"with Store(Path({str(store.directory)!r})).held():\n    print('in', flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "in\n"
    try:
        with pytest.raises(OutputError, match="another at work"), store.held():
            raise AssertionError("two are in")
    finally:
        other.kill()
        other.communicate()
    assert run(store, [works.stage("a")]) == {"a": "made"}


@pytest.mark.parametrize(
    "name",
    ["..", "../up", "/etc/passwd", "a b/c\\d", "naïve café", "京都", "", "CON", "a\nb", "-rf", "x" * 300],
)
def test_a_stage_of_any_name_lies_in_the_directory(works: Works, store: Store, name: str):
    stage = works.stage(name, {"name": name})
    assert run(store, [stage]) == {name: "made"}
    assert store.place(stage).parent == store.directory
    assert [path for path in store.directory.iterdir() if path.is_dir()] == [store.place(stage)]
    assert re.fullmatch(r"[a-z0-9-]*", store.place(stage).name)
    assert json.loads((store.place(stage) / NOTE).read_text(encoding="utf-8"))["name"] == name
    assert run(store, [works.stage(name, {"name": name})]) == {name: "kept"}


def test_names_that_look_alike_are_apart(works: Works, store: Store):
    stages = [works.stage(name, {"name": name}) for name in ("a b", "a-b", "A_B", "a/b")]
    assert len({store.place(stage) for stage in stages}) == 4


def test_a_note_says_what_the_stage_depends_on(works: Works, store: Store):
    base, left, *_ = stages = works.diamond(left="é")
    run(store, stages)
    note = json.loads((store.place(left) / NOTE).read_text(encoding="utf-8"))
    assert (note["digest"], note["inputs"]) == (left.digest, {"of": "left", "value": "é"})
    assert note["needs"] == {"base": base.digest}


def block_file(directory: Path) -> Path:
    (directory / "file").write_text("")
    return directory / "file"


def block_below_a_file(directory: Path) -> Path:
    return block_file(directory) / "store"


def block_foreign(directory: Path) -> Path:
    """Nobody may write there, not even root."""
    return Path("/proc") if os.path.isdir("/proc") else block_file(directory)


@pytest.mark.parametrize("block", [block_file, block_below_a_file, block_foreign])
def test_a_directory_that_cannot_be_written_to_is_one_message(tmp_path: Path, block: Any):
    place = block(tmp_path)
    with (
        pytest.raises(OutputError, match=rf"{re.escape(str(place))}.*: expected a place to write to"),
        Store(place).held(),
    ):
        raise AssertionError("it is held")
