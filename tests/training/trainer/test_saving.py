"""Checkpoints: whole or not there. Killed runs are in test_trainer."""

import json
import os
import shutil
import string
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors import SafetensorError
from trainer_runs import Server, assert_same_bits, command, content, environment, leftovers, save_pair, write_recipe

from probe.errors import OutputError
from probe.training.data.rows import read_rows
from probe.training.evaluation import rouge
from probe.training.evaluation.generate import GenerationSettings, generate
from probe.training.evaluation.likelihood import predicted
from probe.training.evaluation.respond import load_model
from probe.training.recipe import read_recipe
from probe.training.trainer.run import train
from probe.training.trainer.saving import FILES, METRICS, Saver, checkpoints, newest_complete, whole_directory


def alone() -> None:
    """What a process waits for if there is no other."""


def write(run: Path, step: int, *, score: float | None = None, text: str = "weights") -> Path:
    target = run / f"checkpoint-{step}"
    with whole_directory(target, is_main=True, wait=alone) as place:
        (place / "student").mkdir()
        (place / "student" / "model").write_text(text)
        (place / "state").write_text(str(step))
        if score is not None:
            (place / METRICS).write_text(json.dumps({"bits_per_byte": score}))
    return target


def saver(keep_last: int = 1, keep_best: int = 1) -> Saver:
    return Saver(
        recipe={},
        describe=lambda *_: None,
        scores=None,
        tokenizer_files=(),
        trains_student=True,
        trains_table=True,
        keep_last=keep_last,
        keep_best=keep_best,
    )


def steps(run: Path) -> list[int]:
    return [int(path.name.partition("-")[2]) for path in checkpoints(run)]


# Writing


def test_a_whole_directory_lists_its_files_with_their_sizes(tmp_path: Path):
    target = write(tmp_path, 3)
    assert json.loads((target / FILES).read_text()) == {"state": 1, "student/model": 7}
    assert os.listdir(tmp_path) == ["checkpoint-3"]


def test_nothing_has_the_targets_name_before_all_is_written(tmp_path: Path):
    with whole_directory(tmp_path / "checkpoint-3", is_main=True, wait=alone) as place:
        (place / "state").write_text("3")
        assert place.parent == tmp_path
        assert newest_complete(Path("elsewhere")).path is None
        assert not (tmp_path / "checkpoint-3").exists()


def test_processes_wait_for_the_place_and_for_each_other(tmp_path: Path):
    """One that is not the main one makes no directory, renames none, and waits as often."""
    waits = {True: 0, False: 0}
    for is_main in (True, False):

        def count(is_main: bool = is_main) -> None:
            waits[is_main] += 1

        with whole_directory(tmp_path / f"{is_main}", is_main=is_main, wait=count) as place:
            assert place.is_dir() == is_main
    assert waits[True] == waits[False] > 0
    assert os.listdir(tmp_path) == ["True"]


@pytest.mark.parametrize("error", [ValueError("something else"), KeyError("a")])
def test_an_error_inside_leaves_nothing_and_stays_itself(tmp_path: Path, error: Exception):
    write(tmp_path, 1)

    def fail() -> None:
        with whole_directory(tmp_path / "checkpoint-2", is_main=True, wait=alone) as place:
            (place / "state").write_text("2")
            raise error

    with pytest.raises(type(error)) as caught:
        fail()
    assert caught.value is error
    assert os.listdir(tmp_path) == ["checkpoint-1"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        SafetensorError("Error while serializing: IoError(Os { code: 28, kind: StorageFull })"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
    ],
)
def test_a_full_disk_is_said_to_be_one_whoever_notices(tmp_path: Path, error: Exception):
    write(tmp_path, 1)
    with (
        pytest.raises(OutputError, match=r"checkpoint-2.*room") as caught,
        whole_directory(tmp_path / "checkpoint-2", is_main=True, wait=alone),
    ):
        raise error
    assert len(caught.value.problems) == 1
    assert os.listdir(tmp_path) == ["checkpoint-1"]


def test_an_older_directory_of_the_name_and_remains_are_replaced(tmp_path: Path):
    write(tmp_path, 1, text="old")
    remains = tmp_path / ".checkpoint-1.partial"
    remains.mkdir()
    (remains / "stray").write_text("")
    target = write(tmp_path, 1, text="new weights")
    assert (target / "student" / "model").read_text() == "new weights"
    assert "stray" not in (target / FILES).read_text()
    assert os.listdir(tmp_path) == ["checkpoint-1"]


# Reading


def test_the_newest_complete_checkpoint_is_found_by_number(tmp_path: Path):
    for step in (2, 10, 9):
        write(tmp_path, step)
    assert newest_complete(tmp_path) == (tmp_path / "checkpoint-10", ())
    assert newest_complete(tmp_path / "none") == (None, ())


def break_missing(path: Path) -> str:
    (path / "student" / "model").unlink()
    return "student/model is missing"


def break_short(path: Path) -> str:
    (path / "state").write_text("")
    return "state has 0 bytes, not 1"


def break_long(path: Path) -> str:
    (path / "state").write_text("123")
    return "state has 3 bytes, not 1"


def break_list(path: Path) -> str:
    (path / FILES).unlink()
    return f"no readable {FILES}"


def break_half_list(path: Path) -> str:
    (path / FILES).write_text('{"state": 1, "stu')
    return f"no readable {FILES}"


def break_other_list(path: Path) -> str:
    (path / FILES).write_text("[1, 2]")
    return f"no readable {FILES}"


def break_bytes_of_list(path: Path) -> str:
    (path / FILES).write_bytes(b"\xff\xfe\x00")
    return f"no readable {FILES}"


BREAKS = [
    break_missing,
    break_short,
    break_long,
    break_list,
    break_half_list,
    break_other_list,
    break_bytes_of_list,
]


@pytest.mark.parametrize("damage", BREAKS)
def test_a_damaged_checkpoint_is_skipped_and_named(tmp_path: Path, damage):
    for step in (1, 2, 3):
        write(tmp_path, step)
    reasons = [damage(tmp_path / f"checkpoint-{step}") for step in (2, 3)]
    found = newest_complete(tmp_path)
    assert found.path == tmp_path / "checkpoint-1"
    assert found.skipped == (f"checkpoint-3: {reasons[1]}", f"checkpoint-2: {reasons[0]}")


def test_a_checkpoint_with_other_bytes_of_the_same_size_is_skipped_and_named(tmp_path: Path):
    for step in (1, 2):
        write(tmp_path, step)
    (tmp_path / "checkpoint-2" / "student" / "model").write_text("weighty")
    found = newest_complete(tmp_path)
    assert found == (tmp_path / "checkpoint-1", ("checkpoint-2: student/model is not as it was written",))


def test_other_things_in_the_directory_are_no_checkpoints(tmp_path: Path):
    write(tmp_path, 4)
    for name in ("checkpoint-x", "checkpoint-7.old", "checkpoint-", "my-checkpoint-9"):
        (tmp_path / name).mkdir()
    (tmp_path / "recipe.json").write_text("{}")
    (tmp_path / "checkpoint-4" / "notes").write_text("a file more")
    assert newest_complete(tmp_path) == (tmp_path / "checkpoint-4", ())
    assert (tmp_path / "checkpoint-7.old").is_dir()


def test_a_file_called_like_a_checkpoint_is_none(tmp_path: Path):
    write(tmp_path, 1)
    (tmp_path / "checkpoint-2").write_text("")
    found = newest_complete(tmp_path)
    assert found.path == tmp_path / "checkpoint-1"
    assert [line.partition(":")[0] for line in found.skipped] == ["checkpoint-2"]


def test_remains_of_an_interrupted_one_are_removed(tmp_path: Path):
    write(tmp_path, 1)
    shutil.copytree(tmp_path / "checkpoint-1", tmp_path / ".checkpoint-2.partial")
    assert newest_complete(tmp_path) == (tmp_path / "checkpoint-1", ())
    assert os.listdir(tmp_path) == ["checkpoint-1"]


# Rotation


@pytest.mark.parametrize(
    ("last", "best", "stay"),
    [(1, 1, [2, 5]), (2, 1, [2, 4, 5]), (1, 2, [2, 3, 5]), (1, 0, [5]), (3, 3, [2, 3, 4, 5]), (9, 0, [1, 2, 3, 4, 5])],
)
def test_the_last_and_the_best_stay(tmp_path: Path, last: int, best: int, stay: list[int]):
    for step, score in enumerate((5.0, 1.0, 2.0, 3.0, 4.0), start=1):
        write(tmp_path, step, score=score)
    kept = saver(last, best).rotate(tmp_path)
    assert sorted(kept) == checkpoints(tmp_path)
    assert steps(tmp_path) == stay
    assert not leftovers(tmp_path)


def test_without_scores_the_last_stay(tmp_path: Path):
    for step in (9, 10, 11):
        write(tmp_path, step)
    saver(keep_last=2, keep_best=2).rotate(tmp_path)
    assert steps(tmp_path) == [10, 11]


@pytest.mark.parametrize("damage", BREAKS)
def test_a_damaged_checkpoint_is_not_the_last_one_that_stays(tmp_path: Path, damage):
    """A run that skipped it is now before it; were it kept instead, a kill would leave nothing to go on from."""
    for step in (1, 2, 4):
        write(tmp_path, step)
    damage(tmp_path / "checkpoint-4")
    saver(keep_last=1, keep_best=0).rotate(tmp_path)
    assert newest_complete(tmp_path).path == tmp_path / "checkpoint-2"


def test_an_unreadable_score_is_no_reason_to_stop(tmp_path: Path):
    for step in (1, 2, 3):
        write(tmp_path, step, score=float(step))
    (tmp_path / "checkpoint-3" / METRICS).write_text("")
    saver(keep_last=1, keep_best=1).rotate(tmp_path)
    assert newest_complete(tmp_path).path is not None


def test_a_score_that_is_no_number_is_never_the_best(tmp_path: Path):
    for step, score in enumerate((float("nan"), 2.0, 1.0, float("nan"), 3.0), start=1):
        write(tmp_path, step, score=score)
    saver(keep_last=1, keep_best=1).rotate(tmp_path)
    assert steps(tmp_path) == [3, 5]


# Which is best


def keep_by(name: str, run: Path, *scores: dict[str, float]) -> list[int]:
    for step, several in enumerate(scores, start=1):
        path = write(run, step, score=0.0)
        (path / METRICS).write_text(json.dumps(several))
        sizes = json.loads((path / FILES).read_text()) | {METRICS: (path / METRICS).stat().st_size}
        (path / FILES).write_text(json.dumps(sizes))
    replace(saver(keep_last=1, keep_best=1), keep_by=name).rotate(run)
    return steps(run)


def test_rouge_is_best_when_high_and_bits_per_byte_when_low(tmp_path: Path):
    scores = [
        {"bits_per_byte": 2.0, "rouge_l": 9.0},
        {"bits_per_byte": 1.0, "rouge_l": 5.0},
        {"bits_per_byte": 3.0, "rouge_l": 30.0},
        {"bits_per_byte": 2.5, "rouge_l": 7.0},
    ]
    assert keep_by("rouge_l", tmp_path / "rouge", *scores) == [3, 4]
    assert keep_by("bits_per_byte", tmp_path / "bits", *scores) == [2, 4]


def test_a_checkpoint_without_the_figure_is_never_the_best(tmp_path: Path):
    scores = [{"bits_per_byte": 1.0}, {"rouge_l": float("nan")}, {"rouge_l": 0.0}, {"rouge_l": float("inf")}, {}]
    assert keep_by("rouge_l", tmp_path, *scores) == [3, 5]


def test_a_run_kept_by_rouge_writes_it_and_keeps_the_checkpoint_that_has_most(place: Path, tmp_path: Path):
    """Figures are those of the stored student, scored by hand; decoding is the recipe's, without its n-gram rule."""
    shutil.copytree(place / "data", tmp_path / "data")
    words = " ".join([*string.ascii_lowercase, *string.digits, "the", "re", "te", "of", "le"])  # what noise may meet
    (tmp_path / "data" / "dev.jsonl").write_text(
        "".join(json.dumps({"prompt": f"{n}\n", "output": words}) + "\n" for n in range(6))
    )
    decoding = {"seeds": [7, 8], "max_prompt": 24, "max_length": 48, "no_repeat_ngram_size": 2, "batch_size": 3}
    parts = {
        "data": {"source": str(tmp_path / "data")},
        "objective": {"method": "sft"},
        "teacher": {"source": None},
        "training": {"steps": 4, "save_every": 1, "keep_by": "rouge_l", "keep_last": 4, "learning_rate": 0.01},
    }
    recipe = content(place, **parts) | {"evaluation": decoding}
    (run,) = read_recipe(str(write_recipe(tmp_path / "a.toml", recipe))).runs()
    train(run, tmp_path / "run", say=lambda _: None)
    dev = read_rows(run.data, run.seed).dev
    settings = GenerationSettings(max_prompt=24, max_length=48)
    found: dict[int, float] = {}
    for path in checkpoints(tmp_path / "run"):
        metrics = json.loads((path / METRICS).read_text())
        model, tokenizer = load_model(path / "student")
        said = generate(model, tokenizer, [row.prompt for row in dev], settings, batch_size=4, seed=7)
        assert metrics["rouge_l"] == rouge.score(said, [[row.output] for row in dev]).rouge_l
        bits = predicted(model, tokenizer, dev, max_length=60).bits_per_byte
        assert metrics["bits_per_byte"] == pytest.approx(bits, rel=1e-6)
        found[int(path.name.partition("-")[2])] = metrics["rouge_l"]
    assert list(found) == [1, 2, 3, 4]
    assert len(set(found.values())) > 1, "figures that are all alike would prove nothing"
    replace(saver(keep_last=1, keep_best=1), keep_by="rouge_l").rotate(tmp_path / "run")
    assert set(steps(tmp_path / "run")) == {max(found, key=found.__getitem__), 4}


# A full disk


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pair(tmp_path_factory.mktemp("pair"))


def messages(log: str) -> list[str]:
    return [line for line in log.splitlines() if line.startswith("probe-train: ")]


def test_where_no_file_can_grow_a_run_stops_with_one_message_and_goes_on_later(
    place: Path, server: Server, tmp_path: Path
):
    """Limits at which the student, the projectors, and the optimizer's state are the first that do not fit."""
    training = {"steps": 3, "save_every": 1, "keep_last": 2}
    recipe = write_recipe(tmp_path / "tiny.toml", content(place, training=training))
    whole = server.train(recipe, tmp_path / "whole")
    sizes = json.loads((whole.with_name("checkpoint-2") / FILES).read_text())
    assert sizes["student/model.safetensors"] < sizes["optimizer.pt"]
    run = tmp_path / "run"
    run.mkdir()
    first = server.start(recipe, run)
    assert first.kill_when(lambda: (run / "checkpoint-1").is_dir())
    earlier = newest_complete(run).path
    assert earlier is not None
    for limit in (3000, 8192, sizes["student/model.safetensors"] + 1000, sizes["optimizer.pt"] - 100):
        ended = server.run(recipe, run, limit=limit)
        assert ended.code == 2, ended.log
        (message,) = messages(ended.log)
        assert "room for a checkpoint" in message
        assert "Traceback" not in ended.log
        assert newest_complete(run) == (earlier, ())
        assert not leftovers(run)
    assert_same_bits(whole, server.train(recipe, run))


def can_mount() -> bool:
    unshare = shutil.which("unshare")
    test = [str(unshare), "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return unshare is not None and subprocess.run(test, capture_output=True, check=False).returncode == 0


needs_mount = pytest.mark.skipif(not can_mount(), reason="a small disk can be mounted only in a namespace of one's own")


@needs_mount
@pytest.mark.slow
def test_on_a_full_disk_a_run_stops_with_one_message_and_goes_on_with_more_room(place: Path, tmp_path: Path):
    recipe = write_recipe(tmp_path / "tiny.toml", content(place, training={"steps": 3, "save_every": 1}))
    disk = tmp_path / "disk"
    disk.mkdir()
    run = " ".join(command(recipe, disk / "run"))
    # The first checkpoint fits, the second does not while the first is there.
    script = f"""
    mount -t tmpfs -o size=300k tmpfs {disk}
    {run} > {tmp_path}/first 2>&1; echo $? > {tmp_path}/code
    ls -A {disk}/run > {tmp_path}/files
    mount -o remount,size=10m {disk}
    {run} > {tmp_path}/second 2>&1 && cp -r {disk}/run/checkpoint-3 {tmp_path}/
    """
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], env=environment(PROBE_CACHE=str(tmp_path / "cache")), check=False
    )
    assert done.returncode == 0, (tmp_path / "second").read_text()
    first = (tmp_path / "first").read_text()
    assert (tmp_path / "code").read_text() == "2\n", first
    (message,) = messages(first)
    assert "room for a checkpoint" in message
    assert "Traceback" not in first
    assert (tmp_path / "files").read_text().split() == ["checkpoint-1", "recipe.json", "run.lock"]
    assert "going on from checkpoint-1" in (tmp_path / "second").read_text()
    whole = subprocess.run(command(recipe, tmp_path / "whole"), env=environment(), capture_output=True, check=True)
    assert_same_bits(Path(whole.stdout.decode().splitlines()[-1]), tmp_path / "checkpoint-3")


def test_a_place_that_is_a_file_is_one_message(place: Path, tmp_path: Path, server: Server):
    recipe = write_recipe(tmp_path / "tiny.toml", content(place))
    (tmp_path / "run").write_text("")
    ended = server.run(recipe, tmp_path / "run")
    assert ended.code == 2, ended.log
    assert len(messages(ended.log)) == 1


@needs_mount
@pytest.mark.slow
def test_a_full_disk_of_the_teachers_cache_is_one_message_too(place: Path, tmp_path: Path):
    """A memory map on a full disk ends in a signal without a word, unless its room was taken before."""
    recipe = write_recipe(tmp_path / "tiny.toml", content(place))
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"mount -t tmpfs -o size=16k tmpfs {disk} && {' '.join(command(recipe, tmp_path / 'run'))}"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        env=environment(PROBE_CACHE=str(disk)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert len(messages(done.stderr)) == 1
    assert "Traceback" not in done.stderr
