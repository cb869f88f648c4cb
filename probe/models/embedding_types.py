"""What the embedding module of a model type makes of the stored rows: the rows themselves, or rows times a factor.

Cross-model attention is built of what `get_input_embeddings()(ids)` returns, so a factor inside of that module changes
every number, while one that the model applies outside of it changes none. Which it is follows from the model's code
alone. A type that is on no list here is refused, never guessed. The lists are those of transformers 5.23, and a test
holds them to the modules themselves.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from probe.errors import Problem, TableError, option

ROOT_WIDTH = frozenset(
    {
        *("gemma", "gemma2", "gemma3", "gemma3_text", "gemma3n", "gemma3n_text"),
        *("gemma4", "gemma4_text", "gemma4_unified", "gemma4_unified_text", "vaultgemma"),
    }
)
"""Rows times the square root of the width. Gemma 3 and later always did. Gemma 1 and 2 do since transformers 5.4;
before, they scaled outside of the module. For a checkpoint trained with such a version state the scale 1."""

ROOT_WIDTH_IF_ASKED: Mapping[str, bool] = {
    **dict.fromkeys(("bigbird_pegasus", "biogpt", "plbart", "xglm"), True),
    **dict.fromkeys(("bart", "blenderbot", "mbart", "trocr"), False),
}
"""The same where `scale_embedding` of the configuration says so, and what it says by default: configurations that are
saved leave defaults out."""

OWN_FACTOR: Mapping[str, tuple[str, float]] = {"minicpm3": ("scale_emb", 12.0)}
"""Rows times a number of the configuration: its key, and the default."""

NORMALISED = frozenset({"inkling_text", "inkling2_text"})
"""Rows divided by their own size: no factor, and no table of rows, can stand for that."""

PLAIN = frozenset(Path(__file__).with_name("plain_types.txt").read_text(encoding="utf-8").split())
"""The rows as they are."""

KNOWN = PLAIN | ROOT_WIDTH | ROOT_WIDTH_IF_ASKED.keys() | OWN_FACTOR.keys() | NORMALISED


def embedding_scale(config: Mapping[str, Any], width: int, where: str) -> float:
    """The factor inside the embedding module of a model.

    Args:
        config: its ``config.json``; multimodal models keep their language model's type in ``text_config``.
        width: of the table.
        where: names the file in messages.

    Raises:
        TableError: the type is missing, normalises its rows, or is not known.
    """
    inner = config.get("text_config")
    text: Mapping[str, Any] = inner if isinstance(inner, dict) and inner else config
    named: list[Any] = [text.get("model_type"), config.get("model_type")]
    model_type = next((one for one in named if isinstance(one, str) and one in KNOWN), "")
    if model_type in PLAIN:
        return 1.0
    if model_type in ROOT_WIDTH_IF_ASKED:
        return math.sqrt(width) if text.get("scale_embedding", ROOT_WIDTH_IF_ASKED[model_type]) else 1.0
    if model_type in ROOT_WIDTH:
        return math.sqrt(width)
    if model_type in OWN_FACTOR:
        key, default = OWN_FACTOR[model_type]
        factor = text.get(key, default)
        if type(factor) not in (int, float) or not 0 < factor < 1e6:
            raise TableError(Problem(where, f"a number above 0 as {key}", repr(factor)[:80], "Restore the file."))
        return float(factor)
    if model_type in NORMALISED:
        expected, got = "embeddings that are rows times a number", f"{model_type}, which normalises its rows"
        raise TableError(Problem(where, expected, got, "Score its attention as maps: --maps."))
    got = next((repr(one) for one in named if one is not None), "none")
    stated = option("--embedding-scale", "ROLE=1", python="scale=1")
    remedy = f"State what its embedding module multiplies rows by, 1 if by nothing: {stated}."
    raise TableError(Problem(where, "a model_type whose embedding module is known", got, remedy))
