"""The callback in real Trainers: of transformers, and of TRL where it is installed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_models as tiny
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

import probe

pytestmark = pytest.mark.filterwarnings("ignore")  # of TRL, wandb and tensorboard themselves
HEALTH = {"alignment/coverage", "alignment/largest group", "alignment/tokens in unequal groups"}
FIGURES = {
    f"alignment/{name}" for name in ("top-1", "MRR", "mass at common entropy", "repeat confusion", "decoded top-1")
}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)


def arguments(place: Path, **changes: Any) -> dict[str, Any]:
    whole = {
        "output_dir": str(place),
        "max_steps": 10,
        "per_device_train_batch_size": 4,
        "use_cpu": True,
        "bf16": False,
    }
    return whole | {"save_strategy": "no", "disable_tqdm": True, "logging_steps": 5, "report_to": []} | changes


def attention(student: Any, teacher: Any) -> probe.QueryAttention:
    tables = student.get_input_embeddings(), teacher.get_input_embeddings()
    torch.manual_seed(0)
    query = torch.nn.Linear(2 * tables[0].embedding_dim, 2 * tables[1].embedding_dim)
    return probe.QueryAttention(query, *tables, key_scale=0.02)


def trained(place: Path, callback: Any, tokenizer: Any, **changes: Any) -> Trainer:
    """A Trainer of transformers after its steps, on chats in the template of the student."""
    texts = [tokenizer.apply_chat_template(row["messages"], tokenize=False) for row in tiny.talks()]
    rows = [{"input_ids": tokenizer(text)["input_ids"]} for text in texts]

    def collate(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        padded = tokenizer.pad(batch, return_tensors="pt")
        return {**padded, "labels": padded["input_ids"].masked_fill(padded["attention_mask"] == 0, -100)}

    torch.manual_seed(0)
    settings = TrainingArguments(**arguments(place, **changes))
    trainer = Trainer(
        tiny.student(tokenizer), settings, collate, rows, processing_class=tokenizer, callbacks=[callback]
    )
    trainer.train()
    return trainer


def logged(trainer: Any) -> Iterator[dict[str, Any]]:
    return (entry for entry in trainer.state.log_history if any(name.startswith("alignment/") for name in entry))


def test_health_is_said_at_step_1_and_logged_at_each_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    ours, theirs = tiny.tokenizer("student"), tiny.tokenizer("teacher")
    callback = probe.AlignmentCallback(ours, theirs, every=4)
    trainer = trained(tmp_path, callback, ours)
    printed = capsys.readouterr().out
    assert "alignment, step 1: 4 texts" in printed
    assert "!" not in printed.partition("alignment, step 1")[2].partition("{")[0]
    entries = list(logged(trainer))
    assert [entry["step"] for entry in entries] == [1, 4, 8]
    assert all(set(entry) > HEALTH for entry in entries)
    assert callback.health is not None
    assert callback.health.differing == 0
    assert not trainer.model._forward_pre_hooks
    json.dumps(trainer.state.log_history)


def test_a_second_training_is_watched_from_its_first_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    ours, theirs = tiny.tokenizer("student"), tiny.tokenizer("teacher")
    saving = {"save_strategy": "steps", "save_steps": 2}
    trainer = trained(tmp_path, probe.AlignmentCallback(ours, theirs), ours, max_steps=2, **saving)
    trainer.args.max_steps = 4
    capsys.readouterr()
    trainer.train(resume_from_checkpoint=True)
    assert "alignment, step 3: 4 texts" in capsys.readouterr().out
    assert [entry["step"] for entry in logged(trainer)] == [1, 3]


def test_a_wrong_chat_template_is_seen_at_step_1_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    ours, theirs = tiny.tokenizer("student", tiny.FOREIGN), tiny.tokenizer("teacher")
    trained(tmp_path, probe.AlignmentCallback(ours, theirs), ours, max_steps=1)
    printed = capsys.readouterr().out
    assert "alignment, step 1: ! '<|im_start|>' is a mark of neither tokenizer" in printed
    assert "Is the chat template of another model?" in printed


def test_a_template_that_loses_the_answer_is_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    ours, theirs = tiny.tokenizer("student", "{{ messages[0].content }}"), tiny.tokenizer("teacher")
    trained(tmp_path, probe.AlignmentCallback(ours, theirs), ours, max_steps=1)
    assert "! The student's chat template writes what the assistant says 0 times" in capsys.readouterr().out


def test_the_callback_changes_nothing_of_the_training(tmp_path: Path):
    ours, theirs = tiny.tokenizer("student"), tiny.tokenizer("teacher")
    torch.manual_seed(0)
    watch = probe.AlignmentCallback(
        ours, theirs, every=2, attention=attention(tiny.student(ours), tiny.teacher(theirs))
    )
    short = {"max_steps": 3, "logging_steps": 1}
    with_it, without = (trained(tmp_path, one, ours, **short) for one in (watch, TrainerCallback()))
    losses = [[entry["loss"] for entry in one.state.log_history if "loss" in entry] for one in (with_it, without)]
    assert len(losses[0]) == 3
    assert losses[0] == losses[1]


def test_a_student_without_input_ids_is_said_to_be_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    ours = tiny.tokenizer("student")
    callback = probe.AlignmentCallback(ours, tiny.tokenizer("teacher"))
    trainer = Trainer(tiny.student(ours), TrainingArguments(**arguments(tmp_path)), callbacks=[callback])
    callback.on_train_begin(trainer.args, trainer.state, trainer.control, model=trainer.model)
    callback.on_step_begin(trainer.args, trainer.state, trainer.control)
    callback.on_step_end(trainer.args, trainer.state, trainer.control)
    callback.on_train_end(trainer.args, trainer.state, trainer.control)
    assert "its texts are unknown" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [{"every": 0}, {"every": True}])
def test_wrong_arguments(wrong: dict[str, Any]):
    with pytest.raises(probe.ArgumentError, match=next(iter(wrong))):
        probe.AlignmentCallback("bundled:demo/student", "bundled:demo/teacher", **wrong)


def test_tensorboard_holds_figures_and_a_picture(tmp_path: Path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    ours, theirs = tiny.tokenizer("student"), tiny.tokenizer("teacher")
    watched = attention(tiny.student(ours), tiny.teacher(theirs))
    callback = probe.AlignmentCallback(ours, theirs, every=2, attention=watched)
    trained(tmp_path, callback, ours, report_to=["tensorboard"], max_steps=2)
    events = EventAccumulator(str(tmp_path / "runs" / "alignment")).Reload()
    assert set(events.Tags()["scalars"]) >= HEALTH | FIGURES | {"alignment/top-1, low", "alignment/top-1, high"}
    assert [event.step for event in events.Scalars("alignment/top-1")] == [1, 2]
    picture = events.Images("alignment/heatmap")[0]
    assert picture.step == 1
    assert picture.width > 200
    assert picture.encoded_image_string.startswith(b"\x89PNG")


@pytest.mark.slow
def test_wandb_offline_receives_figures_and_a_picture(tmp_path: Path):
    wandb = pytest.importorskip("wandb")
    ours, theirs = tiny.tokenizer("student"), tiny.tokenizer("teacher")
    watched = attention(tiny.student(ours), tiny.teacher(theirs))
    callback = probe.AlignmentCallback(ours, theirs, every=2, attention=watched)
    trained(tmp_path, callback, ours, report_to=["wandb"], max_steps=2)
    summary = dict(wandb.run.summary)
    wandb.finish()
    assert set(summary) >= FIGURES | HEALTH
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    assert list((run / "files" / "media" / "images" / "alignment").glob("heatmap_*.png"))


def gold_trainer(place: Path, template: str, callback_of: Any, **changes: Any) -> Any:
    """A GOLDTrainer of TRL over two tiny models with two tokenizers, after ten steps."""
    pytest.importorskip("trl")
    from datasets import Dataset
    from trl.experimental.gold import GOLDConfig, GOLDTrainer

    ours, theirs = tiny.tokenizer("student", template), tiny.tokenizer("teacher")
    torch.manual_seed(0)
    student = tiny.saved(tiny.student(ours), ours, place / "student")
    teacher = tiny.saved(tiny.teacher(theirs), theirs, place / "teacher")
    lengths = {"max_length": 160, "max_completion_length": 16}
    named = {"use_uld_loss": True, "lmbda": 0.0, **lengths, **changes}
    settings = GOLDConfig(**arguments(place / "out", **named))
    trainer = GOLDTrainer(
        str(student),
        str(teacher),
        settings,
        train_dataset=Dataset.from_list(tiny.talks()),
        processing_class=ours,
        callbacks=[callback_of(ours, theirs)],
    )
    trainer.train()
    return trainer


def test_in_gold_of_trl(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    watch = lambda ours, theirs: probe.AlignmentCallback(ours, theirs, every=2)  # noqa: E731
    trainer = gold_trainer(tmp_path, tiny.PLAIN, watch, max_steps=4, logging_steps=2)
    printed = capsys.readouterr().out
    assert "alignment, step 1: 4 texts" in printed
    assert "alignment, step 1: !" not in printed
    assert [entry["step"] for entry in logged(trainer)] == [1, 2, 4]
    assert any("off_policy_loss" in entry for entry in trainer.state.log_history)


def test_a_wrong_chat_template_in_gold_of_trl(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    watch = lambda ours, theirs: probe.AlignmentCallback(ours, theirs)  # noqa: E731
    gold_trainer(tmp_path, tiny.FOREIGN, watch, max_steps=1)
    assert "alignment, step 1: ! '<|im_start|>' is a mark of neither tokenizer" in capsys.readouterr().out


def test_in_gold_of_trl_sampled_completions_are_what_is_seen(tmp_path: Path):
    seen: list[Any] = []

    def watch(ours: Any, theirs: Any) -> Any:
        seen.append(probe.AlignmentCallback(ours, theirs, every=1))
        return seen[0]

    gold_trainer(tmp_path, tiny.PLAIN, watch, max_steps=1, lmbda=1.0)
    assert seen[0].health.differing > 0  # an untrained student samples what no tokenizer would cut


def test_in_gkd_of_trl(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("trl")
    from datasets import Dataset
    from trl.experimental.gkd import GKDConfig, GKDTrainer

    ours = tiny.tokenizer("student")
    settings = GKDConfig(**arguments(tmp_path, lmbda=0.0, max_length=160, max_new_tokens=8))
    trainer = GKDTrainer(
        tiny.student(ours),
        tiny.student(ours),
        settings,
        train_dataset=Dataset.from_list(tiny.talks()),
        processing_class=ours,
        callbacks=[probe.AlignmentCallback(ours, ours, every=5)],
    )
    trainer.train()
    assert "100.0% share bytes" in capsys.readouterr().out
    assert all(entry["alignment/tokens in unequal groups"] == 0 for entry in logged(trainer))
