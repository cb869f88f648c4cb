"""The examples of the page on other people's training, with tiny models in the places of those that they name."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny_models as tiny
import torch
from places import ROOT

PAGE = (ROOT / "docs" / "in-other-training.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
pytestmark = pytest.mark.filterwarnings("ignore")


def the_block(*signs: str) -> str:
    (found,) = [block for block in BLOCKS if all(sign in block for sign in signs)]
    return found


@pytest.fixture
def run_in_trl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Any]]:
    """Runs an example for ten steps on this machine, without anything from the network."""
    pytest.importorskip("trl")
    import datasets

    monkeypatch.chdir(tmp_path)
    for name, value in (("WANDB_MODE", "offline"), ("WANDB_SILENT", "true"), ("HF_HUB_OFFLINE", "1")):
        monkeypatch.setenv(name, value)
    rows = datasets.Dataset.from_list(tiny.talks())
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: rows)
    small = "max_steps=10, use_cpu=True, bf16=False, lmbda=0.0, max_length=160, max_completion_length=16"
    small += ', save_strategy="no", disable_tqdm=True, per_device_train_batch_size=8, learning_rate=0.03'

    def run(block: str) -> dict[str, Any]:
        torch.manual_seed(0)
        ours, theirs = tiny.tokenizer("student"), tiny.tokenizer("teacher")
        tiny.saved(tiny.student(ours), ours, tmp_path / "student")
        tiny.saved(tiny.teacher(theirs), theirs, tmp_path / "teacher")
        block = block.replace("HuggingFaceTB/SmolLM2-135M-Instruct", "student")
        block = block.replace("Qwen/Qwen2.5-0.5B-Instruct", "teacher").replace("max_steps=1000", small)
        block = block.replace('report_to="wandb"', "report_to=[]")  # the test of the callback has it
        block = block.replace("3e-3", "1e-1")  # ten steps, and embeddings near 0
        block = block.replace("attention=attention)]", "attention=attention, every=5)]")
        found: dict[str, Any] = {"__name__": "example"}
        exec(block, found)
        return found

    return run


def test_the_callback_in_trl(run_in_trl: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    pytest.importorskip("tensorboard")
    run_in_trl(the_block("GOLDTrainer", 'report_to="tensorboard"'))
    assert "alignment, step 1: 8 texts" in capsys.readouterr().out
    assert list((tmp_path / "out" / "runs" / "alignment").glob("events*"))


def test_an_attention_in_trl_rises(run_in_trl: Any, capsys: pytest.CaptureFixture[str]):
    found = run_in_trl(the_block("class WithAttention"))
    assert "alignment, step 1: 8 texts" in capsys.readouterr().out
    curve = [entry["alignment/top-1"] for entry in found["trainer"].state.log_history if "alignment/top-1" in entry]
    assert len(curve) == 3
    assert curve[-1] == max(curve)
    assert curve[-1] > 2 * curve[0]


def test_an_own_loop_rises(capsys: pytest.CaptureFixture[str]):
    torch.manual_seed(0)
    exec(the_block("optimizer.step()"), {})
    printed = capsys.readouterr().out
    assert "8 texts" in printed
    curve = [float(one) for one in re.findall(r"^\d+ ([\d.]+)", printed, re.MULTILINE)]
    assert len(curve) == 3
    assert curve == sorted(curve)
    assert curve[-1] > 0.15


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_in_the_loop_of_dskd(dtype: torch.dtype, capsys: pytest.CaptureFixture[str]):
    ours, theirs = tiny.tokenizer("student"), tiny.tokenizer("teacher")
    models = tiny.student(ours).to(dtype), tiny.teacher(theirs).to(dtype)
    widths = (2 * model.get_input_embeddings().embedding_dim for model in models)
    projectors = torch.nn.ModuleDict({"query": torch.nn.Sequential(torch.nn.Linear(*widths, dtype=dtype))})
    tokenizers = {"student_tokenizer": ours, "teacher_tokenizers": {"qwen": theirs}, "teacher_model_type": "qwen"}
    distiller = SimpleNamespace(student_model=models[0], teacher_model=models[1], projectors=projectors, **tokenizers)
    exec(the_block("distiller"), {"distiller": distiller})
    assert re.match(r"top-1 0\.\d+ \[.*\] decoded 0\.\d+ \[", capsys.readouterr().out)
