import json
import os
import pickle
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import peft
import pytest
import torch
import transformers
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from safetensors.torch import save_file

from probe.errors import MissingExtraError, TableError
from probe.models.embeddings import EmbeddingTable, open_table

ROWS, WIDTH = 64, 32
IDS = np.array([3, 0, 63, 3, 17])
COMMON = {
    "vocab_size": ROWS,
    "hidden_size": WIDTH,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GEMMA = COMMON | {"head_dim": 16}
CONFIGS = {
    "gpt2": transformers.GPT2Config(vocab_size=ROWS, n_embd=WIDTH, n_layer=1, n_head=2, n_positions=16),
    "llama": transformers.LlamaConfig(**COMMON),
    "qwen2": transformers.Qwen2Config(**COMMON),
    "qwen3": transformers.Qwen3Config(**COMMON, head_dim=16),
    "mistral": transformers.MistralConfig(**COMMON),
    "gemma": transformers.GemmaConfig(**GEMMA),
    "gemma2": transformers.Gemma2Config(**GEMMA),
    "gemma3": transformers.Gemma3TextConfig(**GEMMA),
    "opt": transformers.OPTConfig(
        vocab_size=ROWS,
        hidden_size=WIDTH,
        word_embed_proj_dim=16,
        ffn_dim=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16,
    ),
    "gpt_neox": transformers.GPTNeoXConfig(**COMMON),
    "phi": transformers.PhiConfig(**COMMON),
    "phi3": transformers.Phi3Config(**COMMON),
    "xglm": transformers.XGLMConfig(
        vocab_size=ROWS, d_model=WIDTH, ffn_dim=16, num_layers=1, attention_heads=2, max_position_embeddings=16
    ),
    "minicpm3": transformers.MiniCPM3Config(
        **COMMON, q_lora_rank=8, kv_lora_rank=8, qk_nope_head_dim=8, qk_rope_head_dim=8, v_head_dim=8
    ),
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 8,
    "patch_size": 4,
}
CONFIGS["gemma3_multimodal"] = transformers.Gemma3Config(
    text_config=GEMMA,
    vision_config=VISION,
    mm_tokens_per_image=4,
)
SCALED = {"gemma", "gemma2", "gemma3", "gemma3_multimodal", "xglm", "minicpm3"}


def tiny_model(name: str, dtype: torch.dtype = torch.float32) -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    # A copy, because saving a model writes its type into its config.
    return transformers.AutoModelForCausalLM.from_config(deepcopy(CONFIGS[name])).to(dtype)


def saved(model: transformers.PreTrainedModel, directory: Path, **options: str) -> Path:
    model.save_pretrained(directory, **options)
    return directory


def module_rows(model: transformers.PreTrainedModel, ids: np.ndarray = IDS) -> np.ndarray:
    with torch.no_grad():
        return model.get_input_embeddings()(torch.from_numpy(ids)).numpy()


def write_table(directory: Path, table: torch.Tensor, name: str = "model.embed_tokens.weight") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text('{"model_type": "llama"}')
    save_file({name: table}, directory / "model.safetensors")
    return directory


def message(source: str | Path, **options: object) -> str:
    with pytest.raises(TableError) as caught:
        open_table(source, **options)
    return str(caught.value)


# What the embedding module returns


@pytest.mark.parametrize("name", CONFIGS)
def test_rows_are_those_of_the_embedding_module(name: str, tmp_path: Path) -> None:
    model = tiny_model(name)
    table = open_table(saved(model, tmp_path))
    np.testing.assert_array_equal(table.take(IDS), module_rows(model))
    assert (table.scale != 1) == (name in SCALED)
    assert (table.rows, table.width) == tuple(model.get_input_embeddings().weight.shape)
    assert table.source == str(tmp_path)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gemma3n_text", {"num_kv_shared_layers": 0}),
        ("gemma4_text", {}),
        ("vaultgemma", {}),
        ("recurrent_gemma", {}),
        ("granite", {}),
    ],
)
def test_scale_of_larger_relatives(name: str, options: dict[str, int], tmp_path: Path) -> None:
    # On the meta device: their tiniest models are not tiny, and the module's own factor is all that matters here.
    config = transformers.AutoConfig.for_model(name, num_hidden_layers=1, **options)
    with torch.device("meta"):
        module = transformers.AutoModel.from_config(config).get_input_embeddings()
    write_table(tmp_path, torch.ones(4, module.embedding_dim))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": name}))
    assert open_table(tmp_path).scale == pytest.approx(getattr(module, "scalar_embed_scale", 1.0))


def test_headless_model(tmp_path: Path) -> None:
    for name in ("gpt2", "llama", "opt", "gpt_neox"):
        torch.manual_seed(0)
        model = transformers.AutoModel.from_config(deepcopy(CONFIGS[name]))
        np.testing.assert_array_equal(open_table(saved(model, tmp_path / name)).take(IDS), module_rows(model))


def test_multimodal_names_of_the_hub(tmp_path: Path) -> None:
    table = torch.randn(ROWS, WIDTH)
    write_table(tmp_path, table, "language_model.model.embed_tokens.weight")
    (tmp_path / "config.json").write_text('{"model_type": "gemma3", "text_config": {"hidden_size": 32}}')
    assert open_table(tmp_path).scale == pytest.approx(WIDTH**0.5)


def test_scale_of_the_language_model_inside_a_multimodal_one(tmp_path: Path) -> None:
    write_table(tmp_path, torch.randn(ROWS, WIDTH), "model.language_model.embed_tokens.weight")
    (tmp_path / "config.json").write_text('{"model_type": "paligemma", "text_config": {"model_type": "gemma"}}')
    assert open_table(tmp_path).scale == pytest.approx(WIDTH**0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_storage_types(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    model = tiny_model(name, dtype)
    saved(model, tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    # A float32 module with the rounded weights. `.float()` would not do: it leaves Gemma's factor rounded to the type.
    expected = module_rows(transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32))
    np.testing.assert_array_equal(open_table(tmp_path).take(IDS), expected)
    (tmp_path / "model.safetensors").unlink()
    np.testing.assert_array_equal(open_table(tmp_path).take(IDS), expected)


def test_empty_and_narrow_ids(tmp_path: Path) -> None:
    table = open_table(saved(tiny_model("llama"), tmp_path))
    assert table.take(np.array([], dtype=np.int64)).shape == (0, WIDTH)
    np.testing.assert_array_equal(table.take(IDS.astype(np.int32)), table.take(IDS))
    rows = table.take(IDS)
    assert rows.dtype == np.float32
    rows[:] = 0  # the caller's own array: the mapped file behind it is read-only
    assert np.any(table.take(IDS))


@pytest.mark.parametrize("bad", [-1, ROWS])
def test_ids_outside_the_table(bad: int, tmp_path: Path) -> None:
    table = open_table(saved(tiny_model("llama"), tmp_path))
    with pytest.raises(TableError, match=f"token ids from 0 to 63; got id {bad}"):
        table.take(np.array([0, bad]))


# Files


def test_only_the_shard_with_the_table_is_opened(tmp_path: Path) -> None:
    model = tiny_model("llama")
    saved(model, tmp_path, max_shard_size="4KB")
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    keep = index["weight_map"]["model.embed_tokens.weight"]
    others = [path for path in tmp_path.glob("*.safetensors") if path.name != keep]
    for path in others:
        path.unlink()
    assert others
    np.testing.assert_array_equal(open_table(tmp_path).take(IDS), module_rows(model))
    (tmp_path / keep).unlink()
    assert keep in message(tmp_path)


def test_sharded_bin(tmp_path: Path) -> None:
    model = tiny_model("gpt2")
    model.config.save_pretrained(tmp_path)
    state = model.state_dict()
    shards = {"pytorch_model-00001-of-00002.bin": {}, "pytorch_model-00002-of-00002.bin": {}}
    weight_map = {name: list(shards)["wte" in name] for name in state}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    torch.save({"transformer.wte.weight": state["transformer.wte.weight"]}, tmp_path / list(shards)[1])
    np.testing.assert_array_equal(open_table(tmp_path).take(IDS), module_rows(model))


def test_bin_from_before_zip(tmp_path: Path) -> None:
    model = tiny_model("opt")
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    np.testing.assert_array_equal(open_table(tmp_path).take(IDS), module_rows(model))


def test_whole_file_comes_before_shards_and_safetensors_before_bin(tmp_path: Path) -> None:
    write_table(tmp_path, torch.full((4, 2), 1.0))
    (tmp_path / "model.safetensors.index.json").write_text("not read")
    torch.save({"model.embed_tokens.weight": torch.full((4, 2), 2.0)}, tmp_path / "pytorch_model.bin")
    assert open_table(tmp_path).take(np.array([0]))[0, 0] == 1


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickle_that_runs_code_is_refused(zipped: bool, tmp_path: Path) -> None:
    canary, weights = tmp_path / "canary", tmp_path / "pytorch_model.bin"
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    if zipped:
        torch.save({"wte.weight": Canary(canary)}, weights)
    else:
        weights.write_bytes(pickle.dumps({"wte.weight": Canary(canary)}, protocol=2))
    assert "nothing was executed" in message(tmp_path)
    assert not canary.exists()
    pickle.loads(pickle.dumps(Canary(canary)))  # the pickle does what it is feared to do
    assert canary.exists()


def test_bin_without_torch_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    torch.save({"wte.weight": torch.ones(4, 2)}, tmp_path / "pytorch_model.bin")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'cma-probe\[train\]'"):
        open_table(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "safetensors header"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
        (b"\x02\0\0\0\0\0\0\0[]", "safetensors header"),
    ],
)
def test_damaged_safetensors(content: bytes, says: str, tmp_path: Path) -> None:
    write_table(tmp_path, torch.ones(4, 2))
    (tmp_path / "model.safetensors").write_bytes(content)
    assert says in message(tmp_path)


def test_unfinished_downloads(tmp_path: Path) -> None:
    weights = write_table(tmp_path, torch.ones(64, 32)) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert "unfinished download" in message(tmp_path)
    weights.unlink()
    weights = tmp_path / "pytorch_model.bin"
    torch.save({"model.embed_tokens.weight": torch.ones(64, 32)}, weights)
    weights.write_bytes(weights.read_bytes()[:-300])
    assert "unfinished download" in message(tmp_path)


def test_tables_of_the_wrong_type_or_shape(tmp_path: Path) -> None:
    assert "got I8" in message(write_table(tmp_path / "int8", torch.ones(4, 2, dtype=torch.int8)))
    assert "ZeRO-3" in message(write_table(tmp_path / "zero3", torch.ones(0)))
    assert "shape (4,)" in message(write_table(tmp_path / "vector", torch.ones(4)))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/config.json").write_text('{"model_type": "gpt2"}')
    torch.save({"wte.weight": torch.ones(4, 2, dtype=torch.float64)}, tmp_path / "bin/pytorch_model.bin")
    assert "got torch.float64" in message(tmp_path / "bin")
    torch.save(torch.ones(4, 2), tmp_path / "bin/pytorch_model.bin")
    assert "tensors by name; got Tensor" in message(tmp_path / "bin")


def test_unknown_tensor_names_are_listed(tmp_path: Path) -> None:
    text = message(write_table(tmp_path, torch.ones(4, 2), "other_embeddings.weight"))
    assert "other_embeddings.weight" in text
    assert "transformer.wte.weight" in text


def test_missing_files(tmp_path: Path) -> None:
    assert "an empty directory" in message(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    assert "pytorch_model.bin.index.json; got only config.json" in message(tmp_path)
    write_table(tmp_path, torch.ones(4, 2))
    (tmp_path / "config.json").write_text("{}")
    assert "expected a model_type" in message(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    assert "a JSON object; got list" in message(tmp_path)
    (tmp_path / "config.json").unlink()
    assert "expected config.json" in message(tmp_path)
    assert "none of them" in message(tmp_path / "owner" / "name")
    assert "none of them" in message("")
    assert "none of them" in message("gpt2")


# GGUF


def write_gguf(path: Path, table: np.ndarray, kind: gguf.GGMLQuantizationType, architecture: str = "llama") -> Path:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    data = gguf.quantize(table, kind)
    writer.add_tensor("token_embd.weight", data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_1", "BF16", "F16", "F32"])
def test_gguf_rows(kind: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((ROWS, WIDTH)).astype(np.float32)
    type_ = gguf.GGMLQuantizationType[kind]
    table = open_table(write_gguf(tmp_path / "model.gguf", values, type_))
    assert (table.rows, table.width, table.scale) == (ROWS, WIDTH, 1.0)
    np.testing.assert_array_equal(table.take(IDS), gguf.dequantize(gguf.quantize(values, type_), type_)[IDS])
    np.testing.assert_allclose(table.take(IDS), values[IDS], atol=0.3 if kind == "Q4_1" else 0.03)
    assert table.take(np.array([], dtype=np.int64)).shape == (0, WIDTH)


def test_gguf_architecture_decides_the_scale(tmp_path: Path) -> None:
    values = np.ones((ROWS, WIDTH), np.float32)
    table = open_table(write_gguf(tmp_path / "model.gguf", values, gguf.GGMLQuantizationType.F32, "gemma3"))
    np.testing.assert_allclose(table.take(IDS), WIDTH**0.5, rtol=1e-6)


def test_gguf_errors(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    assert "No such file" in message(path)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert "expected a GGUF file" in message(path)
    write_gguf(path, np.ones((ROWS, WIDTH), np.float32), gguf.GGMLQuantizationType.F32)
    path.write_bytes(path.read_bytes().replace(b"token_embd", b"token_xxxx"))
    assert "without them" in message(path)


# Identity


def test_identity_is_of_values_not_of_storage(tmp_path: Path) -> None:
    table = torch.randn(3000, 8).bfloat16()
    narrow = open_table(write_table(tmp_path / "bf16", table)).identity()
    wide = open_table(write_table(tmp_path / "fp32", table.float()))
    assert narrow == wide.identity()
    assert narrow == replace(wide, scale=5.0).identity()
    assert (narrow.rows, narrow.width, len(narrow.sha256)) == (3000, 8, 64)


def test_identity_covers_every_row(tmp_path: Path) -> None:
    table = torch.randn(20_000, 4)
    identities = {open_table(write_table(tmp_path / "whole", table)).identity().sha256}
    for row in (0, 1, 7, 8191, 8192, 19_999):
        changed = table.clone()
        changed[row, 3] += 1e-3
        identities.add(open_table(write_table(tmp_path / "changed", changed)).identity().sha256)
    assert len(identities) == 1 + 6


def test_identity_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    table = torch.randn(20_000, 32)  # 2.4 MB
    directory = write_table(tmp_path / "model", table)
    opened = open_table(directory)
    before = opened.identity()

    def fails(ids: Any) -> Any:
        raise AssertionError("read again")

    assert replace(opened, stored=replace(opened.stored, gather=fails)).identity() == before
    write_table(directory, table.flip(0))  # of the same size
    assert open_table(directory).identity() != before


# The hub


class FakeHub:
    """Serves a directory as a hub repository and records what was asked for."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.asked: list[tuple[str, str | None]] = []
        self.served: list[str] = []

    def __call__(self, repo_id: str, filename: str, *, revision: str | None) -> str:
        self.asked.append((repo_id, revision))
        path = self.directory / filename
        if not path.exists():
            raise EntryNotFoundError(filename)
        self.served.append(filename)
        return str(path)


def test_hub_fetches_the_config_and_one_file(tmp_path: Path) -> None:
    model = tiny_model("qwen2")
    hub = FakeHub(saved(model, tmp_path))
    table = open_table("owner/some-model.v1", download=hub)
    np.testing.assert_array_equal(table.take(IDS), module_rows(model))
    assert hub.served == ["config.json", "model.safetensors"]
    assert set(hub.asked) == {("owner/some-model.v1", None)}
    assert table.source == "owner/some-model.v1"


def test_hub_fetches_one_shard_at_the_revision(tmp_path: Path) -> None:
    model = tiny_model("llama")
    hub = FakeHub(saved(model, tmp_path, max_shard_size="4KB"))
    np.testing.assert_array_equal(open_table("owner/name@v2", download=hub).take(IDS), module_rows(model))
    shard = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    assert hub.served == ["config.json", "model.safetensors.index.json", shard["model.embed_tokens.weight"]]
    assert {revision for _, revision in hub.asked} == {"v2"}


def test_local_directory_goes_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tiny_model("gpt2"), tmp_path / "owner" / "name")
    hub = FakeHub(tmp_path)
    open_table("owner/name", download=hub)
    message(Path("other/name"), download=hub)  # a Path never means the hub
    assert hub.asked == []


def test_hub_refusals(tmp_path: Path) -> None:
    def refuse(repo_id: str, filename: str, *, revision: str | None) -> str:
        raise OSError("401 Client Error\nand a page of advice")

    def offline(repo_id: str, filename: str, *, revision: str | None) -> str:
        raise LocalEntryNotFoundError("not cached")

    refused = message("owner/name", download=refuse)
    assert "hf auth login" in refused
    assert "OSError: 401 Client Error." in refused
    assert "nothing in the cache for config.json" in message("owner/name", download=offline)
    assert "no such file on the hub" in message("owner/name", download=FakeHub(tmp_path))


def test_offline_hub_uses_what_the_cache_has(tmp_path: Path) -> None:
    model = tiny_model("llama")
    saved(model, tmp_path, max_shard_size="4KB")

    def cached(repo_id: str, filename: str, *, revision: str | None) -> str:
        if not (tmp_path / filename).exists():
            raise LocalEntryNotFoundError("not cached")
        return str(tmp_path / filename)

    np.testing.assert_array_equal(open_table("owner/name", download=cached).take(IDS), module_rows(model))


# LoRA


def adapter(directory: Path, **config: object) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "adapter_config.json").write_text(json.dumps(config))
    return directory


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft calls it
def test_lora_of_peft_reads_its_base(tmp_path: Path) -> None:
    base = saved(tiny_model("llama"), tmp_path / "base")
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path / "lora")
    table = open_table(tmp_path / "lora")
    assert table.source == str(tmp_path / "lora")
    np.testing.assert_array_equal(table.take(IDS), open_table(base).take(IDS))


def test_lora_base_relative_to_the_working_directory_or_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tiny_model("llama"), tmp_path / "models" / "base")
    lora = adapter(tmp_path / "lora", base_model_name_or_path="models/base", revision="r1")
    assert open_table(lora).rows == ROWS
    monkeypatch.chdir(tmp_path / "lora")
    hub = FakeHub(tmp_path / "models" / "base")
    assert open_table(lora, download=hub).rows == ROWS
    assert set(hub.asked) == {("models/base", "r1")}


def test_lora_on_the_hub(tmp_path: Path) -> None:
    base = saved(tiny_model("llama"), tmp_path / "base")
    hub = FakeHub(adapter(tmp_path / "lora", base_model_name_or_path=str(base)))
    np.testing.assert_array_equal(open_table("owner/lora", download=hub).take(IDS), open_table(base).take(IDS))
    assert hub.served == ["adapter_config.json"]


@pytest.mark.parametrize(
    "change",
    [
        {"modules_to_save": ["lm_head", "embed_tokens"]},
        {"target_modules": ["q_proj", "wte"]},
        {"target_modules": r".*embed_in|.*query_key_value"},
        {"trainable_token_indices": [5, 6]},
    ],
)
def test_lora_that_changes_the_table_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    saved(tiny_model("llama"), tmp_path / "base")
    lora = adapter(tmp_path / "lora", base_model_name_or_path=str(tmp_path / "base"), **change)
    assert "Merge it first" in message(lora)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_lora_with_a_resized_table_is_refused(suffix: str, tmp_path: Path) -> None:
    saved(tiny_model("llama"), tmp_path / "base")
    lora = adapter(tmp_path / "lora", base_model_name_or_path=str(tmp_path / "base"), target_modules=["q_proj"])
    tensors = {"base_model.model.model.embed_tokens.weight": torch.ones(ROWS + 1, WIDTH)}
    if suffix == "bin":
        torch.save(tensors, lora / "adapter_model.bin")
    else:
        save_file(tensors, lora / "adapter_model.safetensors")
    assert "Merge it first" in message(lora)


def test_lora_without_a_base(tmp_path: Path) -> None:
    text = message(adapter(tmp_path / "none", base_model_name_or_path=None, target_modules="all-linear"))
    assert "adapter_config.json: base_model_name_or_path" in text
    (tmp_path / "empty").mkdir()
    lora = adapter(tmp_path / "lora", base_model_name_or_path=str(tmp_path / "empty"))
    assert str(tmp_path / "empty") in message(lora)


# The rest


def test_import_is_light() -> None:
    heavy = "{'torch', 'transformers', 'pandas', 'matplotlib', 'huggingface_hub', 'gguf'}"
    code = f"import probe.models.embeddings, sys; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_shapes_are_checked(tmp_path: Path) -> None:
    table: EmbeddingTable = open_table(write_table(tmp_path, torch.ones(4, 2)))
    with pytest.raises(TypeError, match="ids"):
        table.take(np.array([[0, 1]]))


# Names of the table


def _mamba(kind: type[transformers.PretrainedConfig]) -> transformers.PretrainedConfig:
    return kind(vocab_size=ROWS, hidden_size=WIDTH, num_hidden_layers=1, state_size=4, num_heads=4, head_dim=16)


OTHERS = {
    "falcon": transformers.FalconConfig(vocab_size=ROWS, hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=2),
    "bloom": transformers.BloomConfig(vocab_size=ROWS, hidden_size=WIDTH, n_layer=1, n_head=2),
    "mamba": transformers.MambaConfig(vocab_size=ROWS, hidden_size=WIDTH, num_hidden_layers=1, state_size=4),
    "falcon_mamba": transformers.FalconMambaConfig(vocab_size=ROWS, hidden_size=WIDTH, num_hidden_layers=1),
    "mamba2": _mamba(transformers.Mamba2Config),
    "nemotron_h": transformers.NemotronHConfig(
        **(COMMON | {"num_hidden_layers": 2}), head_dim=16, layers_block_type=["attention", "mlp"]
    ),
    "modernbert-decoder": transformers.ModernBertDecoderConfig(**COMMON),
    "biogpt": transformers.BioGptConfig(**COMMON),
    "gpt_neox_japanese": transformers.GPTNeoXJapaneseConfig(**COMMON),
    "openai-gpt": transformers.OpenAIGPTConfig(vocab_size=ROWS, n_embd=WIDTH, n_layer=1, n_head=2, n_positions=16),
}
IDEFICS = {
    "text_config": {**COMMON, "model_type": "llama"},
    "vision_config": VISION,
    "pad_token_id": 0,
}


@pytest.mark.parametrize("name", OTHERS)
def test_tables_under_other_names_are_found(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(deepcopy(OTHERS[name]))
    table = open_table(saved(model, tmp_path))
    np.testing.assert_allclose(table.take(IDS), module_rows(model), rtol=1e-6)


@pytest.mark.parametrize("kind", ["Idefics2", "Idefics3"])
def test_tables_of_idefics_are_found(kind: str, tmp_path: Path) -> None:
    config = getattr(transformers, f"{kind}Config")(**deepcopy(IDEFICS))
    model = getattr(transformers, f"{kind}ForConditionalGeneration")(config)
    table = open_table(saved(model, tmp_path))
    np.testing.assert_array_equal(table.take(IDS), module_rows(model))


def test_the_table_of_the_first_idefics_is_found(tmp_path: Path) -> None:
    write_table(tmp_path, torch.ones(4, 2))
    (tmp_path / "config.json").write_text('{"model_type": "idefics"}')
    assert open_table(tmp_path).rows == 4
