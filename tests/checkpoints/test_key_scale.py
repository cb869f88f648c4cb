from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from directories import TEXTS, save_model

from probe.checkpoints.key_scale import Batches, simulated_key_scale
from probe.checkpoints.open_model import OpenModel
from probe.errors import CheckpointError
from probe.models.embeddings import open_table
from probe.models.tokenizer import Tokenizer

PROMPT = "Write a response.\n\n### Response:\n"
KINDS = ["llama", "gemma3"]


def teacher(directory: Path) -> OpenModel:
    tokenizer = Tokenizer.load(directory)
    return OpenModel(
        str(directory), open_table(directory), tokenizer, tokenizer.encode(PROMPT)[-1], tokenizer.dskd_eos_id
    )


def std_of_batch(directory: Path, texts: list[str], length: int) -> float:
    """The released code's definition, with the real model: one ``.std()`` over [B, L, 2·d]."""
    tokenizer = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    embed = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).get_input_embeddings()
    eos = tokenizer.token_to_id("</s>")
    prompt = tokenizer.encode(PROMPT, add_special_tokens=False).ids
    inputs = torch.full((len(texts), length), eos)
    labels = torch.full((len(texts), length), -100)
    for row, text in enumerate(texts):
        ids = torch.tensor([*prompt, *tokenizer.encode(text, add_special_tokens=False).ids, eos])[:length]
        inputs[row, : len(ids) - 1] = ids[:-1]
        labels[row, : len(ids) - 1] = ids[1:]
        labels[row, : len(prompt) - 1] = -100
    is_response = labels.ne(-100)
    with torch.no_grad():
        states = [embed(torch.where(is_response, ids, torch.zeros_like(ids))) for ids in (inputs, labels)]
    return torch.cat(states, -1).std().item()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [64, 200])
def test_one_text_gives_the_std_of_the_padded_batch(kind: str, length: int, tmp_path: Path) -> None:
    save_model(kind, tmp_path)
    found = simulated_key_scale(teacher(tmp_path), TEXTS[:1], Batches(1, length))
    assert found == pytest.approx(std_of_batch(tmp_path, [TEXTS[0]], length), rel=1e-5)


def test_a_batch_of_the_same_text(tmp_path: Path) -> None:
    save_model("llama", tmp_path)
    found = simulated_key_scale(teacher(tmp_path), TEXTS[1:2], Batches(3, 64))
    expected = std_of_batch(tmp_path, [TEXTS[1]] * 3, 64)
    assert found == pytest.approx(expected, rel=1e-5)
    # Not that of one text: the divisor counts all elements but one.
    assert found != pytest.approx(std_of_batch(tmp_path, [TEXTS[1]], 64), rel=1e-6)


def test_the_mean_lies_among_the_batches(tmp_path: Path) -> None:
    save_model("llama", tmp_path)
    singles = [std_of_batch(tmp_path, [text], 64) for text in TEXTS]
    found = simulated_key_scale(teacher(tmp_path), TEXTS, Batches(4, 64))
    assert min(singles) < found < max(singles)
    assert found == pytest.approx(std_of_batch(tmp_path, list(TEXTS), 64), rel=0.02)
    assert found == simulated_key_scale(teacher(tmp_path), TEXTS, Batches(4, 64))


def test_padding_belongs_to_the_definition(tmp_path: Path) -> None:
    save_model("llama", tmp_path)
    short, long = (simulated_key_scale(teacher(tmp_path), TEXTS[:1], Batches(1, length)) for length in (32, 512))
    filler = open_table(tmp_path).take(np.array([0]))
    assert abs(long - filler.std()) < abs(short - filler.std())
    assert short != pytest.approx(long, rel=0.01)


def test_a_text_longer_than_the_batch_is_cut(tmp_path: Path) -> None:
    save_model("llama", tmp_path)
    long = " ".join(TEXTS)
    found = simulated_key_scale(teacher(tmp_path), [long], Batches(1, 20))
    model = teacher(tmp_path)
    ids = np.array([model.prompt_end_id, *model.tokenizer.encode(long)[:20]])
    rows = torch.from_numpy(model.table.take(ids))
    assert found == pytest.approx(torch.cat([rows[:-1], rows[1:]], -1).std().item(), rel=1e-5)


def test_no_texts(tmp_path: Path) -> None:
    save_model("llama", tmp_path)
    with pytest.raises(CheckpointError, match="key_scale="):
        simulated_key_scale(teacher(tmp_path), [], Batches(1, 64))
