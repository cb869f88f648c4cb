"""A query that is trained alone first, so that its attention aligns; and another one made as sharp.

It learns as the recipe ``attention`` has it, from the seed and the training rows of the run, and is kept in the cache,
so that runs of one seed share it.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from filelock import FileLock

from probe.attention import softmax
from probe.checkpoints.checkpoint import Checkpoint, ModelRecord, load_checkpoint
from probe.checkpoints.opened import OpenCheckpoint, Sides, open_checkpoint
from probe.errors import TokenError
from probe.models.sources import cache_dir
from probe.output.files import check_directory, replacing_file
from probe.projectors import Linear, Projector
from probe.scoring.sharpness import entropy, sharpening_factor
from probe.training.attention.run import train_attention
from probe.training.attention_recipe import AttentionRecipe, ModelPart, TextsPart
from probe.training.examples import Example, digest
from probe.training.recipe import Recipe
from probe.training.teacher.teacher import teacher_source

TRAINED_ALONE = "attention"
TEXTS = "texts.jsonl"
MEASURED = 200
"""Training rows on which sharpness is compared."""


def attention_alone(recipe: Recipe, train: Sequence[Example], student: ModelRecord, teacher: ModelRecord) -> Checkpoint:
    """The query of this run, trained now or kept.

    Args:
        recipe: of the run; its seed, models and template count.
        train: its training rows, whose responses are the texts.
        student: which tables these are.
        teacher: the same.

    Raises:
        TrainingError, OutputError: as `train_attention`.
    """
    tables = [(one.sources[0].sha256, one.vocabulary_sha256) for one in (student, teacher)]
    made_of = json.dumps([recipe.seed, recipe.data.prompt, digest(train), tables])
    folder = cache_dir() / "attention" / hashlib.sha256(made_of.encode()).hexdigest()[:16]
    check_directory(folder, remedy="Set PROBE_CACHE to another directory.")
    alone = AttentionRecipe(
        name="attention",  # not of the run: other runs share it
        seed=recipe.seed,
        student=ModelPart(source=recipe.student.source),
        teacher=ModelPart(source=teacher_source(recipe)),
        texts=TextsPart(source=str(folder / TEXTS), prompt=recipe.data.prompt),
    )
    with FileLock(folder / "alone.lock"):  # of several runs that want it, the first makes it and the others wait
        with replacing_file(folder / TEXTS) as temporary:
            lines = "".join(json.dumps({"output": one.output}) + "\n" for one in train)
            temporary.write_text(lines, encoding="utf-8")
        return load_checkpoint(train_attention(alone, folder, lambda _: None))


def sharpen(query: Projector, key_scale: float, like: Checkpoint, recipe: Recipe, train: Sequence[Example]) -> float:
    """Scale a query so that its attention has the mean entropy of another's.

    Args:
        query: tensors of torch, changed in place.
        key_scale: by which the run divides keys.
        like: has the other query.
        recipe: of the run; its models are read, wherever those of the checkpoint lay.
        train: rows; the first of them are looked at.

    Returns:
        What it was multiplied with.

    Raises:
        CheckpointError, TableError: a model cannot be opened.
    """
    opened = open_checkpoint(like, student=recipe.student.source, teacher=teacher_source(recipe))
    own = replace(query, tensors={key: value.detach().cpu().numpy() for key, value in query.tensors.items()})
    sides = list(_sides(opened, train))
    ours, theirs = ([opened.logits(*side, each) for side in sides] for each in (own, like.query))
    wanted = float(np.concatenate([entropy(softmax(logits, axis=1)) for logits in theirs]).mean())
    factor = sharpening_factor(ours, wanted) * key_scale / like.scales.key
    last = max(layer.index for layer in query.layers if isinstance(layer, Linear))
    with torch.no_grad():
        for name in ("weight", "bias"):
            query.tensors[f"{last}.{name}"].mul_(factor)
    return factor


def _sides(opened: OpenCheckpoint, train: Sequence[Example]) -> Iterator[Sides]:
    for example in train[:MEASURED]:
        try:
            yield opened.tokenize(example.output)
        except TokenError:  # no tokenizer need spell what training can read
            continue
