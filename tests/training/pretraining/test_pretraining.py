import json
import os
import signal
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from directories import PROMPT, TEXTS, save_model
from safetensors.numpy import load_file

from probe.checkpoints.checkpoint import Scales, load_checkpoint
from probe.checkpoints.opened import open_checkpoint
from probe.errors import OutputError, TrainingError
from probe.models.tokenizer import Tokenizer
from probe.training.__main__ import main
from probe.training.criteria.logits import Workspace
from probe.training.criteria.projectors import Projectors
from probe.training.examples import Encoded, Example, batches, read_examples, tokenize
from probe.training.pretraining.loop import LoopSettings, PretrainInputs, make_batch, pretrain, t2s_loss
from probe.training.pretraining.run import PretrainRun, pretraining, run_pretraining
from probe.training.teacher.states import TeacherStates, estimate_scales, teacher_states

STRUCTURES = {"query": "2s-2t", "t2s": "t-s"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student, a teacher and twelve rows of training data."""
    directory = tmp_path_factory.mktemp("training")
    save_model("gpt2", directory / "student")
    save_model("llama", directory / "teacher", seed=1)
    rows = [{"prompt": f"{n}\n### Response:\n", "output": TEXTS[n % len(TEXTS)][: 24 + n]} for n in range(12)]
    (directory / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return directory


def run_of(place: Path, **settings: int) -> PretrainRun:
    options = {"steps": 12, "batch_size": 4, "warmup_steps": 2, "save_every": 5} | settings
    return PretrainRun(
        "tiny",
        str(place / "student"),
        str(place / "teacher"),
        read_examples(place / "train.jsonl"),
        PROMPT,
        LoopSettings(**options),
    )


# Data


def test_bad_rows_are_all_listed_with_their_lines(tmp_path: Path):
    file = tmp_path / "train.jsonl"
    file.write_text('{"prompt": "a", "output": "b"}\nnot json\n{"prompt": "a"}\n{"prompt": "a", "output": ""}\n[1]\n')
    with pytest.raises(TrainingError) as caught:
        read_examples(file)
    assert [problem.where for problem in caught.value.problems] == [f"train.jsonl:{n}" for n in (2, 3, 4, 5)]
    with pytest.raises(TrainingError, match="no such file"):
        read_examples(tmp_path / "none.jsonl")


def test_the_first_of_several_outputs_is_used(tmp_path: Path):
    file = tmp_path / "train.jsonl"
    file.write_text('{"prompt": "a", "output": ["b", "c"]}\n')
    assert read_examples(file) == [Example("a", "b")]


def test_response_positions_begin_at_the_prompts_last_token_and_end_at_eos(place: Path):
    tokenizer = Tokenizer.load(place / "student")
    encoded = tokenize(Example("Read:", "the file."), tokenizer)
    response = tokenizer.encode("the file.")
    assert encoded.inputs.tolist() == [tokenizer.encode("Read:")[-1], *response]
    assert encoded.targets.tolist() == [*response, tokenizer.eos_id]


def test_prompt_and_sequence_are_cut_as_published(place: Path):
    encoded = tokenize(Example("a " * 600, "b " * 600), Tokenizer.load(place / "student"))
    assert (encoded.response_start, len(encoded.ids)) == (256, 512)


def test_every_epoch_sees_every_row_once_and_its_order_is_a_function_of_the_seed():
    lengths = np.random.default_rng(0).integers(1, 90, 53).tolist()

    def epoch(seed: int, skip: int = 0) -> list[list[int]]:
        order = batches(lengths, 4, seed)
        return [next(order)[1] for _ in range(skip + 14)][skip:]

    first, second = epoch(1), epoch(1, skip=14)
    assert sorted(chain(*first)) == sorted(chain(*second)) == list(range(53))
    assert first == epoch(1) != second
    assert first != epoch(2)


# Teacher states and scales


def encode_all(place: Path, side: str) -> list[Encoded]:
    tokenizer = Tokenizer.load(place / side)
    return [tokenize(example, tokenizer) for example in read_examples(place / "train.jsonl")]


def load_teacher(place: Path) -> torch.nn.Module:
    from transformers import AutoModel

    return AutoModel.from_pretrained(place / "teacher", dtype=torch.float32).eval()


def test_cached_states_are_those_of_the_teacher_alone_with_its_example(place: Path, tmp_path: Path):
    teacher, encoded = load_teacher(place), encode_all(place, "teacher")
    states = teacher_states(teacher, "tiny", encoded, tmp_path / "states.npy")
    for index, example in enumerate(encoded):
        with torch.inference_mode():
            hidden = teacher(torch.from_numpy(example.ids)[None]).last_hidden_state[0]
        alone = hidden[example.response_start - 1 : -1].numpy()
        np.testing.assert_allclose(states.of(index), alone, atol=1e-5)


def test_a_cache_is_read_again_and_refused_for_other_data(place: Path, tmp_path: Path):
    encoded = encode_all(place, "teacher")
    first = teacher_states(load_teacher(place), "tiny", encoded, tmp_path / "states.npy")
    again = teacher_states(None, "tiny", encoded, tmp_path / "states.npy")
    np.testing.assert_array_equal(first.states, again.states)
    for identity, rows in (("tiny", encoded[:-1]), ("another", encoded)):
        with pytest.raises(TrainingError, match="Delete the file"):
            teacher_states(None, identity, rows, tmp_path / "states.npy")


def test_scales_are_deviations_over_all_response_positions(place: Path):
    rng = np.random.default_rng(0)
    table = rng.normal(1, 2, (384, 24)).astype(np.float32)
    encoded = encode_all(place, "teacher")
    states = [rng.normal(-3, 5, (len(e.targets), 24)).astype(np.float32) for e in encoded]
    scales = estimate_scales(encoded, lambda ids: table[ids], states)
    keys = np.concatenate([np.concatenate([table[e.inputs], table[e.targets]], axis=1) for e in encoded])
    targets = np.concatenate([table[e.targets] for e in encoded])
    expected = [values.std(ddof=1, dtype=np.float64) for values in (keys, np.concatenate(states), targets)]
    assert [scales.key, scales.hidden, scales.target] == pytest.approx(expected)


# Pre-training


def inputs_of(place: Path) -> PretrainInputs:
    rng = np.random.default_rng(0)
    student, teacher = encode_all(place, "student"), encode_all(place, "teacher")
    begins = tuple(np.cumsum([0, *(len(e.targets) for e in teacher)]).tolist())
    states = TeacherStates(rng.normal(size=(begins[-1], 24)).astype(np.float32), begins)
    tables = [torch.from_numpy(rng.normal(size=size).astype(np.float32)) for size in ((320, 16), (384, 24), (320, 16))]
    return PretrainInputs(*tables, student, teacher, states, Scales(key=1.0, hidden=1.0, target=1.0))


def test_the_loss_of_a_padded_batch_is_that_of_its_examples_apart(place: Path):
    """Masks keep padding out of both the softmax and the loss."""
    inputs = inputs_of(place)
    projectors = Projectors(STRUCTURES, student=16, teacher=24, seed=0)
    rows = [0, 3, 7]
    together, _ = t2s_loss(projectors, make_batch(inputs, rows), inputs.head, inputs.scales, Workspace())
    apart = [
        t2s_loss(projectors, make_batch(inputs, [row]), inputs.head, inputs.scales, Workspace())[0] for row in rows
    ]
    sizes = [len(inputs.student[row].targets) for row in rows]
    mean = sum(size * loss.item() for size, loss in zip(sizes, apart, strict=True)) / sum(sizes)
    assert together.item() == pytest.approx(mean, rel=1e-5)


def test_query_and_t2s_learn_and_the_loss_falls(place: Path, tmp_path: Path):
    inputs = inputs_of(place)
    settings = LoopSettings(steps=60, batch_size=6, learning_rate=1e-2, warmup_steps=5)
    untrained = Projectors(STRUCTURES, student=16, teacher=24, seed=settings.seed).to_numpy()
    trained = pretrain(inputs, settings, tmp_path).to_numpy()
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in log] == list(range(60))
    assert np.mean([row["t2s_ce"] for row in log[-6:]]) < 0.7 * np.mean([row["t2s_ce"] for row in log[:6]])
    for name in STRUCTURES:
        moved = np.abs(trained[name].tensors["0.weight"] - untrained[name].tensors["0.weight"]).max()
        assert moved > 1e-3, name


def test_a_run_becomes_a_checkpoint_whose_probe_sees_the_trained_attention(place: Path, tmp_path: Path):
    path = run_pretraining(run_of(place), tmp_path / "run")
    checkpoint = load_checkpoint(path)
    assert (checkpoint.steps, checkpoint.method, set(checkpoint.projectors)) == (12, "cma", {"query", "t2s"})
    assert checkpoint.recipe["rows"] == 12
    assert checkpoint.scales.hidden is not None
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)["projectors"]
    np.testing.assert_array_equal(checkpoint.query.tensors["0.weight"], state["query_0_weight"].numpy())
    opened = open_checkpoint(checkpoint)
    student, teacher = opened.tokenize(TEXTS[0])
    assert opened.map(student, teacher).weights.shape == (len(student.tokens) + 1, len(teacher.tokens) + 1)


def test_the_probe_draws_the_attention_that_training_computes(place: Path, tmp_path: Path):
    """A training batch with padding and the probe's single sentence are the same function of the same positions."""
    from transformers import AutoModelForCausalLM

    from probe.attention import attention_logits, cross_model_attention

    checkpoint = load_checkpoint(run_pretraining(run_of(place), tmp_path / "run"))
    opened = open_checkpoint(checkpoint)
    tables = [
        AutoModelForCausalLM.from_pretrained(place / side).get_input_embeddings().weight.detach().float()
        for side in ("student", "teacher")
    ]
    # Rows 0 and 1 have prompts that end as the checkpoint's does, and lengths that differ.
    student, teacher = encode_all(place, "student"), encode_all(place, "teacher")
    states = TeacherStates(np.zeros((1, 24), np.float32), (0,) * 13)
    inputs = PretrainInputs(*tables, tables[0], student, teacher, states, checkpoint.scales)
    batch = make_batch(inputs, [0, 1])
    projectors = Projectors(STRUCTURES, student=16, teacher=24, seed=0)
    projectors.load_state_dict(torch.load(tmp_path / "run" / "state.pt", weights_only=True)["projectors"])
    logits = attention_logits(
        projectors["query"], batch.student.bigrams, batch.teacher.bigrams, key_scale=checkpoint.scales.key
    )
    attention = cross_model_attention(logits, student_mask=batch.student.mask, teacher_mask=batch.teacher.mask)
    for row, example in enumerate(read_examples(place / "train.jsonl")[:2]):
        map_ = opened.map(*opened.tokenize(example.output))
        rows, columns = map_.weights.shape
        trained = attention.over_teacher[row].detach().numpy()
        np.testing.assert_allclose(map_.weights, trained[:rows, :columns], atol=1e-6)
        assert not trained[:rows, columns:].any()


def test_checkpoints_are_handed_out_while_training_waits(place: Path, tmp_path: Path):
    whole = load_checkpoint(run_pretraining(run_of(place), tmp_path / "whole"))
    log = tmp_path / "run" / "log.jsonl"
    seen: list[tuple[int, str, int]] = []
    for checkpoint in pretraining(run_of(place), tmp_path / "run", every=5):
        steps = log.read_text().count("\n") if log.is_file() else 0
        seen.append((checkpoint.steps or 0, str(checkpoint.path.relative_to(tmp_path / "run")), steps))
        np.testing.assert_array_equal(
            load_checkpoint(checkpoint.path).query.tensors["0.weight"], checkpoint.query.tensors["0.weight"]
        )
    steps = [(step, f"projectors/step-{step}", step) for step in (0, 5, 10)]
    assert seen == [*steps, (12, "checkpoint", 12)]
    untrained = Projectors(STRUCTURES, student=16, teacher=24, seed=10).to_numpy()
    first, last = (load_checkpoint(tmp_path / "run" / name) for name in ("projectors/step-0", "checkpoint"))
    for name, projector in untrained.items():
        for key, tensor in projector.tensors.items():
            np.testing.assert_array_equal(first.projectors[name].tensors[key], tensor)
            np.testing.assert_array_equal(last.projectors[name].tensors[key], whole.projectors[name].tensors[key])


def test_who_stops_looking_goes_on_from_the_last_saved_step(place: Path, tmp_path: Path):
    whole = load_checkpoint(run_pretraining(run_of(place), tmp_path / "whole"))
    for checkpoint in pretraining(run_of(place), tmp_path / "run", every=4):
        if checkpoint.steps == 8:  # the state of step 5 is saved
            break
    *rest, last = pretraining(run_of(place), tmp_path / "run", every=4)
    assert [checkpoint.steps for checkpoint in rest] == [5, 8]
    np.testing.assert_array_equal(last.query.tensors["0.weight"], whole.query.tensors["0.weight"])
    assert [checkpoint.steps for checkpoint in pretraining(run_of(place), tmp_path / "run", every=4)] == [12]
    with pytest.raises(TrainingError, match="at least one step"):
        next(pretraining(run_of(place), tmp_path / "run", every=0))


def test_student_and_teacher_with_one_tokenizer_are_refused(place: Path, tmp_path: Path):
    run = run_of(place)._replace(teacher=str(place / "student"))
    with pytest.raises(TrainingError, match="another tokenizer than the teacher's"):
        run_pretraining(run, tmp_path / "run")


def test_other_settings_do_not_go_on_with_a_run(place: Path, tmp_path: Path):
    inputs = inputs_of(place)
    pretrain(inputs, LoopSettings(steps=2, batch_size=4), tmp_path)
    with pytest.raises(TrainingError, match="empty directory"):
        pretrain(inputs, LoopSettings(steps=3, batch_size=4), tmp_path)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch_size": 0}, {"learning_rate": -1.0}])
def test_settings_that_train_nothing_are_refused(wrong: dict[str, Any]):
    with pytest.raises(TrainingError, match="numbers above 0"):
        LoopSettings(**({"steps": 2} | wrong))


def test_help_of_training_needs_none_of_its_packages():
    code = "import sys; sys.modules |= dict.fromkeys(('torch', 'transformers')); from runpy import run_module\n"
    code += "sys.argv = ['x', '--help']; run_module(sys.argv[1:] and 'probe.training', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "default 2000" in done.stdout


def test_a_loss_that_is_not_finite_stops_the_run(place: Path, tmp_path: Path):
    inputs = inputs_of(place)
    inputs.head[0] = torch.inf
    with pytest.raises(TrainingError, match="finite loss"):
        pretrain(inputs, LoopSettings(steps=2), tmp_path)


def test_the_log_of_a_run_that_was_stopped_at_any_time_has_every_step_once(place: Path, tmp_path: Path):
    """Stopped before its first saved state, or within a line."""
    inputs, settings = inputs_of(place), LoopSettings(steps=6, batch_size=4, save_every=4)
    (tmp_path / "a").mkdir()
    log = tmp_path / "a" / "log.jsonl"
    log.write_text('{"step": 0, "t2s_ce": 1.0}\n{"step": 1, "t2')
    pretrain(inputs, settings, tmp_path / "a")
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == list(range(6))
    (tmp_path / "b").mkdir()
    log = tmp_path / "b" / "log.jsonl"
    pretrain(inputs, settings, tmp_path / "b")
    with log.open("a") as more:
        more.write('{"step": 6, "t2')
    pretrain(inputs, settings, tmp_path / "b")
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == list(range(6))


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bits(place: Path, tmp_path: Path):
    arguments = [sys.executable, "-m", "probe.training", "--name", "tiny", "--train", str(place / "train.jsonl")]
    arguments += ["--student", str(place / "student"), "--teacher", str(place / "teacher"), "--prompt", PROMPT]
    arguments += ["--steps", "2500", "--batch-size", "2", "--seed", "3"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(name: str) -> subprocess.Popen[bytes]:
        command = [*arguments, "--out", str(tmp_path / name)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    whole = start("whole")
    killed = start("killed")
    log = tmp_path / "killed" / "log.jsonl"
    deadline = time.monotonic() + 120
    # Well after the first saved state at step 100, and not at a save.
    while time.monotonic() < deadline and not (log.is_file() and log.read_bytes().count(b"\n") > 137):
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed" / "checkpoint").exists()
    again = start("killed")
    assert (whole.wait(), again.wait()) == (0, 0)
    first, second = (
        load_file(tmp_path / name / "checkpoint" / "projectors.safetensors") for name in ("whole", "killed")
    )
    assert first.keys() == second.keys()
    for key in first:
        np.testing.assert_array_equal(first[key], second[key])
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert steps == list(range(2500))


def test_one_run_at_a_time_and_leftovers_are_swept(place: Path, tmp_path: Path):
    run = tmp_path / "run"
    steps = pretraining(run_of(place), run, every=6)
    next(steps)
    with pytest.raises(OutputError, match="one run at a time; got another at work"):
        run_pretraining(run_of(place), run)
    steps.close()
    for name in (".state.pt.abcdefgh.pt", "projectors/.step-6.abcdefgh", ".checkpoint.abcdefgh"):
        (run / name).mkdir(parents=True)
    run_pretraining(run_of(place), run)
    assert not list(run.rglob(".*"))


def test_ctrl_c_says_how_to_go_on(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    argv = ["training", "--name", "tiny", "--train", str(place / "train.jsonl"), "--out", str(tmp_path / "run")]
    argv += [word for side in ("student", "teacher") for word in (f"--{side}", str(place / side))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", argv)
        patch.setattr("probe.training.pretraining.run.pretrain", interrupt)
        assert main() == 130
    assert "stopped; the same command goes on" in capsys.readouterr().err
