"""Tiny training runs: models, rows in DSKD's layout, recipes as TOML files, and processes that are killed."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from directories import TEXTS, save_model
from safetensors.numpy import load_file

from probe.checkpoints.checkpoint import Checkpoint, Scales, save_checkpoint
from probe.models.tokenizer import Tokenizer
from probe.projectors import STRUCTURES
from probe.training.criteria.projectors import Projectors
from probe.training.model_files import record_of
from probe.training.recipe import Recipe, read_recipe

TESTS = Path(__file__).parent
PROMPT = "### Response:\n"


def save_pair(place: Path) -> Path:
    """A student with dropout, one without, a teacher with another tokenizer and one with the student's, and rows."""
    save_model("gpt2", place / "student")
    save_model("llama", place / "teacher", seed=1)
    save_model("gpt2", place / "sibling", seed=2)
    save_model("gpt2", place / "steady")
    without_dropout(place / "steady")
    write_rows(place / "data", 24)
    return place


def without_dropout(directory: Path) -> None:
    file = directory / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}))


def rows(count: int) -> list[dict[str, str]]:
    return [{"prompt": f"{n}\n### Response:\n", "output": TEXTS[n % len(TEXTS)][: 9 + n]} for n in range(count)]


def write_rows(directory: Path, count: int, dev: int = 4) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, some in (("train", rows(count)), ("dev", rows(dev))):
        (directory / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    return directory


# Recipes


def content(place: Path, **parts: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe of two steps; ``parts`` are laid over it."""
    recipe: dict[str, Any] = {
        "name": "tiny",
        "student": {"source": str(place / "student")},
        "teacher": {"source": str(place / "teacher")},
        "data": {"source": str(place / "data"), "max_length": 60},
        "objective": {"method": "cma", "kq_hidden": 8},
        "training": {"steps": 2, "batch_size": 4, "log_every": 1},
    }
    for name, part in parts.items():
        recipe[name] = {key: value for key, value in (recipe[name] | part).items() if value is not None}
    return recipe


def write_recipe(file: Path, recipe: Mapping[str, Any]) -> Path:
    """As TOML; every value of a tiny recipe looks the same in JSON."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in recipe.items() if not isinstance(value, dict)]
    for name, part in recipe.items():
        if isinstance(part, dict):
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in part.items())]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")
    return file


def recipe_of(place: Path, file: Path, **parts: Mapping[str, Any]) -> Recipe:
    return read_recipe(str(write_recipe(file, content(place, **parts))))


# Checkpoints to start from


def save_start(place: Path, path: Path, names: Sequence[str], **changes: Any) -> Path:
    """A checkpoint of some projectors on the pair, drawn from a seed that no run has; its key scale is no estimate."""
    sides = [place / name for name in ("student", "teacher")]
    student, teacher = (record_of(str(side), Tokenizer.load(side), PROMPT) for side in sides)
    structures = {name: STRUCTURES[name] for name in names}
    projectors = Projectors(structures, student=16, teacher=24, seed=77).to_numpy()
    checkpoint = Checkpoint(
        name="attention",
        path=path,
        method="cma",
        criterion="query alone",
        steps=5,
        student=student,
        teacher=teacher,
        scales=Scales(key=0.375),
        prompt=PROMPT,
        projectors=projectors,
    )
    save_checkpoint(replace(checkpoint, **changes), path)
    return path


def started(place: Path, scratch: Path, start: Path | str, **parts: dict[str, Any]) -> Recipe:
    """A recipe that starts from a checkpoint."""
    objective = {"start": str(start), **parts.pop("objective", {})}
    return recipe_of(place, scratch / "tiny.toml", objective=objective, **parts)


# Processes


def environment(**more: str) -> dict[str, str]:
    # The code beside these tests is what is tested, wherever the package was installed from.
    places = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": places, **more}


def command(recipe: Path, out: Path) -> list[str]:
    """Of a run in a process of its own."""
    return [sys.executable, "-m", "probe.cli.train", str(recipe), "--out", str(out)]


class Ended(NamedTuple):
    """How a run ended, and all that it printed."""

    code: int
    log: str


class Run:
    """A run that is going on."""

    def __init__(self, server: "Server", pid: int, log: Path) -> None:
        self.server, self.pid, self.log = server, pid, log

    def end(self) -> Ended:
        """Wait for it."""
        return Ended(int(self.server.line()), self.log.read_text())

    def kill_when(self, condition: Callable[[], bool]) -> bool:
        """Kill it once the condition is true; whether it was still going on."""
        return self.signal_when(condition, signal.SIGKILL).code == -signal.SIGKILL

    def signal_when(self, condition: Callable[[], bool], number: signal.Signals) -> Ended:
        """Send it a signal once the condition is true, and wait for it."""
        deadline = time.monotonic() + 120
        while not condition() and time.monotonic() < deadline and not self.server.has_line():
            time.sleep(0.0005)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
        return self.end()


class Server:
    """`trainer_server` in a process of its own: runs start in it at once, and can be killed one by one."""

    def __init__(self, scratch: Path, cache: Path) -> None:
        self.scratch = scratch
        self.process = subprocess.Popen(
            [sys.executable, str(TESTS / "trainer_server.py")],
            env=environment(PROBE_CACHE=str(cache)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.line()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def has_line(self) -> bool:
        assert self.process.stdout is not None
        return bool(select.select([self.process.stdout], [], [], 0)[0])

    def start(self, recipe: Path, out: Path, *settings: str, **options: Any) -> Run:
        """Start a run; see `trainer_server` for ``options``."""
        return self.begin([str(recipe), *settings, "--out", str(out)], **options)

    def begin(self, argv: Sequence[str], **options: Any) -> Run:
        """Start any command; see `trainer_server` for ``options``."""
        assert self.process.stdin is not None
        log = self.scratch / "log"
        self.process.stdin.write(json.dumps({"argv": list(argv), "log": str(log), **options}) + "\n")
        self.process.stdin.flush()
        return Run(self, int(self.line()), log)

    def run(self, recipe: Path, out: Path, *settings: str, **options: Any) -> Ended:
        """Start a run and wait for its end."""
        return self.start(recipe, out, *settings, **options).end()

    def train(self, recipe: Path, out: Path, *settings: str) -> Path:
        """A run that must end well; returns its last checkpoint."""
        ended = self.run(recipe, out, *settings)
        assert ended.code == 0, ended.log
        return Path(ended.log.splitlines()[-1])

    def stop(self) -> None:
        self.process.communicate()


# What a run leaves


def weights(checkpoint: Path) -> dict[str, np.ndarray]:
    """Every tensor of a checkpoint: student or adapters, projectors, networks."""
    return {
        f"{file.relative_to(checkpoint)}:{key}": value
        for file in sorted(checkpoint.rglob("*.safetensors"))
        for key, value in load_file(file).items()
    }


def assert_same_bits(first: Path, second: Path) -> None:
    ours, theirs = weights(first), weights(second)
    assert ours.keys() == theirs.keys()
    assert ours
    for key, value in ours.items():
        np.testing.assert_array_equal(value, theirs[key], err_msg=key, strict=True)


def same_optimizer(first: Path, second: Path) -> bool:
    one, other = (torch.load(path / "optimizer.pt", weights_only=True)["state"] for path in (first, second))
    return all(torch.equal(state[key], other[n][key]) for n, state in one.items() for key in state)


def leftovers(run: Path) -> Sequence[str]:
    """Hidden files and directories: what an interrupted write would leave."""
    return sorted(path.name for path in run.rglob(".*"))
