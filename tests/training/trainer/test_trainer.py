"""Runs over transformers' Trainer: every method, the same whatever cuts or kills it, and a clear end of wrong ones."""

import json
import math
import random
import shutil
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from safetensors.numpy import load_file, save_file
from torch.utils.data import BatchSampler
from trainer_runs import (
    TESTS,
    Server,
    assert_same_bits,
    command,
    content,
    environment,
    leftovers,
    recipe_of,
    rows,
    same_optimizer,
    save_pair,
    weights,
    write_recipe,
    write_rows,
)
from transformers import AutoModel, AutoModelForCausalLM

import probe
from probe.checkpoints.checkpoint import Checkpoint, load_checkpoint
from probe.checkpoints.loading import load
from probe.cli.train import main
from probe.models.tokenizer import Tokenizer
from probe.training.criteria.cma import attend, keys, queries
from probe.training.criteria.projectors import Projectors
from probe.training.criteria.settings import METHODS, Method
from probe.training.criteria.views import embed, response_positions
from probe.training.examples import epoch_batches, read_examples, tokenize
from probe.training.recipe import Recipe, read_recipe
from probe.training.teacher.states import teacher_states
from probe.training.trainer.batches import Collate, GlobalBatches
from probe.training.trainer.run import train
from probe.training.trainer.saving import FILES, METRICS, NETWORKS, checkpoints, newest_complete
from probe.training.trainer.setup import prepare
from probe.training.vocabulary_map import main as map_vocabularies

SAME_TOKENIZER = ("kd", "dskd")
SUMS: tuple[Method, ...] = ("sft", "kd", "dskd", "cma", "cla", "clp", "cma-ga", "cma-ct", "uld", "mined", "eta")
"""Methods whose losses are sums over tokens, critics as they are by default."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = save_pair(tmp_path_factory.mktemp("pair"))
    directories = [str(place / side) for side in ("student", "teacher")]
    assert map_vocabularies([*directories, "--out", str(place / "map.json"), "--workers", "1"]) == 0
    return place


def parts_of(place: Path, method: Method, **objective: Any) -> dict[str, dict[str, Any]]:
    """What the recipe of a method needs."""
    parts: dict[str, dict[str, Any]] = {"objective": {"method": method, **objective}}
    if method in SAME_TOKENIZER:
        parts["teacher"] = {"source": str(place / "sibling")}
    if method == "sft":
        parts["teacher"] = {"source": None}
    if method == "mined":
        parts["objective"]["vocabulary_map"] = str(place / "map.json")
    return parts


def base_weights(directory: Path) -> dict[str, np.ndarray]:
    return load_file(directory / "model.safetensors")


# Every method


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_and_leaves_a_checkpoint(place: Path, tmp_path: Path, method: Method):
    recipe = recipe_of(place, tmp_path / "tiny.toml", **parts_of(place, method))
    last = train(recipe, tmp_path / "run", say=lambda _: None)
    assert last == tmp_path / "run" / "checkpoint-2"
    assert newest_complete(tmp_path / "run") == (last, ())
    assert not leftovers(tmp_path / "run")
    assert Recipe.model_validate_json((tmp_path / "run" / "recipe.json").read_text()) == recipe
    before, after = base_weights(place / "student"), base_weights(last / "student")
    assert before.keys() == after.keys()
    assert all(np.isfinite(value).all() for value in after.values())
    assert all((before[key] != after[key]).any() for key in before if key.endswith("weight"))
    AutoModelForCausalLM.from_pretrained(last / "student")
    assert Tokenizer.load(last / "student").encode("the") == Tokenizer.load(place / "student").encode("the")
    assert (last / NETWORKS).is_file() == (method in ("cma-ga", "cma-ct"))
    if method == "sft":
        return
    stored = load_checkpoint(last)
    assert set(stored.projectors) == set(METHODS[method].projectors)
    assert (stored.method, stored.steps, stored.recipe["sha256"]) == (method, 2, recipe.digest())
    drawn = Projectors({name: p.structure for name, p in stored.projectors.items()}, student=16, teacher=24, seed=10)
    for name, projector in stored.projectors.items():
        if method != "dskd":  # whose teacher is as wide as its student
            start = drawn.to_numpy()[name].tensors["0.weight"]
            assert start.shape == projector.tensors["0.weight"].shape
            assert (start != projector.tensors["0.weight"]).any(), name


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("method", ["sft", "dskd", "cma", "cma-ga", "cma-ct", "uld", "mined", "eta"])
def test_methods_train_in_bfloat16(place: Path, server: Server, tmp_path: Path, method: Method, kept: bool):
    parts = parts_of(place, method)
    parts["teacher"] = parts.get("teacher", {}) | {"cached": kept}
    recipe = write_recipe(tmp_path / "a.toml", content(place, training={"precision": "bfloat16"}, **parts))
    last = server.train(recipe, tmp_path / "run")
    stored = weights(last)
    assert all(np.isfinite(value).all() for value in stored.values())
    assert all(value.dtype == np.float32 for value in stored.values())


@pytest.fixture(scope="module")
def cma(place: Path, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last checkpoint of a run of cma, with projectors alone after each step beside it."""
    directory = tmp_path_factory.mktemp("cma")
    training = {"steps": 6, "projector_learning_rate": 0.1, "save_projectors_every": 2, "save_every": 3}
    return server.train(write_recipe(directory / "a.toml", content(place, training=training)), directory / "run")


def test_the_probe_of_a_checkpoint_draws_the_attention_that_training_computed(place: Path, cma: Path):
    stored = load_checkpoint(cma)
    opened = load(str(cma))
    projectors = Projectors({"query": stored.query.structure}, student=16, teacher=24, seed=0)
    with torch.no_grad():
        for key, tensor in projectors["query"].tensors.items():
            tensor.copy_(torch.from_numpy(stored.query.tensors[key]))
    # Four rows at once: their padding must not be seen.
    examples = read_examples(place / "data" / "train.jsonl")[:4]
    tokens = []
    for directory in (cma / "student", place / "teacher"):
        tokenizer, model = Tokenizer.load(directory), AutoModelForCausalLM.from_pretrained(directory)
        encoded = [tokenize(example, tokenizer, max_length=60) for example in examples]
        tokens.append(embed(model.get_input_embeddings(), response_positions(encoded)))
    student, teacher = tokens
    with torch.no_grad():
        attention = attend(queries(student, projectors), keys(teacher, stored.scales), student.mask, teacher.mask)
    for row, example in enumerate(examples):
        found = opened.map(*opened.tokenize(example.output)).weights
        trained = attention.over_teacher[row].numpy()
        assert found.shape == (student.mask[row].sum(), teacher.mask[row].sum())
        np.testing.assert_allclose(found, trained[: found.shape[0], : found.shape[1]], atol=1e-6)
        assert np.ptp(found, axis=1).max() > 0.1


def test_projectors_alone_are_checkpoints_that_can_be_probed(cma: Path):
    alone = sorted((cma.parent / "projectors").iterdir())
    assert [path.name for path in alone] == ["step-0", "step-2", "step-4", "step-6"]
    half, full = load(str(alone[-1])), load(str(cma))
    first, second = (opened.map(*opened.tokenize("the path of the file")).weights for opened in (half, full))
    np.testing.assert_allclose(first, second, atol=2e-2)
    tensors = load_file(alone[0] / "projectors.safetensors")
    assert all(value.dtype == np.float16 for value in tensors.values())
    assert not (alone[0] / "optimizer.pt").exists()


def test_bits_per_byte_are_those_of_the_stored_student_on_the_dev_rows(place: Path, cma: Path):
    model = AutoModelForCausalLM.from_pretrained(cma / "student").eval()
    tokenizer = Tokenizer.load(place / "student")
    examples = read_examples(place / "data" / "dev.jsonl")
    nats = 0.0
    for example in examples:
        encoded = tokenize(example, tokenizer, max_length=60)
        labels = torch.from_numpy(encoded.ids.copy())
        labels[: encoded.response_start] = -100
        with torch.no_grad():
            mean = model(torch.from_numpy(encoded.ids)[None], labels=labels[None]).loss.item()
        nats += mean * len(encoded.targets)
    size = sum(len(example.output.encode()) for example in examples)
    found = json.loads((cma / METRICS).read_text())["bits_per_byte"]
    assert found == pytest.approx(nats / math.log(2) / size, rel=1e-5)


def test_a_teacher_that_runs_at_every_step_teaches_what_a_cached_one_does(place: Path, tmp_path: Path):
    found = []
    for cached in (True, False):
        parts: dict[str, Any] = {"teacher": {"cached": cached}, "student": {"source": str(place / "steady")}}
        recipe = recipe_of(place, tmp_path / "a.toml", **parts)
        found.append(weights(train(recipe, tmp_path / f"{cached}", say=lambda _: None)))
    for key, value in found[0].items():
        np.testing.assert_allclose(value, found[1][key], atol=2e-4, err_msg=key)


# The same gradients, however a batch is cut


def test_parts_and_processes_share_the_rows_of_each_step():
    lengths = np.random.default_rng(0).integers(1, 60, 45).tolist()
    for epoch in range(3):
        sampler = GlobalBatches(lengths, 8, seed=3)
        sampler.epoch = epoch
        order = list(sampler)
        assert len(order) == len(sampler) == len(set(order)) == 40
        steps = [set(order[i : i + 8]) for i in range(0, 40, 8)]
        assert steps == [set(rows) for rows in epoch_batches(lengths, 8, 3, epoch) if len(rows) == 8]
        for processes in (1, 2, 4):
            for micro in (1, 2, 8 // processes):
                accumulated = 8 // processes // micro
                shards = [
                    iter(BatchSamplerShard(BatchSampler(sampler, micro, drop_last=False), processes, rank))
                    for rank in range(processes)
                ]
                seen = [{row for shard in shards for part in islice(shard, accumulated) for row in part} for _ in steps]
                assert seen == steps


def test_rows_that_fill_no_batch_wait_for_another_epoch():
    sampler = GlobalBatches([5] * 11, 4, seed=0)
    seen = set()
    for epoch in range(20):
        sampler.epoch = epoch
        seen |= set(sampler)
    assert seen == set(range(11))
    assert len(sampler) == 8


def gradients(
    place: Path, directory: Path, ways: dict[str, list[str]], runs: dict[str, dict[str, dict[str, Any]]]
) -> dict[str, dict[str, torch.Tensor]]:
    """The first gradient of each run, batch of 8, in each way of starting it."""
    found: dict[str, dict[str, torch.Tensor]] = {name: {} for name in runs}
    for way, starter in ways.items():
        settings = {"micro_batch_size": 2} if way == "accumulated" else {}
        training = {"batch_size": 8, "steps": 1, "clip": 1e30, "critic_clip": 1e30} | settings
        tasks = []
        for name, parts in runs.items():
            whole = content(place, student={"source": str(place / "steady")}, training=training, **parts)
            recipe = write_recipe(directory / way / f"{name}.toml", whole)
            tasks.append([str(recipe), str(directory / way / name), str(directory / way / f"{name}.pt")])
        (directory / f"{way}.json").write_text(json.dumps(tasks))
        done = subprocess.run(
            [*starter, str(TESTS / "trainer_gradients.py"), str(directory / f"{way}.json")],
            env=environment(PROBE_CACHE=str(directory / "cache")),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        for name, (_, _, file) in zip(runs, tasks, strict=True):
            stored = torch.load(file, weights_only=True)
            assert stored["processes"] == (2 if way == "two processes" else 1)
            found[name][way] = stored["gradient"].double()
    return found


def distance(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return ((ours - theirs).norm() / theirs.norm()).item()


LAUNCH = Path(probe.__file__).parent / "training" / "launch" / "one-node.yaml"
ACCELERATE = [str(Path(sys.executable).with_name("accelerate")), "launch", "--config_file", str(LAUNCH)]
ACCELERATE += ["--dynamo_backend", "no", "--main_process_port", "0"]


@pytest.mark.slow
def test_one_batch_four_parts_and_two_processes_have_the_same_gradients(place: Path, tmp_path: Path):
    """For sums over tokens. A control, the released critic and scales of a batch are means over whatever is at hand."""
    runs = {method: parts_of(place, method) for method in SUMS}
    others = {
        "reference": parts_of(place, "cma", reference=True),
        "norm-only": parts_of(place, "cma-ga", critic="norm-only"),
        "released": parts_of(place, "cma-ga", critic="released", reference=True),
    }
    ways = {"whole": [sys.executable], "accumulated": [sys.executable], "two processes": ACCELERATE}
    found = gradients(place, tmp_path, ways, runs | others)
    for name, of in found.items():
        assert of["whole"].norm() > 0
        for way in ("accumulated", "two processes"):
            apart = distance(of[way], of["whole"])
            assert (apart > 1e-4) if name in others else (apart <= 1e-5), (name, way, apart)


# Killed runs


def parts_of_run(kind: str) -> dict[str, dict[str, Any]]:
    """Runs of 24 steps over 4 epochs, dropout on."""
    training: dict[str, Any] = {"steps": 22, "save_every": 4, "warmup_steps": 3}
    match kind:
        case "epochs":
            return {"training": {"steps": None, "epochs": 3, "micro_batch_size": 2}}
        case "lora":
            return {"student": {"train": "lora"}, "training": training}
        case "body":
            return {"student": {"train": "body"}, "objective": {"method": "cma-ct"}, "training": training}
        case _:
            return {"objective": {"method": "cma-ga"}, "training": training | {"micro_batch_size": 2}}


def shown(log: str) -> list[str]:
    """What lines of progress say, without what depends on the clock."""
    return [line.rsplit(", ", 2)[0] for line in log.splitlines() if line.startswith("step ")]


def history(checkpoint: Path) -> list[dict[str, float]]:
    return json.loads((checkpoint / "trainer_state.json").read_text())["log_history"]


@pytest.mark.parametrize("every", [1, 5, 10])
def test_a_resumed_log_is_that_of_a_run_that_was_never_stopped(place: Path, server: Server, tmp_path: Path, every: int):
    """Averages are of the steps since the last line, also of those that were taken before the run was stopped."""
    training = {"steps": 22, "save_every": 4, "log_every": every, "micro_batch_size": 2}
    parts = {"objective": {"method": "cma-ga"}, "training": training}
    recipe = write_recipe(tmp_path / "a.toml", content(place, **parts))
    whole = server.run(recipe, tmp_path / "whole")
    going = server.start(recipe, tmp_path / "run")
    assert going.kill_when(lambda: (tmp_path / "run" / "checkpoint-12").is_dir())
    last = newest_complete(tmp_path / "run").path
    assert last is not None
    resumed = server.run(recipe, tmp_path / "run")
    assert shown(resumed.log) == [line for line in shown(whole.log) if step_of(line) > int(last.name[11:])]
    ours, theirs = (history(tmp_path / name / "checkpoint-22") for name in ("run", "whole"))
    assert ours == theirs
    assert len(ours) == 22 // every


def step_of(line: str) -> int:
    return int(line.removeprefix("step ").partition("/")[0])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["steps", "epochs", "lora", "body"])
def test_a_run_killed_at_random_steps_and_while_saving_ends_with_the_same_bits(
    place: Path, server: Server, tmp_path: Path, kind: str
):
    recipe = write_recipe(tmp_path / "a.toml", content(place, **parts_of_run(kind)))
    whole, run = server.train(recipe, tmp_path / "whole"), tmp_path / "run"
    chance = random.Random(kind)
    kills = 0
    for step in sorted(chance.sample(range(1, 18), 3)):
        going = server.start(recipe, run)
        kills += going.kill_when(lambda step=step, going=going: f"step {step + 1}/" in going.log.read_text())
        going = server.start(recipe, run)
        kills += going.kill_when(lambda: any(run.glob(".checkpoint-*.partial")))
    assert kills >= 4
    last = server.train(recipe, run)
    assert last.name == whole.name
    assert_same_bits(whole, last)
    assert not leftovers(run)


@pytest.mark.slow
def test_a_run_killed_between_every_two_files_ends_with_the_same_bits(place: Path, server: Server, tmp_path: Path):
    """Killed after the first file that it writes, after the second, and so on: at its start, then from save to save."""
    parts = parts_of_run("steps") | {"training": {"steps": 14, "save_every": 1, "keep_best": 0, "keep_last": 2}}
    recipe = write_recipe(tmp_path / "a.toml", content(place, **parts))
    whole, run = server.train(recipe, tmp_path / "whole"), tmp_path / "run"
    files = json.loads((whole.with_name("checkpoint-13") / FILES).read_text())
    for count in (1, 2, 3, len(files) + 8):
        assert server.run(recipe, run, kill_at=count, watch=str(run)).code == -signal.SIGKILL
    assert newest_complete(run).path is not None
    sizes: set[int] = set()
    for count in range(1, len(files) + 8):
        ended = server.run(recipe, run, kill_at=count, watch=str(run))
        assert ended.code == -signal.SIGKILL, ended.log
        for half in run.glob(".checkpoint-*.partial"):
            sizes.add(sum(file.is_file() for file in half.rglob("*")))
    # The list of files and their digests are not on that list. Two files at most appear without a word from Python.
    assert len(set(range(len(files) + 3)) - sizes) <= 2
    assert len(checkpoints(run)) <= 3
    for count in (1, 2, 9, 17):
        ended = server.run(recipe, run, kill_at=count, gone=True, watch=str(run))
        assert ended.code == -signal.SIGKILL, ended.log
        assert newest_complete(run).path is not None
    last = server.train(recipe, run)
    assert last.name == whole.name
    assert_same_bits(whole, last)
    assert same_optimizer(*(checkpoints(one)[0] for one in (whole.parent, run)))


def test_ctrl_c_says_how_to_go_on_and_from_which_step(place: Path, server: Server, tmp_path: Path):
    recipe = write_recipe(tmp_path / "a.toml", content(place, training={"steps": 5000, "save_every": 4}))
    run = tmp_path / "run"
    ended = server.start(recipe, run).signal_when(lambda: "step 1/" in log_of(server), signal.SIGINT)
    assert ended.code == 130, ended.log
    assert ended.log.splitlines()[-1] == "probe-train: stopped; the same command begins again: nothing was saved yet"
    ended = server.start(recipe, run).signal_when(lambda: (run / "checkpoint-4").is_dir(), signal.SIGINT)
    assert ended.code == 130, ended.log
    last = newest_complete(run).path
    assert last is not None
    line = f"probe-train: stopped; the same command goes on from step {last.name[11:]}"
    assert ended.log.splitlines()[-1] == line
    assert "Traceback" not in ended.log


def log_of(server: Server) -> str:
    log = server.scratch / "log"
    return log.read_text() if log.is_file() else ""


def test_a_second_run_into_the_same_directory_is_refused(
    place: Path, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    recipe = write_recipe(tmp_path / "a.toml", content(place, training={"steps": 5000, "save_every": 1}))
    going = server.start(recipe, tmp_path / "run")
    while not (tmp_path / "run" / "checkpoint-1").is_dir():
        time.sleep(0.01)
    said = messages(capsys, str(recipe), "--out", str(tmp_path / "run"))
    assert going.kill_when(lambda: True), going.end().log
    assert f"{tmp_path / 'run'}: expected one run at a time; got another at work. Wait for it" in said


def test_what_a_kill_left_beside_the_projectors_is_swept(place: Path, server: Server, tmp_path: Path):
    parts = {"training": {"steps": 6, "save_projectors_every": 1, "save_every": 3}}
    recipe, run = write_recipe(tmp_path / "a.toml", content(place, **parts)), tmp_path / "run"
    killed = 0
    for _ in range(4):
        killed += server.start(recipe, run).kill_when(lambda: any((run / "projectors").glob(".step-*")))
    assert killed
    others = [run / "projectors" / name for name in (".notes", ".mine.abcdefgh")]
    for other in others:
        other.mkdir()
    (run / ".recipe.json.abcd_123.json").write_text("{")
    server.train(recipe, run)
    assert leftovers(run) == sorted(other.name for other in others)


def test_clipped_gradients_of_a_critic_are_the_same_bits_in_every_run(place: Path, server: Server, tmp_path: Path):
    """A norm is a sum, whose rounding depends on the order of parameters."""
    parts = {"objective": {"method": "cma-ct"}, "training": {"steps": 6, "critic_clip": 1e-3}}
    recipe = write_recipe(tmp_path / "a.toml", content(place, **parts))
    first, *others = (server.train(recipe, tmp_path / f"run-{number}") for number in range(4))
    for other in others:
        assert_same_bits(first, other)


@pytest.mark.parametrize("training", [{"steps": 4}, {"steps": 6}, {"steps": None, "epochs": 1}])
def test_a_run_that_is_done_stays_as_it_is(place: Path, server: Server, tmp_path: Path, training: dict[str, Any]):
    """In the middle of an epoch of six steps, and at its end. Its last checkpoint has nothing to go on with."""
    recipe = write_recipe(tmp_path / "a.toml", content(place, training=training | {"save_every": 1, "keep_last": 2}))
    last = server.train(recipe, tmp_path / "run")
    to_go_on = {"optimizer.pt", "scheduler.pt", "rng_state.pth", "averages-0.pt"}
    before_last, at_last = (set(json.loads((path / FILES).read_text())) for path in checkpoints(last.parent))
    assert before_last - at_last == to_go_on
    before = sorted((str(path), path.stat().st_mtime_ns) for path in last.parent.rglob("*"))
    assert server.train(recipe, tmp_path / "run") == last
    assert sorted((str(path), path.stat().st_mtime_ns) for path in last.parent.rglob("*")) == before


def test_the_last_step_is_saved_once(place: Path, server: Server, tmp_path: Path):
    """The second time, a whole checkpoint would be taken away before its likeness stands in its place."""
    recipe = write_recipe(tmp_path / "a.toml", content(place, training={"steps": None, "epochs": 1}))
    ended = server.run(recipe, tmp_path / "run", renames=str(tmp_path / "renames"))
    assert ended.code == 0, ended.log
    renamed = [Path(line).name for line in (tmp_path / "renames").read_text().splitlines()]
    assert renamed.count("checkpoint-6") == 1


def test_damaged_checkpoints_are_skipped_and_named(place: Path, server: Server, tmp_path: Path):
    training = {"steps": 5, "save_every": 1, "keep_last": 4}
    recipe = write_recipe(tmp_path / "a.toml", content(place, training=training))
    whole = server.train(recipe, tmp_path / "whole")
    run = tmp_path / "run"
    shutil.copytree(whole.parent, run)
    (run / "checkpoint-5" / "projectors.safetensors").write_bytes(b"")
    (run / "checkpoint-4" / "student" / "model.safetensors").unlink()
    ended = server.run(recipe, run)
    assert ended.code == 0, ended.log
    assert "skipped checkpoint-5: projectors.safetensors has 0 bytes" in ended.log
    assert "skipped checkpoint-4: student/model.safetensors is missing" in ended.log
    assert "going on from checkpoint-3" in ended.log
    assert_same_bits(whole, run / "checkpoint-5")


# Rows that no method of links can use


def unspelled(place: Path, directory: Path) -> dict[str, dict[str, Any]]:
    """A student that drops accents, and rows of which the second has one, which its tokens do not spell."""
    write_rows(directory, 12)
    rows = [json.loads(line) for line in (directory / "train.jsonl").read_text().splitlines()]
    plain = [{key: value.encode("ascii", "ignore").decode() for key, value in row.items()} for row in rows]
    plain[1] = {"prompt": "a", "output": "a naïve menu"}
    (directory / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in plain))
    student = directory.with_name("plain-student")
    shutil.copytree(place / "student", student)
    tokenizer = json.loads((student / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]}
    (student / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    return {"data": {"source": str(directory)}, "student": {"source": str(student)}}


@pytest.mark.parametrize("method", ["cla", "clp", "eta"])
def test_a_row_that_cannot_be_linked_is_named_when_data_are_read(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], method: Method
):
    parts = parts_of(place, method) | unspelled(place, tmp_path / "data")
    recipe = write_recipe(tmp_path / "a.toml", content(place, **parts))
    said = messages(capsys, str(recipe), "--out", str(tmp_path / "r"))
    assert "train.jsonl:2: expected a response that both tokenizers spell" in said
    assert "data.skip_bad_rows=true" in said
    assert main([str(recipe), "data.skip_bad_rows=true", "--out", str(tmp_path / "s")]) == 0
    assert "left out 1 bad row: train.jsonl:2" in capsys.readouterr().out


def test_other_methods_train_on_such_rows_and_any_bad_row_can_be_left_out(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    recipe = write_recipe(tmp_path / "a.toml", content(place, **unspelled(place, tmp_path / "data")))
    assert main([str(recipe), "--out", str(tmp_path / "r")]) == 0
    file = tmp_path / "data" / "train.jsonl"
    file.write_text(file.read_text() + '{"prompt": "a"}\nno JSON\n')
    assert "train.jsonl:13: expected the field output" in (
        said := capsys.readouterr().err + messages(capsys, str(recipe), "--out", str(tmp_path / "s"))
    ), said
    assert main([str(recipe), "data.skip_bad_rows=true", "--out", str(tmp_path / "t")]) == 0
    assert "left out 2 bad rows: train.jsonl:13, train.jsonl:14" in capsys.readouterr().out


def test_a_key_that_a_recipe_of_before_did_not_have_is_no_other_recipe(place: Path, server: Server, tmp_path: Path):
    recipe = write_recipe(tmp_path / "a.toml", content(place, training={"steps": 2}))
    last = server.train(recipe, tmp_path / "run")
    stored = json.loads((tmp_path / "run" / "recipe.json").read_text())
    del stored["data"]["skip_bad_rows"]
    (tmp_path / "run" / "recipe.json").write_text(json.dumps(stored))
    assert server.train(recipe, tmp_path / "run") == last


# What of the student is trained


def probed(checkpoint: Path) -> np.ndarray:
    opened = load(str(checkpoint))
    return opened.map(*opened.tokenize("the path of the file")).weights


def record_of(checkpoint: Path) -> Checkpoint:
    return load_checkpoint(checkpoint)


def test_lora_trains_adapters_alone_and_its_probe_reads_the_base_table(place: Path, server: Server, tmp_path: Path):
    recipe = write_recipe(tmp_path / "a.toml", content(place, student={"train": "lora"}, training={"steps": 2}))
    last = server.train(recipe, tmp_path / "run")
    assert not (last / "student" / "model.safetensors").exists()
    adapters = load_file(last / "student" / "adapter_model.safetensors")
    assert adapters
    assert all("lora_" in name for name in adapters)
    assert any(value.any() for name, value in adapters.items() if "lora_B" in name)
    (source,) = record_of(last).student.sources
    assert source.source == str(place / "student")
    assert probed(last).shape[0] > 1


def test_alpha_of_adapters_is_the_recipes(place: Path, server: Server, tmp_path: Path):
    recipe = write_recipe(tmp_path / "a.toml", content(place, student={"train": "lora"}, training={"steps": 1}))
    ended = server.run(recipe, tmp_path / "run", "student.lora.alpha=0.5")
    if ended.code == 2:  # only whole numbers
        return
    config = json.loads((tmp_path / "run" / "checkpoint-1" / "student" / "adapter_config.json").read_text())
    assert config["lora_alpha"] == 0.5


def test_where_the_body_is_trained_the_table_stays_and_is_the_base_models(place: Path, tmp_path: Path):
    recipe = recipe_of(place, tmp_path / "a.toml", student={"train": "body"})
    last = train(recipe, tmp_path / "run", say=lambda _: None)
    before, after = base_weights(place / "student"), base_weights(last / "student")
    same = {key for key in before if (before[key] == after[key]).all()}
    assert "transformer.wte.weight" in same
    assert not any(key.endswith("c_attn.weight") for key in same)
    (source,) = record_of(last).student.sources
    assert source.source == str(place / "student")
    assert probed(last).shape[0] > 1


def test_where_nothing_of_the_student_is_trained_only_projectors_are_kept(place: Path, tmp_path: Path):
    recipe = recipe_of(place, tmp_path / "a.toml", student={"train": "nothing"})
    last = train(recipe, tmp_path / "run", say=lambda _: None)
    assert not (last / "student").exists()
    assert probed(last).shape[0] > 1


# Wrong runs


def messages(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """What a run that must fail says on standard error: one message, and code 2."""
    assert main(argv) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("probe-train: ")
    assert errors.count("probe-train: ") == 1
    assert "Traceback" not in errors
    return errors


def wrong_rows(directory: Path, **changes: Any) -> Path:
    write_rows(directory, 0)
    some: list[dict[str, Any]] = [dict(row) for row in rows(12)]
    some[6] |= changes
    some[6] = {key: value for key, value in some[6].items() if value is not None}
    (directory / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    return directory


@pytest.mark.parametrize(
    ("changes", "expected"), [({"output": None}, "field output"), ({"output": " "}, "text in the field output")]
)
def test_a_missing_column_and_an_empty_response_are_named_with_their_row(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], expected: str
):
    data = wrong_rows(tmp_path / "data", **changes)
    recipe = write_recipe(tmp_path / "a.toml", content(place, data={"source": str(data)}))
    found = messages(capsys, str(recipe), "--out", str(tmp_path / "run"))
    assert "train.jsonl:7" in found
    assert expected in found
    assert not checkpoints(tmp_path / "run")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["training.learning_rate=1e30", "training.steps=5"], "finite loss"),
        (["teacher.source=STUDENT"], "two tokenizers"),
        (["objective.method=dskd"], "one tokenizer"),
        (["training.stepps=3"], "Did you mean steps?"),
        (["objective.method=cmaa"], "objective.method"),
        (["training.micro_batch_size=3"], "batch_size"),
        (["training.batch_size=99"], "one batch of 99 rows"),
        (["objective.method=mined"], "vocabulary map"),
        (["teacher.source=nowhere/at/all"], "nowhere/at/all"),
        (["student.source=./nowhere"], "./nowhere"),
        (["data.source=./nowhere"], "nowhere"),
        (["objective.start=./nowhere"], "nowhere"),
        (["objective.start=demo"], "objective.start, teacher: expected the embedding table"),
        (["data.max_prompt=3", "data.max_length=3"], "room for a response"),
        (["seed=-1"], "seed"),
    ],
)
def test_a_wrong_setting_is_one_message_and_no_checkpoint_and_can_be_corrected(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: list[str], expected: str
):
    recipe = write_recipe(tmp_path / "a.toml", content(place))
    settings = [setting.replace("STUDENT", str(place / "student")) for setting in settings]
    assert expected in messages(capsys, str(recipe), *settings, "--out", str(tmp_path / "run"))
    assert not checkpoints(tmp_path / "run")
    assert not leftovers(tmp_path)
    assert main([str(recipe), "--out", str(tmp_path / "run")]) == 0


def test_a_directory_of_another_recipe_is_refused_and_stays(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    recipe = write_recipe(tmp_path / "a.toml", content(place))
    assert main([str(recipe), "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    before = weights(tmp_path / "run" / "checkpoint-2")
    found = messages(capsys, str(recipe), "objective.kd_rate=0.25", "seed=3", "--out", str(tmp_path / "run"))
    assert "objective.kd_rate" in found
    assert "seed" in found
    assert weights(tmp_path / "run" / "checkpoint-2").keys() == before.keys()


def test_several_runs_lie_side_by_side(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    recipe = write_recipe(tmp_path / "a.toml", content(place, training={"steps": 1}))
    assert main([str(recipe), "methods=['uld', 'cma']", "--out", str(tmp_path / "run"), "seeds=[1, 2]"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [f"{method}-seed{seed}" for method in ("uld", "cma") for seed in (1, 2)]
    for name in names:
        assert f"tiny/{name}" in lines
        checkpoint = load_checkpoint(tmp_path / "run" / name / "checkpoint-1")
        assert f"{checkpoint.method}-seed{checkpoint.recipe['seed']}" == name
    first, second = (weights(tmp_path / "run" / name / "checkpoint-1") for name in names[2:])
    assert any((first[key] != second[key]).any() for key in first)


# The teacher's cache


def cached(cache: Path) -> dict[str, np.ndarray]:
    """Arrays of a cache, by file name."""
    return {path.name: np.load(path) for path in cache.rglob("*.npy") if ".partial" not in path.name}


def test_a_cache_that_belongs_to_other_data_is_refused(
    place: Path, tmp_path: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
):
    recipe = write_recipe(tmp_path / "a.toml", content(place))
    assert main([str(recipe), "--out", str(tmp_path / "first")]) == 0
    capsys.readouterr()
    doctored = [path for path in own_cache.rglob("states/**/*.json") if "data" in json.loads(path.read_text())]
    assert doctored
    for path in doctored:
        path.write_text(json.dumps(json.loads(path.read_text()) | {"data": "0" * 64}))
    found = messages(capsys, str(recipe), "--out", str(tmp_path / "second"))
    assert "a cache of" in found
    assert "Delete the file" in found
    assert not checkpoints(tmp_path / "second")


def test_two_precisions_of_a_teacher_do_not_stand_in_each_others_way(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    recipe = write_recipe(tmp_path / "a.toml", content(place, training={"steps": 1}))
    for precision in ("float32", "bfloat16", "float32"):
        code = main([str(recipe), f"training.precision={precision}", "--out", str(tmp_path / precision)])
        assert code == 0, capsys.readouterr().err


@pytest.fixture(scope="module")
def many_rows(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe of one step, whose teacher's pass takes long enough to be met in its midst."""
    directory = tmp_path_factory.mktemp("many")
    data = {"source": str(write_rows(directory / "data", 0)), "max_length": 60}
    some = [{"prompt": f"{n}\n### Response:\n", "output": rows(5)[n % 5]["output"]} for n in range(2400)]
    (directory / "data" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    return write_recipe(directory / "a.toml", content(place, data=data, training={"steps": 1}))


@pytest.mark.slow
def test_a_killed_pass_of_the_teacher_goes_on_and_ends_with_the_same_bits(
    many_rows: Path, server: Server, tmp_path: Path
):
    whole, killed = tmp_path / "whole-cache", tmp_path / "killed-cache"
    assert server.run(many_rows, tmp_path / "whole", cache=str(whole)).code == 0
    kills = 0
    for name in ("*.partial.json", "*-expected-*.partial.npy"):
        going = server.start(many_rows, tmp_path / "run", cache=str(killed))
        kills += going.kill_when(lambda name=name: any(killed.rglob(name)))
    assert kills
    assert server.run(many_rows, tmp_path / "run", cache=str(killed)).code == 0
    ours, theirs = cached(whole), cached(killed)
    assert ours
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name])
    assert not list(killed.rglob("*.partial*"))
    assert_same_bits(tmp_path / "whole" / "checkpoint-1", tmp_path / "run" / "checkpoint-1")


def test_a_note_of_an_earlier_pass_does_not_speak_for_a_later_one(place: Path, tmp_path: Path):
    """Killed between the last rename and the removal of the note; then the cache is deleted, as messages advise."""
    tokenizer = Tokenizer.load(place / "teacher")
    encoded = [tokenize(example, tokenizer) for example in read_examples(place / "data" / "train.jsonl")]
    teacher = AutoModel.from_pretrained(place / "teacher").eval()
    path = tmp_path / "states.npy"
    states = np.array(teacher_states(teacher, "tiny", encoded, path).states)
    key = json.loads(path.with_suffix(".json").read_text())
    path.unlink()
    path.with_suffix(".partial.json").write_text(json.dumps(key | {"done": 2}))

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    handle = teacher.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        teacher_states(teacher, "tiny", encoded, path)
    handle.remove()
    np.testing.assert_array_equal(teacher_states(teacher, "tiny", encoded, path).states, states)


def test_weights_that_are_no_numbers_never_become_a_checkpoint(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """The last step's loss is finite; what it makes of the weights is not."""
    recipe = write_recipe(tmp_path / "a.toml", content(place, training={"steps": 1, "learning_rate": 1e38}))
    assert "finite weights" in messages(capsys, str(recipe), "training.weight_decay=1e38", "--out", str(tmp_path / "r"))
    assert not checkpoints(tmp_path / "r")
    assert not leftovers(tmp_path / "r")


def test_a_teacher_with_another_body_and_the_same_table_has_a_cache_of_its_own(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As fine-tuning with adapters leaves it."""
    other = shutil.copytree(place / "teacher", tmp_path / "teacher")
    tensors = base_weights(other)
    changed = {key: value if "embed" in key or "lm_head" in key else value * 1.5 for key, value in tensors.items()}
    save_file(changed, other / "model.safetensors", metadata={"format": "pt"})
    found = []
    for name, teachers in (("alone", [other]), ("after", [place / "teacher", other])):
        monkeypatch.setenv("PROBE_CACHE", str(tmp_path / name))
        for number, teacher in enumerate(teachers):
            recipe = recipe_of(place, tmp_path / "a.toml", teacher={"source": str(teacher)})
            last = train(recipe, tmp_path / f"run-{name}-{number}", say=lambda _: None)
        found.append(last)
    assert_same_bits(*found)


@pytest.mark.slow
def test_two_runs_that_want_one_cache_at_once_both_end_well(place: Path, tmp_path: Path):
    recipe = write_recipe(tmp_path / "a.toml", content(place, training={"steps": 1}))
    cache = tmp_path / "cache"
    own = environment(PROBE_CACHE=str(cache))
    runs = [subprocess.Popen(command(recipe, tmp_path / name), env=own) for name in ("first", "second")]
    assert [run.wait() for run in runs] == [0, 0]
    assert_same_bits(*(tmp_path / name / "checkpoint-1" for name in ("first", "second")))
    assert len(list(cache.rglob("*.npy"))) == 1


def test_a_student_that_does_not_learn_has_no_dropout(place: Path, tmp_path: Path):
    recipe = recipe_of(place, tmp_path / "a.toml", student={"train": "nothing"})
    distiller = prepare(recipe).distiller.train()
    assert distiller.training
    assert distiller.criterion.training
    assert not distiller.student.training


def test_scales_of_reference_mode_are_those_of_each_batch(place: Path, tmp_path: Path):
    """The checkpoint says of its own that they are an estimate."""
    recipe = recipe_of(place, tmp_path / "a.toml", objective={"reference": True}, training={"steps": 1})
    prepared = prepare(recipe)
    assert prepared.distiller.criterion.scales is None
    assert prepared.scales is not None
    assert prepared.scales.key_is_estimate
    assert load_checkpoint(train(recipe, tmp_path / "run", say=lambda _: None)).scales.key_is_estimate


@pytest.mark.parametrize("method", ["cla", "clp"])
def test_in_reference_mode_links_lie_where_the_responses_are(method: str, place: Path, tmp_path: Path):
    """The published code pads to one length, and a response begins where its prompt ends."""
    both: list[torch.Tensor] = []
    for reference in (False, True):
        objective = {"method": method, "chunk_side": "input", "reference": reference}
        prepared = prepare(recipe_of(place, tmp_path / f"{reference}.toml", objective=objective, training={"steps": 1}))
        batch = Collate(prepared.train)([0, 1, 2])
        both.append(batch["links"][batch["student_mask"]].sum(-1))
        assert not batch["links"][~batch["student_mask"]].any()
        assert not batch["links"].mT[~batch["teacher_mask"]].any()
    assert both[0].sum() > 20
    assert torch.equal(*both)
    train(read_recipe(str(tmp_path / "True.toml")), tmp_path / "run", say=lambda _: None)


def test_a_trained_checkpoint_is_exported_to_dskds_layout(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    recipe = write_recipe(tmp_path / "a.toml", content(place, training={"steps": 1}))
    assert main([str(recipe), "--out", str(tmp_path / "run"), "--export", "dskd"]) == 0
    capsys.readouterr()
    (projectors,) = (tmp_path / "run-dskd").rglob("projector.pt")
    assert (projectors.parent / "model.safetensors").is_file()


def test_a_sft_checkpoint_holds_its_recipe(place: Path, tmp_path: Path):
    recipe = recipe_of(place, tmp_path / "a.toml", objective={"method": "sft"}, training={"steps": 1})
    last = train(recipe, tmp_path / "run", say=lambda _: None)
    assert json.loads((last / "recipe.json").read_text()) == recipe.model_dump(mode="json")
