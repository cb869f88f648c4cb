"""The lists of model types against the embedding modules of transformers, and what becomes of a type on none."""

import json
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch import nn
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL

from probe.errors import TableError
from probe.models.embedding_types import (
    KNOWN,
    NORMALISED,
    OWN_FACTOR,
    PLAIN,
    ROOT_WIDTH,
    ROOT_WIDTH_IF_ASKED,
    embedding_scale,
)
from probe.models.embeddings import open_table

NO_TABLE = {"gemma4_assistant", "gemma4_unified_assistant", "musicgen", "musicgen_melody"}
"""Types that no list has: drafters of another model's states, and models of sound with several tables."""
NEED_MORE = {
    *("cohere_compass_text", "dbrx", "dots1", "gemma3n", "hunyuan_v1_dense", "hunyuan_v1_moe", "lfm2_moe"),
    *("gemma3n_text", "ministral", "nemotron", "reformer"),
}
"""Types whose default configuration builds no model here: their code was read instead."""
FEW = [
    "bart",
    "bigbird_pegasus",
    "biogpt",
    "falcon",
    "bloom",
    "mamba",
    "gemma3_text",
    "minicpm3",
    "inkling_text",
    "xglm",
]
SIZES = ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "encoder_layers", "decoder_layers")


def small(config: transformers.PretrainedConfig) -> transformers.PretrainedConfig:
    """The configuration with as few layers as will do: only the embedding module is looked at."""
    for part in ("text_config", "vision_config", "audio_config", "decoder"):
        inner = getattr(config, part, None)
        if isinstance(inner, transformers.PretrainedConfig):
            small(inner)
    for name in SIZES:
        if isinstance(getattr(config, name, None), int):
            with suppress(NotImplementedError):  # ProphetNet counts its two halves apart
                setattr(config, name, 2)
    if "layer_types" in vars(config):
        config.layer_types = config.layer_types[:2]
    return config


def module_of(model_type: str) -> tuple[nn.Module, dict[str, object]]:
    config = small(transformers.AutoConfig.for_model(model_type))
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = transformers.AutoModelForCausalLM.from_config(config)
    return model.get_input_embeddings(), config.to_diff_dict()


def factor(module: nn.Module) -> float | None:
    """What a module multiplies rows by; None where that is no number."""
    if type(module) is nn.Embedding:
        return None if module.max_norm else 1.0
    found = getattr(module, "scalar_embed_scale", getattr(module, "embed_scale", None))
    return float(found) if isinstance(found, int | float) else None


def check(model_type: str) -> None:
    module, config = module_of(model_type)
    if model_type in NORMALISED:
        assert factor(module) is None
        with pytest.raises(TableError, match="normalises its rows"):
            embedding_scale(config, module.embedding_dim, "config.json")
    else:
        ours = embedding_scale({"model_type": model_type, **config}, module.embedding_dim, "config.json")
        assert ours == pytest.approx(factor(module), rel=1e-5), model_type


@pytest.mark.parametrize("model_type", FEW)
def test_factors_are_those_of_the_modules(model_type: str):
    check(model_type)


@pytest.mark.slow
def test_factors_of_every_causal_type_are_those_of_the_modules():
    wrong: list[str] = []
    for model_type in sorted(set(CAUSAL) - NO_TABLE - NEED_MORE):
        try:
            check(model_type)
        except Exception as error:  # all of them at once, whatever it is
            wrong.append(f"{model_type}: {type(error).__name__} {str(error)[:80]}")
    assert not wrong


def test_every_causal_type_is_on_a_list():
    assert set(CAUSAL) - KNOWN == NO_TABLE
    assert sum(map(len, (PLAIN, ROOT_WIDTH, ROOT_WIDTH_IF_ASKED, OWN_FACTOR, NORMALISED))) == len(KNOWN)


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("model_type", ROOT_WIDTH_IF_ASKED)
def test_the_configuration_decides_where_it_may(model_type: str, asked: bool):
    config = {"model_type": model_type, "scale_embedding": asked}
    assert embedding_scale(config, 64, "config.json") == (8.0 if asked else 1.0)


def test_a_type_on_no_list_is_refused_and_can_be_told(tmp_path: Path):
    save_file({"model.embed_tokens.weight": torch.ones(4, 16)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "next-year"}))
    with pytest.raises(TableError, match=r"got 'next-year'.*scale=1"):
        open_table(tmp_path)
    assert open_table(tmp_path, scale=3.0).scale == 3.0
