"""Recipes of an attention alone: two models, texts, an objective, and how long."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, field_validator

from probe.errors import ProjectorError
from probe.projectors import QUERY, STRUCTURES, parse_structure
from probe.training.parts import SEEDS, RecipePart, Seed, named_runs

ObjectiveName = Literal["overlap", "forward-sum"]


class ModelPart(RecipePart):
    """A model, of which the embedding table and the tokenizer are read."""

    source: str
    """A directory, ``bundled:`` or ``cache:`` with a name, or a hub id."""


class TextsPart(RecipePart):
    """What the attention learns from. No text of the gold file is among it, nor one that contains such a text."""

    source: str | None = None
    """Texts, one a line, or the field ``output`` of ``.jsonl``; or ``docstrings``, those of Python itself; None for
    sampled ones alone."""
    max_texts: int | None = Field(default=None, gt=0)
    """The first texts of the source alone."""
    sampled: int = Field(default=5000, ge=0)
    """Texts that are sampled from both vocabularies; see `probe.training.attention.sampling`."""
    share: float = Field(default=0.5, ge=0, lt=1)
    """Of the source among all texts. Its texts are repeated to reach it, and are there once at least; 0: not at all."""
    held_out: float = Field(default=0.0, ge=0, lt=1)
    """The share of tokens of both vocabularies that occur in no training text."""
    max_tokens: int = Field(default=160, gt=1)
    """Longer texts, by either tokenizer, are left out."""
    prompt: str | None = None
    """The template whose last token is the first input of a probe; None for the published one."""


class AttentionPart(RecipePart):
    """What the attention learns; see `probe.training.attention.objectives`."""

    objective: ObjectiveName = "overlap"
    structure: str = STRUCTURES[QUERY]
    """Of the query projector, from 2s to 2t."""
    whiten: bool = True
    """Learn on whitened embeddings; the projector that is saved takes embeddings as they are."""
    scale: float = Field(default=0.5, gt=0, allow_inf_nan=False)
    """For forward-sum: what the mean log weight of a cell counts on a path."""
    diagonal_prior: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """For forward-sum: what a token's distance from the diagonal costs a cell at first; it falls to 0 by half-time."""

    @field_validator("structure")
    @classmethod
    def _is_of_a_query(cls, structure: str) -> str:
        try:
            parse_structure(structure, student=1, teacher=1)
        except ProjectorError as error:
            raise ValueError(error.problems[0].expected) from error
        if not (structure.startswith("2s-") and structure.endswith("-2t")):
            raise ValueError("a structure from 2s to 2t, such as 2s-2t or 2s-4t-relu-2t")
        return structure


class AttentionTraining(RecipePart):
    """How long, how fast, and what is left behind."""

    steps: int = Field(default=600, gt=0)
    batch_size: int = Field(default=16, gt=0)
    learning_rate: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    warmup_steps: int = Field(default=50, ge=0)
    clip: float = Field(default=1.0, gt=0)
    save_every: int = Field(default=100, gt=0)
    """Steps between states from which a stopped run goes on."""
    save_projectors_every: int | None = Field(default=None, gt=0)
    """Steps between checkpoints; None for one at the end alone."""
    threads: int | None = Field(default=None, gt=0)


class AttentionRecipe(RecipePart):
    """A run, or several that differ in objective and seed."""

    name: str
    seed: int = Field(default=10, ge=0, lt=SEEDS)
    objectives: list[ObjectiveName] | None = None
    """Run each of these instead of ``attention.objective``."""
    seeds: list[Seed] | None = None
    """Run each objective with each of these instead of ``seed``."""
    student: ModelPart
    teacher: ModelPart
    texts: TextsPart = TextsPart()
    attention: AttentionPart = AttentionPart()
    training: AttentionTraining = AttentionTraining()

    def runs(self) -> Iterator["AttentionRecipe"]:
        """The runs one by one, every objective on the same seeds."""
        objectives, seeds = self.objectives or [self.attention.objective], self.seeds or [self.seed]
        for name, objective, seed in named_runs(self.name, objectives, seeds):
            part = self.attention.model_copy(update={"objective": objective})
            changed = {"name": name, "seed": seed, "objectives": None, "seeds": None, "attention": part}
            yield self.model_copy(update=changed)
