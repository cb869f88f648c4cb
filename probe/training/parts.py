"""The parts of a recipe: each key with its default, and what it may be."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import product
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from probe.checkpoints.dskd import MAX_LENGTH, MAX_PROMPT
from probe.training.criteria.settings import (
    METHODS,
    ChunkSide,
    CriticName,
    DecoderName,
    DivergenceName,
    FrozenName,
    MaskName,
    Method,
    Needs,
    Objective,
    wrong_decoder,
    wrong_freeze,
    wrong_links,
)

SEEDS = 1 << 32  # numpy takes no larger one
Seed = Annotated[int, Field(ge=0, lt=SEEDS)]
Reporter = Literal["tensorboard", "wandb", "mlflow", "comet_ml", "clearml", "codecarbon", "dvclive", "swanlab"]
_DEVICES = r"^(auto|balanced|balanced_low_0|sequential|(cpu|cuda|mps|xpu)(:[0-9]+)?)$"


class RecipePart(BaseModel):
    """Frozen, with no keys but the known ones."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Part = TypeVar("Part", bound=RecipePart)


def named_runs(name: str, choices: Sequence[str], seeds: Sequence[int]) -> Iterator[tuple[str, str, int]]:
    """Name, choice and seed of each run, every choice on the same seeds; one run alone keeps the recipe's name."""
    several = len(choices) * len(seeds) > 1
    for choice, seed in product(choices, seeds):
        yield f"{name}/{choice}-seed{seed}" if several else name, choice, seed


class Lora(RecipePart):
    """Low-rank adapters, as peft knows them."""

    r: int = Field(default=256, gt=0)
    alpha: int = Field(default=8, gt=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    targets: list[str] | None = None
    """Names of the layers; None for peft's choice for the architecture."""


class StudentPart(RecipePart):
    """Who learns."""

    source: str
    """A directory, ``bundled:`` or ``cache:`` with a name, or a hub id."""
    train: Literal["all", "body", "lora", "nothing"] = "all"
    """``body``: all but the embedding table and the head, so that a probe reads the base model's table."""
    lora: Lora = Lora()


class TeacherPart(RecipePart):
    """Who is learnt from; without a source there is none, as for sft."""

    source: str | None = None
    adapter: str | None = None
    """A directory of LoRA weights, merged when the teacher is loaded."""
    precision: Literal["float32", "bfloat16"] | None = None
    """Of its weights; None for that of the training."""
    head: Literal["auto", "float32", "bfloat16"] = "auto"
    """In what logits are multiplied with its head. ``auto``: as its weights are, but a large head in float32 is rounded
    where the machine that begins the run is faster in bfloat16; see `probe.training.teacher.head`."""
    cached: bool = True
    """Run it once over the corpus and keep its states on disk, rather than at every step."""
    expectations: bool = False
    """Keep what its predictions amount to as well: two products with its head for each target once, which saves one at
    every step, so that it pays from the third epoch on (see `probe.training.criteria.teacher_space`)."""
    device_map: str | None = Field(default=None, pattern=_DEVICES)
    """For teachers that do not fit one device, as accelerate knows it."""


class ColumnsPart(RecipePart):
    """Names of the columns of a dataset that is not in DSKD's layout."""

    instruction: str = "instruction"
    input: str | None = None
    response: str = "response"


class DataPart(RecipePart):
    """What is read."""

    source: str
    """A directory with train.jsonl and dev.jsonl, a file, a hub dataset, or ``docstrings``: those of Python itself."""
    columns: ColumnsPart | None = None
    held_out: int = Field(default=0, ge=0)
    """Rows set apart for evaluation where there is no dev file."""
    held_out_seed: int | None = Field(default=None, ge=0, lt=SEEDS)
    """Which rows these are; None for the seed of the run. Runs that are compared must hold out the same."""
    max_rows: int | None = Field(default=None, gt=0)
    max_prompt: int = Field(default=MAX_PROMPT, gt=0)
    max_length: int = Field(default=MAX_LENGTH, gt=1)
    skip_bad_rows: bool = False
    """Leave out rows that cannot be used, and say which; without it, they are refused."""
    prompt: str | None = None
    """The template whose last token is the first input of a probe; None for the published one."""


class ObjectivePart(RecipePart):
    """The method; see `probe.training.criteria.settings.Objective`."""

    method: Method = "cma"
    kd_rate: float = Field(default=0.5, ge=0, le=1)
    temperature: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    teacher_temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    divergence: DivergenceName = "forward_kl"
    skew: float = Field(default=0.1, ge=0, le=1)
    alpha: float = Field(default=0.5, ge=0, le=1)
    critic: CriticName = "trained"
    kq_rate: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    kq_hidden: int = Field(default=768, gt=0)
    divergence_rate: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    s2t_rate: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    only_projectors: bool = False
    reference: bool = False
    chunk_side: ChunkSide = "target"
    links_moved: float = Field(default=0.0, ge=0, le=1)
    links_dropped: float = Field(default=0.0, ge=0, le=1)
    mask: MaskName = "both"
    start: str = "random"
    """Of the projectors: ``random``, ``pseudo-inverse``, or a checkpoint's name or directory. ``attention``: the query
    is trained alone first, see `probe.training.trainer.alone`."""
    as_sharp_as: str | None = None
    """Scale the query at the start so that its attention has the mean entropy of another's: ``attention``, one that is
    trained alone, or that of a checkpoint."""
    freeze: list[FrozenName] = []
    """What stays as it starts: the query projector; the student's embedding table, and its head where the two share
    their weights."""
    decoder: DecoderName = "none"
    """What brings attention over all positions into order; see `probe.training.criteria.decoders`."""
    decoder_rate: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """For diagonal: its first rate, which falls to 0 along the run."""
    vocabulary_map: str | None = None
    """For mined: a file of `probe.training.vocabulary_map`."""

    @field_validator("freeze")
    @classmethod
    def _can_freeze(cls, frozen: list[FrozenName], info: Any) -> list[FrozenName]:
        wrong = wrong_freeze(info.data["method"], frozen) if "method" in info.data else None
        if wrong is not None:
            raise ValueError(wrong)
        return frozen

    @field_validator("decoder")
    @classmethod
    def _can_decode(cls, decoder: DecoderName, info: Any) -> DecoderName:
        known = info.data.keys() >= {"method", "reference"}  # others are wrong themselves
        wrong = wrong_decoder(info.data["method"], decoder, reference=info.data["reference"]) if known else None
        if wrong is not None:
            raise ValueError(wrong)
        return decoder

    @model_validator(mode="after")
    def _can_change_links(self) -> "ObjectivePart":
        links = self.mask, self.links_moved, self.links_dropped
        wrong = wrong_links(self.method, *links, reference=self.reference)
        if wrong is not None:
            raise ValueError(wrong)
        return self

    @property
    def needs(self) -> Needs:
        """What the method needs."""
        return METHODS[self.method]

    def objective(self) -> Objective:
        """The part that a criterion reads."""
        return Objective(**{field.name: getattr(self, field.name) for field in fields(Objective)})


class TrainingPart(RecipePart):
    """How long, how fast, and what is left behind."""

    epochs: float | None = Field(default=None, gt=0)
    steps: int | None = Field(default=None, gt=0)
    batch_size: int = Field(default=8, gt=0)
    """Rows of an optimizer step, over all processes and accumulated parts."""
    micro_batch_size: int | None = Field(default=None, gt=0)
    """Rows that a process runs at once; None for as many as there are."""
    learning_rate: float = Field(default=5e-4, gt=0, allow_inf_nan=False)
    projector_learning_rate: float = Field(default=1e-3, gt=0)
    critic_learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    clip: float = Field(default=1.0, gt=0)
    critic_clip: float = Field(default=1.0, gt=0)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_steps: int = Field(default=0, ge=0)
    precision: Literal["float32", "bfloat16"] = "float32"
    save_every: int | None = Field(default=None, gt=0)
    """Steps between checkpoints; None for one at the end of each epoch."""
    save_projectors_every: int | None = Field(default=None, gt=0)
    keep_last: int = Field(default=1, gt=0)
    keep_best: int = Field(default=1, ge=0)
    keep_by: Literal["bits_per_byte", "rouge_l"] = "bits_per_byte"
    """What best means, on the dev rows. ROUGE-L is of responses sampled as in ``evaluation``, with its first seed and
    without its rule on n-grams, as published."""
    log_every: int = Field(default=10, gt=0)
    report_to: list[Reporter] = []
    """``tensorboard``, ``wandb``, as transformers knows them."""
    threads: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_length(self) -> "TrainingPart":
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give either epochs or steps")
        return self


class EvaluationPart(RecipePart):
    """How responses are sampled and on which prompts."""

    sets: dict[str, str] = {}
    """Directories or files by name, the first of them in-domain; without any, the dev rows are the set."""
    seeds: list[Seed] = [10, 20, 30, 40, 50]
    """Of decoding. Without any, no response is sampled, and likelihoods are all that is measured."""
    temperature: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    no_repeat_ngram_size: int = Field(default=6, ge=0)
    max_prompt: int = Field(default=MAX_PROMPT, gt=0)
    max_length: int = Field(default=MAX_LENGTH, gt=1)
    batch_size: int = Field(default=32, gt=0)
    max_rows: int | None = Field(default=None, gt=0)
    """The first rows of each set alone."""
    rouge: Literal["words", "characters"] = "words"
    """What ROUGE-L compares. Words, as published, are of a-z and 0-9: Chinese text has none, and scores 0."""


class SizePart(RecipePart):
    """What a model is made of, for the plan of a reproduction whose models are not here yet."""

    parameters: int = Field(gt=0)
    vocabulary: int = Field(gt=0)
    width: int = Field(gt=0)


class ExpectedPart(RecipePart):
    """Published sizes: a plan reckons with them for what is not here."""

    models: dict[str, SizePart] = {}
    """By source."""
    rows: dict[str, Annotated[int, Field(gt=0)]] = {}
    """``train``, and the sets of the evaluation by name."""


class ScratchPart(RecipePart):
    """Student and teacher with the shapes and tokenizers of the recipe's, trained first from random weights.

    They learn from the training rows.
    """

    epochs: int = Field(default=8, gt=0)
    """Over which the learning rate rises and falls."""
    student_epochs: int | None = Field(default=None, gt=0)
    """After which the student stops; None for all."""
    learning_rate: float = Field(default=3e-3, gt=0, allow_inf_nan=False)


class ReproductionPart(RecipePart):
    """What `probe-reproduce` compares."""

    scratch: ScratchPart | None = None
    """Train the models themselves first; None to take them as they are."""
    projector_steps: int | None = Field(default=None, gt=0)
    """For each method and seed, train the projectors so many steps first, with the method's own objective and a student
    that stays as it is. Of the checkpoint that a method starts from, only the query is taken, so that t2s and s2t start
    alike in all methods."""
    teacher: Literal["raw", "sft"] = "raw"
    """As it is, or fine-tuned on the training rows first."""
    teacher_train: Literal["all", "lora"] = "all"
    """What of it is fine-tuned."""
    teacher_epochs: float | None = Field(default=None, gt=0)
    """Of that; None for the length of the students' training."""
    teacher_learning_rate: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Of that; None for the students'."""
    same_tokenizer_teacher: str | None = None
    """From whom methods within one tokenizer learn; None for ``teacher.source``. It is fine-tuned as the other is."""
    methods: list[str] = Field(default=["sft", "cma"], min_length=1)
    """Names of methods or of variants."""
    divergences: Annotated[list[DivergenceName], Field(min_length=1)] | None = None
    """Train each method that has a divergence with each of these; None for its own."""
    seeds: list[Seed] = Field(default=[10, 20, 30], min_length=1)
    """Of training; each once."""
    variants: dict[str, ObjectivePart] = {}
    """Settings of the objective under a name; what they leave out is as in ``objective``."""
    expected: ExpectedPart = ExpectedPart()
