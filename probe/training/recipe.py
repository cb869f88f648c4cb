"""Recipes: everything that a training run depends on, in one TOML file.

Shipped ones lie in ``recipes/``. Any key can be set on the command line, ``objective.method=cla``; values are TOML,
and what TOML cannot read is a string. The resolved recipe, all defaults written out, is stored with the checkpoint.
"""

import difflib
import hashlib
import json
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from probe.checkpoints.dskd import MAX_LENGTH, MAX_PROMPT
from probe.errors import Problem, TrainingError
from probe.output.reading import Wanted, parse_json, read_text, reason
from probe.training.criteria.settings import METHODS, ChunkSide, CriticName, DivergenceName, Method, Needs, Objective

SHIPPED = Path(__file__).parent / "recipes"
RECIPE = "recipe.json"
"""The file in a run and in each of its checkpoints that says what ran."""

SEEDS = 1 << 32  # numpy takes no larger one
Seed = Annotated[int, Field(ge=0, lt=SEEDS)]
Reporter = Literal["tensorboard", "wandb", "mlflow", "comet_ml", "clearml", "codecarbon", "dvclive", "swanlab"]
_DEVICES = r"^(auto|balanced|balanced_low_0|sequential|(cpu|cuda|mps|xpu)(:[0-9]+)?)$"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Part = TypeVar("Part", bound=_Part)


class Lora(_Part):
    """Low-rank adapters, as peft knows them."""

    r: int = Field(default=256, gt=0)
    alpha: int = Field(default=8, gt=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    targets: list[str] | None = None
    """Names of the layers; None for peft's choice for the architecture."""


class StudentPart(_Part):
    """Who learns."""

    source: str
    """A directory, ``bundled:`` or ``cache:`` with a name, or a hub id."""
    train: Literal["all", "body", "lora", "nothing"] = "all"
    """``body``: all but the embedding table and the head, so that a probe reads the base model's table."""
    lora: Lora = Lora()


class TeacherPart(_Part):
    """Who is learnt from; without a source there is none, as for sft."""

    source: str | None = None
    adapter: str | None = None
    """A directory of LoRA weights, merged when the teacher is loaded."""
    precision: Literal["float32", "bfloat16"] | None = None
    """Of its weights; None for that of the training."""
    cached: bool = True
    """Run it once over the corpus and keep its states on disk, rather than at every step."""
    expectations: bool = False
    """Keep what its predictions amount to as well: two products with its head for each target once, which saves one at
    every step, so that it pays from the third epoch on (see `probe.training.criteria.teacher_space`)."""
    device_map: str | None = Field(default=None, pattern=_DEVICES)
    """For teachers that do not fit one device, as accelerate knows it."""


class ColumnsPart(_Part):
    """Names of the columns of a dataset that is not in DSKD's layout."""

    instruction: str = "instruction"
    input: str | None = None
    response: str = "response"


class DataPart(_Part):
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


class ObjectivePart(_Part):
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
    only_projectors: bool = False
    reference: bool = False
    chunk_side: ChunkSide = "target"
    start: str = "random"
    """Of the projectors: ``random``, ``pseudo-inverse``, or a checkpoint's name or directory."""
    vocabulary_map: str | None = None
    """For mined: a file of `probe.training.vocabulary_map`."""

    @property
    def needs(self) -> Needs:
        """What the method needs."""
        return METHODS[self.method]

    def objective(self) -> Objective:
        """The part that a criterion reads."""
        return Objective(**{field.name: getattr(self, field.name) for field in fields(Objective)})


class TrainingPart(_Part):
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


class EvaluationPart(_Part):
    """How responses are sampled and on which prompts."""

    sets: dict[str, str] = {}
    """Directories or files by name, the first of them in-domain; without any, the dev rows are the set."""
    seeds: list[Seed] = Field(default=[10, 20, 30, 40, 50], min_length=1)
    temperature: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    no_repeat_ngram_size: int = Field(default=6, ge=0)
    max_prompt: int = Field(default=MAX_PROMPT, gt=0)
    max_length: int = Field(default=MAX_LENGTH, gt=1)
    batch_size: int = Field(default=32, gt=0)
    max_rows: int | None = Field(default=None, gt=0)
    """The first rows of each set alone."""
    rouge: Literal["words", "characters"] = "words"
    """What ROUGE-L compares. Words, as published, are of a-z and 0-9: Chinese text has none, and scores 0."""


class ReproductionPart(_Part):
    """What `probe-reproduce` compares."""

    teacher: Literal["raw", "sft"] = "raw"
    """As it is, or fine-tuned on the training rows first."""
    teacher_train: Literal["all", "lora"] = "all"
    """What of it is fine-tuned."""
    methods: list[str] = Field(default=["sft", "cma"], min_length=1)
    """Names of methods or of variants."""
    seeds: list[Seed] = Field(default=[10, 20, 30], min_length=1)
    """Of training; each once."""
    variants: dict[str, ObjectivePart] = {}
    """Settings of the objective under a name; what they leave out is as in ``objective``."""


class Recipe(_Part):
    """A run, or several that differ in method and seed."""

    name: str
    seed: int = Field(default=10, ge=0, lt=SEEDS)
    methods: list[Method] | None = None
    """Run each of these instead of ``objective.method``."""
    seeds: list[Seed] | None = None
    """Run each method with each of these instead of ``seed``."""
    student: StudentPart
    teacher: TeacherPart = TeacherPart()
    data: DataPart
    objective: ObjectivePart = ObjectivePart()
    training: TrainingPart
    evaluation: EvaluationPart = EvaluationPart()
    reproduction: ReproductionPart = ReproductionPart()

    def runs(self) -> Iterator["Recipe"]:
        """The runs one by one, every method on the same seeds."""
        several = len(self.methods or ()) * len(self.seeds or (0,)) > 1 or len(self.seeds or ()) > 1
        for method in self.methods or [self.objective.method]:
            for seed in self.seeds or [self.seed]:
                name = f"{self.name}/{method}-seed{seed}" if several else self.name
                changed = {"name": name, "seed": seed, "methods": None, "seeds": None}
                objective = self.objective.model_copy(update={"method": method})
                yield self.model_copy(update=changed | {"objective": objective}).for_training()

    def for_training(self) -> "Recipe":
        """Without what training does not read, so that another evaluation does not make it another run."""
        unread: dict[str, Any] = {"reproduction": ReproductionPart()}
        if self.training.keep_by != "rouge_l":
            unread["evaluation"] = EvaluationPart()
        return self.model_copy(update=unread)

    def digest(self) -> str:
        """SHA-256 of the resolved recipe."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def part_of(kind: type[Part], values: dict[str, Any], where: str) -> Part:
    """One part of a recipe, on its own.

    Raises:
        TrainingError: keys or values are wrong; all of them are listed.
    """
    try:
        return kind.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise TrainingError(*(_problem(where, each, kind) for each in error.errors())) from error


def read_recipe_of_run(file: Path) -> Recipe:
    """The recipe that a run wrote down.

    Raises:
        TrainingError: the file is none.
    """
    wanted = Wanted("the recipe of a run", "Name a checkpoint of a run, or a model directory.", TrainingError)
    text = read_text(file, wanted)
    parse_json(text, file, wanted)  # pydantic's own reader takes numbers of any length
    try:
        return Recipe.model_validate_json(text)
    except ValidationError as error:
        raise wanted.refusal(file, str(error).splitlines()[0]) from error


def read_recipe(named: str, overrides: Sequence[str] = ()) -> Recipe:
    """A shipped recipe by name, or a file; ``overrides`` are ``key.of.part=value``.

    Raises:
        TrainingError: there is no such recipe, it is not TOML, or keys or values are wrong; all of them are listed.
    """
    path = SHIPPED / f"{named}.toml"
    path = path if path.is_file() else Path(named)
    if not path.is_file():
        shipped = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.toml")))
        raise TrainingError(Problem(named, f"a recipe file, or one of: {shipped}", "neither", "Check the spelling."))
    wanted = Wanted("TOML in UTF-8", "Mend the line.", TrainingError)
    content = _toml(read_text(path, wanted), path, wanted)
    for override in overrides:
        _set(content, override)
    # Whoever sets one of the two lengths on the command line means it instead of the recipe's other one.
    lengths = {"epochs": "steps", "steps": "epochs"}
    keys = {override.partition("=")[0] for override in overrides}
    for key, other in lengths.items():
        if f"training.{key}" in keys and f"training.{other}" not in keys:
            content["training"].pop(other, None)
    try:
        # Integers are allowed where a float is meant, which strictness would forbid for nobody's good.
        return Recipe.model_validate_json(json.dumps(content))
    except ValidationError as error:
        raise TrainingError(*(_problem(path.name, each) for each in error.errors())) from error


def _toml(text: str, path: Path, wanted: Wanted) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # tomllib's own error is a ValueError
        raise wanted.refusal(path, reason(error).partition(";")[0]) from error


def _set(content: dict[str, Any], override: str) -> None:
    key, sign, value = override.partition("=")
    *parents, last = key.split(".")
    if not sign or not all([*parents, last]):
        raise TrainingError(Problem(override, "key.of.part=value", "something else", "Write objective.method=cla."))
    part: Any = content
    for parent in parents:
        part = part.setdefault(parent, {})
        if not isinstance(part, dict):
            raise TrainingError(Problem(override, "a part of a recipe", f"a value, {parent}", "Name the key alone."))
    try:
        found: Any = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        found = value
    except (ValueError, RecursionError) as error:
        got = reason(error).partition(";")[0]
        raise TrainingError(Problem(f"{override[:40]}…", "a value of TOML", got, "Write a shorter one.")) from error
    # TOML knows dates; here, one is a name that looks like it.
    part[last] = found if isinstance(found, str | int | float | list | dict) else value


def _problem(where: str, error: Any, kind: type[_Part] = Recipe) -> Problem:
    place = ".".join(str(part) for part in error["loc"])
    got = repr(error["input"])
    if error["type"] == "extra_forbidden":
        known = _keys(error["loc"][:-1], kind)
        near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        remedy = f"Did you mean {near[0]}?" if near else "Remove it."
        return Problem(f"{where}: {place}", f"one of {', '.join(known)}", "an unknown key", remedy)
    if error["type"] == "missing":
        return Problem(f"{where}: {place}", "a value", "none", f"Set {place}.")
    expected = error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return Problem(f"{where}: {place}", expected, got, "Mend the value.")


def _keys(place: Sequence[Any], kind: type[_Part]) -> list[str]:
    model: Any = kind
    parts = iter(place)
    for part in parts:
        model = model.model_fields[part].annotation
        if not hasattr(model, "model_fields"):  # a part that may be left out, or one for each of several names
            if next(iter(model.__args__)) is str:
                next(parts)
            model = next(choice for choice in model.__args__ if hasattr(choice, "model_fields"))
    return sorted(model.model_fields)
