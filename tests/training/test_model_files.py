import io
import json
from pathlib import Path

import pytest
import torch
from directories import save_model
from torch import nn

from probe.errors import TrainingError
from probe.training.model_files import base_of, causal_model, directory_of, files_digest, weights_digest


def test_digests_stay_those_under_which_caches_of_users_lie():
    """Another digest would have every teacher run over its corpus again, and refuse what it has written."""
    model = nn.Sequential(nn.Linear(3, 50), nn.BatchNorm1d(50))
    with torch.no_grad():
        for each in model.parameters():
            each.copy_(torch.arange(each.numel()).reshape(each.shape) / 8)
    of_states = weights_digest(model.named_parameters(), 64, with_precision=True)
    of_responses = weights_digest(sorted(model.state_dict().items()), 1024, with_precision=False)
    assert of_states == "7db9b1474cecb695ac2a767c2113f6d837bf8b33acd0432e9e80e4cfcc57f798"
    assert of_responses == "189e0cace2b7bf1e9ad43765504d72445f18769c9e1287726011ce020828f358"


def test_adapters_name_their_base_and_have_its_digest_in_theirs(tmp_path: Path):
    save_model("gpt2", tmp_path / "base")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(f'{{"base_model_name_or_path": "{tmp_path / "base"}"}}')
    assert base_of(adapter) == tmp_path / "base"
    assert base_of(tmp_path / "base") is None
    before = files_digest(adapter)
    (tmp_path / "base" / "config.json").write_text("{}")
    assert files_digest(adapter) != before


@pytest.mark.parametrize("source", ["models/gpt2", "outputs/run", "data/dolly", "./a/b"])
def test_what_reads_as_a_path_is_asked_of_no_hub(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def ask(*_: object, **__: object) -> str:
        raise NotImplementedError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.snapshot_download", ask)
    with pytest.raises(TrainingError, match="expected a model directory or a hub id; got neither"):
        directory_of(source)
    with pytest.raises(NotImplementedError):
        directory_of("owner/gpt2")


def test_code_beside_a_model_is_not_run_even_if_somebody_would_say_yes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save_model("gpt2", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {
        "model_type": "theirs",
        "auto_map": {"AutoConfig": "theirs.Config", "AutoModelForCausalLM": "theirs.Model"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "theirs.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
        "from transformers import GPT2Config as Config, GPT2LMHeadModel as Model\n"
    )
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))  # transformers may ask there
    with pytest.raises(TrainingError, match="expected a causal language model; got"):
        causal_model(tmp_path, torch.float32)
    assert not (tmp_path / "ran").exists()
