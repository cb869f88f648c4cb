"""The lines of ``NOTES.txt``: what the layout cannot store, and what its users must know."""

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
    """All notes except those on the tokenizer files, one sentence each."""
    yield from _scale_notes(checkpoint)
    yield from _projector_notes(checkpoint, dtype)
    yield from _row_notes(checkpoint.student, student, "student")
    if teacher.opened:
        yield from _row_notes(checkpoint.teacher, teacher.opened, "teacher")
    elif teacher.path:
        yield f"teacher_model_path: {teacher.path} is not on this machine, so its embeddings were not checked."
        for source in (v.source for v in checkpoint.teacher.sources if v.source.startswith(f"{teacher.path}@")):
            yield f"teacher_model_path: the revision is lost; the projectors belong to {source}."
    else:
        yield "teacher_model_path: the teacher is not on this machine; write its directory into args.json."
    distils = OF_DISTILLATION if checkpoint.criterion != PRETRAINING else ()
    matches = OF_MATCHING if dskd_criterion(checkpoint) == MATCHING else ()
    unknown = [key for key in (*OF_ALL, *distils, *matches) if key not in recipe.arguments]
    if unknown:
        yield f"args.json lacks arguments that the recipe does not have: {', '.join(unknown)}."
    if recipe.rest:
        yield f"DSKD has no argument for these parts of the recipe: {json.dumps(recipe.rest, ensure_ascii=False)}."


def _scale_notes(checkpoint: Checkpoint) -> Iterable[str]:
    scales = checkpoint.scales
    if QUERY in checkpoint.projectors:
        kind = ", an estimate" if scales.key_is_estimate else ""
        yield (
            f"key_scale {scales.key!r}{kind}: lost, because DSKD divides keys by the standard deviation of each batch. "
            f"To probe the exported checkpoint, use --key-scale {scales.key!r}."
        )
    for name, value in (("hidden", scales.hidden), ("target", scales.target)):
        if value is not None:
            yield f"{name}_scale {value!r}: lost, because DSKD divides by the standard deviation of each batch."


def _projector_notes(checkpoint: Checkpoint, dtype: Dtype) -> Iterable[str]:
    names = checkpoint.projectors.keys()
    if dtype == "bfloat16":
        yield "Projectors are rounded to bfloat16; with --dtype float32 they stay exact."
    if QUERY not in names:
        yield "There is no query projector, so this run has no attention to probe."
    if S2T not in names:
        yield f"There is no s2t projector. To continue training, enable it in {CONFIG}; then it starts random."
    if checkpoint.method in ADVERSARIES:
        yield "The networks for key-query matching are not part of a checkpoint, neither here nor in DSKD."


def _row_notes(record: ModelRecord, model: OpenModel, role: str) -> Iterable[str]:
    """Where this checkpoint differs from what tools for DSKD assume about a tokenizer."""
    end = model.tokenizer.encode(PROMPT)[-1]
    if end != record.prompt_end_id:
        yield f"{role}: prompts end in token {record.prompt_end_id}, but the template of DSKD ends in {end}."
    if model.tokenizer.dskd_eos_id != record.eos_id:
        yield f"{role}: responses end in token {record.eos_id}, but in DSKD they end in {model.tokenizer.dskd_eos_id}."
