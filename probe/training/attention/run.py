"""One run, from two models and texts to checkpoints of a query projector; a killed run goes on where it was saved."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from probe.checkpoints.checkpoint import Checkpoint, ModelRecord, Scales, save_checkpoint
from probe.checkpoints.dskd import PROMPT
from probe.checkpoints.manifest import is_ours
from probe.checkpoints.open_model import tokenizer_of
from probe.errors import Problem, TrainingError
from probe.models.embeddings import EmbeddingTable, open_table
from probe.models.sources import resolve
from probe.models.tokenizer import Tokenizer
from probe.output.files import sweep
from probe.output.locks import held
from probe.output.provenance import file_sha256
from probe.projectors import QUERY, Projector
from probe.training.attention.learn import Learning, learn, prepare
from probe.training.attention.rows import Ends, Rows, read_rows
from probe.training.attention_recipe import AttentionRecipe
from probe.training.model_files import described
from probe.training.progress import CHECKPOINT, LOG, MADE_OF, PROJECTORS, STATE, remember


class _Model(NamedTuple):
    """Of a student or teacher, all that the attention needs."""

    table: EmbeddingTable
    tokenizer: Tokenizer
    record: ModelRecord

    @property
    def ends(self) -> Ends:
        return Ends(self.record.prompt_end_id, self.record.eos_id)


def train_attention(recipe: AttentionRecipe, run: Path, say: Callable[[str], None]) -> Path:
    """Train in ``run`` and return the last checkpoint. No transformer is loaded.

    Args:
        recipe: one run (see `AttentionRecipe.runs`).
        run: its directory; what is there is gone on with.
        say: takes lines for the user.

    Raises:
        TrainingError: student and teacher share their tokenizer, texts cannot be used, or another run lies there.
        TableError, CheckpointError: a model cannot be read.
        PairsError: the texts cannot be read.
        OutputError: another process trains there, or the directory cannot be written to.
    """
    if recipe.training.threads is not None:
        torch.set_num_threads(recipe.training.threads)
    with held(run):
        sweep(run, STATE, LOG, MADE_OF, CHECKPOINT)
        sweep(run / PROJECTORS, "step-*")
        return _train(recipe, run, say)


def _train(recipe: AttentionRecipe, run: Path, say: Callable[[str], None]) -> Path:
    prompt = recipe.texts.prompt or PROMPT
    student, teacher = (_open(part.source, prompt) for part in (recipe.student, recipe.teacher))
    if student.record.vocabulary_sha256 == teacher.record.vocabulary_sha256:
        expected, remedy = "another tokenizer than the teacher's", "CMA is for pairs that differ."
        raise TrainingError(Problem(recipe.student.source, expected, "the same", remedy))
    made_of = _made_of(recipe, student, teacher)
    if is_ours(run / CHECKPOINT):  # it has ended; another recipe is refused
        remember(run, made_of)
        return run / CHECKPOINT
    tokenizers = student.tokenizer, teacher.tokenizer
    read = read_rows(recipe.texts, tokenizers, (student.ends, teacher.ends), recipe.seed)
    remember(run, made_of)
    own, sampled = read.counts
    of_source = f"{own:,} texts of {recipe.texts.source} and " if own else ""
    say(f"learns from {of_source}{sampled:,} texts sampled from both vocabularies")
    learning = prepare(recipe, read.rows, (student.table, teacher.table))
    every = recipe.training.save_projectors_every or recipe.training.steps
    place = run / CHECKPOINT
    for step, query in learn(learning, run, every=every):
        place = run / CHECKPOINT if step == recipe.training.steps else run / PROJECTORS / f"step-{step}"
        if step or recipe.training.save_projectors_every:
            _save(learning, (student, teacher), read, query, step, place)
    return place


def _open(source: str, prompt: str) -> _Model:
    found = resolve(source, Path.cwd())
    table, tokenizer = open_table(found), tokenizer_of(found)
    return _Model(table, tokenizer, described(source, table, tokenizer, prompt))


def _made_of(recipe: AttentionRecipe, student: _Model, teacher: _Model) -> dict[str, str]:
    """What another run in the same directory would differ in: where models and texts lie is no part of it."""
    keys = dict(_flat(recipe.model_dump(mode="json")))
    for role, model in (("student", student), ("teacher", teacher)):
        del keys[f"{role}.source"]
        keys[role] = f"{model.record.sources[0].sha256} {model.record.vocabulary_sha256}"
    source = Path(recipe.texts.source or "")
    if source.is_file():
        keys["texts.source"] = file_sha256(source)
    return keys


def _flat(values: dict[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def _save(
    learning: Learning, models: tuple[_Model, _Model], read: Rows, query: Projector, step: int, place: Path
) -> None:
    recipe = learning.recipe
    place.parent.mkdir(parents=True, exist_ok=True)
    checkpoint = Checkpoint(
        name=recipe.name,
        path=place,
        method="cma",
        criterion=f"attention alone, {recipe.attention.objective}",
        steps=step,
        student=models[0].record,
        teacher=models[1].record,
        scales=Scales(key=learning.key_scale),
        prompt=recipe.texts.prompt or PROMPT,
        projectors={QUERY: query},
        recipe={
            **recipe.model_dump(mode="json"),
            "rows": read.counts,
            "texts_sha256": read.sha256,
            "gold_texts_sha256": read.gold_sha256,
        },
    )
    save_checkpoint(checkpoint, place)
