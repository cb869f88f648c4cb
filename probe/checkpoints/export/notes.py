"""What the layout cannot say, or its readers have to be told: the lines of ``NOTES.txt``."""

import json
from collections.abc import Iterable

from probe.checkpoints.checkpoint import Checkpoint, ModelRecord
from probe.checkpoints.dskd import ADVERSARIES, CONFIG, MATCHING, PRETRAINING, PROMPT, dskd_criterion
from probe.checkpoints.export.models import PlacedModel
from probe.checkpoints.export.translation import OF_ALL, OF_DISTILLATION, OF_MATCHING, Dtype, TranslatedRecipe
from probe.checkpoints.open_model import OpenModel
from probe.projectors import QUERY, S2T


def layout_notes(
    checkpoint: Checkpoint, recipe: TranslatedRecipe, student: OpenModel, teacher: PlacedModel, dtype: Dtype
) -> Iterable[str]:
    """All notes but those on the tokenizer's files, one sentence each."""
    yield from _scale_notes(checkpoint)
    yield from _projector_notes(checkpoint, dtype)
    yield from _row_notes(checkpoint.student, student, "student")
    if teacher.opened:
        yield from _row_notes(checkpoint.teacher, teacher.opened, "teacher")
    elif teacher.path:
        yield f"teacher_model_path: {teacher.path} is not on this machine; whether its embeddings fit was not checked."
        for source in (v.source for v in checkpoint.teacher.sources if v.source.startswith(f"{teacher.path}@")):
            yield f"teacher_model_path: the revision is lost; the projectors belong to {source}."
    else:
        yield "teacher_model_path: the teacher is not on this machine; write its directory into args.json."
    distils = OF_DISTILLATION if checkpoint.criterion != PRETRAINING else ()
    matches = OF_MATCHING if dskd_criterion(checkpoint) == MATCHING else ()
    unknown = [key for key in (*OF_ALL, *distils, *matches) if key not in recipe.arguments]
    if unknown:
        yield f"args.json leaves out what the recipe does not say: {', '.join(unknown)}."
    if recipe.rest:
        yield f"Of the recipe, DSKD has no argument for: {json.dumps(recipe.rest, ensure_ascii=False)}."


def _scale_notes(checkpoint: Checkpoint) -> Iterable[str]:
    scales = checkpoint.scales
    if QUERY in checkpoint.projectors:
        kind = ", an estimate" if scales.key_is_estimate else ""
        yield (
            f"key_scale {scales.key!r}{kind}: lost, for DSKD divides keys by the standard deviation of each batch. "
            f"Give it to readers that take one: --key-scale {scales.key!r}."
        )
    for name, value in (("hidden", scales.hidden), ("target", scales.target)):
        if value is not None:
            yield f"{name}_scale {value!r}: lost, for DSKD divides by the standard deviation of each batch."


def _projector_notes(checkpoint: Checkpoint, dtype: Dtype) -> Iterable[str]:
    names = checkpoint.projectors.keys()
    if dtype == "bfloat16":
        yield "Projectors are rounded to bfloat16; --dtype float32 keeps them to the bit."
    if QUERY not in names:
        yield "There is no query projector, so this run has no attention to read."
    if S2T not in names:
        yield f"There is no s2t projector; to train on, enable it in {CONFIG}, and DSKD starts from a random one."
    if checkpoint.method in ADVERSARIES:
        yield "The networks that match keys and queries are not part of a checkpoint, neither here nor in DSKD's."


def _row_notes(record: ModelRecord, model: OpenModel, role: str) -> Iterable[str]:
    """What DSKD's readers assume of a tokenizer and this checkpoint does otherwise."""
    end = model.tokenizer.encode(PROMPT)[-1]
    if end != record.prompt_end_id:
        yield f"{role}: prompts end in token {record.prompt_end_id}, and those of DSKD's template in {end}."
    if model.tokenizer.dskd_eos_id != record.eos_id:
        yield f"{role}: texts end in token {record.eos_id}, and DSKD ends them in {model.tokenizer.dskd_eos_id}."
