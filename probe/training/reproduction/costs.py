"""What the stages of a plan would cost: operations by parameters and tokens, seconds by a speed that is stated.

A model takes 2 operations for a parameter and a token forward and 4 backward; each product with a head that a method
adds counts as well. What is not counted: attention between tokens, activations, reading, saving, and waiting.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from probe.models.tokenizer import Tokenizer
from probe.projectors import S2T
from probe.training.evaluation.questions import QuestionSet
from probe.training.evaluation.respond import model_directory
from probe.training.examples import Example, tokenize
from probe.training.model_files import base_of, running_device
from probe.training.parts import EvaluationPart
from probe.training.recipe import Recipe
from probe.training.reproduction.inputs import Inputs
from probe.training.reproduction.plan import Plan, Trial
from probe.training.stages import Stage

COUNTED = 300
"""Rows, the first of each set, whose tokens are counted."""
BYTES = {"float32": 4, "bfloat16": 2}
TRAINED, UNTRAINED = 16, 4
"""Bytes of a student's parameter in float32: itself, and its gradient and both of Adam's moments where it trains."""
MEASURED = 0.3
"""Seconds for which each product is repeated."""


@dataclass(frozen=True)
class Size:
    """Parameters of a model, and those of its head, which may be its embedding table too."""

    parameters: int
    head: int


@dataclass(frozen=True)
class Rows:
    """A set: how many rows, and tokens of the student's in the mean prompt and response."""

    count: int
    prompt: float
    response: float
    counted: bool
    """Whether the lengths are counted; else they are the longest that the recipe allows."""


@dataclass(frozen=True)
class Speed:
    """Operations a second, in training and in sampling, where a model is read for few tokens at once."""

    training: float
    sampling: float
    how: str
    """Where it comes from."""


@dataclass(frozen=True)
class Cost:
    """Of a stage."""

    seconds: float
    bytes: int


@dataclass(frozen=True)
class Sizes:
    """What costs are reckoned from. What is neither here nor expected by the recipe is not in it."""

    models: Mapping[str, Size]
    """By source."""
    train: Rows | None
    sets: Mapping[str, Rows]


def sizes_of(recipe: Recipe, inputs: Inputs, sources: Sequence[str]) -> Sizes:
    """Of what is here by its files, of the rest as the recipe expects it."""
    expected = recipe.reproduction.expected
    models = {name: Size(one.parameters, one.vocabulary * one.width) for name, one in expected.models.items()}
    models |= {source: _size_of(source) for source in sources if inputs.model_digest(source)}
    student = recipe.student.source
    tokenizer = Tokenizer.load(model_directory(student)) if inputs.model_digest(student) else None
    data, part = recipe.data, recipe.evaluation
    train = _rows(inputs.rows.train, tokenizer, data.max_prompt, data.max_length, expected.rows.get("train"))
    sets = {
        one.name: _rows(one.examples, tokenizer, part.max_prompt, part.max_length, expected.rows.get(one.name))
        for one in inputs.sets
    }
    return Sizes(models, train, {name: one for name, one in sets.items() if one is not None})


def _size_of(source: str) -> Size:
    """Without reading a weight."""
    from transformers import AutoConfig, AutoModelForCausalLM

    directory = model_directory(source)
    config = AutoConfig.from_pretrained(base_of(directory) or directory, trust_remote_code=False)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    return Size(sum(one.numel() for one in model.parameters()), model.get_output_embeddings().weight.numel())


def _rows(
    examples: Sequence[Example], tokenizer: Tokenizer | None, prompt: int, length: int, expected: int | None
) -> Rows | None:
    count = len(examples) or expected
    if count is None:
        return None
    if not examples or tokenizer is None:
        return Rows(count, prompt, length - prompt, counted=False)
    some = [tokenize(one, tokenizer, max_prompt=prompt, max_length=length) for one in examples[:COUNTED]]
    prompts, responses = sum(one.response_start for one in some), sum(len(one.targets) for one in some)
    return Rows(count, prompts / len(some), responses / len(some), counted=True)


# Speed


def measured_speed(precision: str, together: int) -> Speed:
    """Of this machine: products of two square matrices, and of one with ``together`` columns, each for a moment."""
    device = running_device()
    side = 1024 if device.type == "cpu" else 8192
    sampling = torch.float32 if device.type == "cpu" else getattr(torch, precision)
    training, sampled = (
        _products(side, columns, dtype, device)
        for columns, dtype in ((side, getattr(torch, precision)), (together, sampling))
    )
    return Speed(training, sampled, f"measured here by products of matrices in {precision} on {device}")


def _products(side: int, columns: int, dtype: torch.dtype, device: torch.device) -> float:
    first, second = (torch.ones(side, n, dtype=dtype, device=device) for n in (side, columns))

    def product() -> None:
        result = first @ second
        result[0, 0].item()  # an accelerator answers before it has computed

    product()
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < MEASURED:
        product()
        done += 1
    return 2.0 * side * side * columns * done / (time.perf_counter() - began)


# Costs


def costs(plan: Plan, sizes: Sizes, speed: Speed) -> dict[str, Cost]:
    """By the name of their stage, of all trainings and evaluations whose sizes are known. The rest takes seconds.

    Names, because what is missing has no digest. The first training that needs a teacher's states pays for them.
    """
    found: dict[str, Cost] = {}
    passed: set[str] = set()
    for stage in plan.stages:
        recipe = plan.recipes.get(stage.name)
        if recipe is not None and sizes.train is not None and _models(recipe) <= sizes.models.keys():
            found[stage.name] = _training(recipe, sizes.models, sizes.train, speed, passed)
    for trial, stage, one in _evaluations(plan):
        if one.name in sizes.sets and trial.source in sizes.models:
            part = plan.recipe.evaluation
            found[stage.name] = _evaluation(sizes.models[trial.source], sizes.sets[one.name], part, speed)
    return found


def _models(recipe: Recipe) -> set[str]:
    return {recipe.student.source, *([str(recipe.teacher.source)] if recipe.objective.needs.teacher else [])}


def _evaluations(plan: Plan) -> list[tuple[Trial, Stage, QuestionSet]]:
    return [(t, stage, one) for t in plan.trials for stage, one in zip(t.evaluations, plan.sets, strict=True)]


def _training(recipe: Recipe, models: Mapping[str, Size], rows: Rows, speed: Speed, passed: set[str]) -> Cost:
    """``passed`` are the teachers whose states an earlier stage has cached; this one's is added to it."""
    part, objective = recipe.training, recipe.objective
    student = models[recipe.student.source]
    seen = part.steps * part.batch_size if part.steps else (part.epochs or 0) * rows.count
    mean = rows.prompt + rows.response
    length = recipe.data.max_length if objective.reference else mean  # it pads
    operations = 6.0 * student.parameters * seen * length
    held = (TRAINED if recipe.student.train in ("all", "body") else UNTRAINED) * student.parameters
    if not objective.needs.teacher:
        return Cost(operations / speed.training, held)
    source, each = str(recipe.teacher.source), BYTES[recipe.teacher.precision or part.precision]
    teacher = models[source]
    cached = recipe.teacher.cached and not objective.reference
    operations += seen * rows.response * _on_heads(recipe, student, teacher, cached=cached)
    if not cached:
        operations += 2.0 * teacher.parameters * seen * length
    elif source not in passed:
        passed.add(source)
        operations += 2.0 * teacher.parameters * rows.count * mean
    loading = UNTRAINED * student.parameters + each * teacher.parameters
    beside = each * (2 * teacher.head if cached else teacher.parameters)
    return Cost(operations / speed.training, max(held + beside, loading))


def _on_heads(recipe: Recipe, student: Size, teacher: Size, *, cached: bool) -> float:
    """Operations for each target, beyond the student's own logits."""
    needs = recipe.objective.needs
    if S2T not in needs.projectors:
        return 2.0 * teacher.head
    expected = needs.expectations and recipe.teacher.expectations and cached
    return 6.0 * student.head + (4.0 if expected else 6.0) * teacher.head


def _evaluation(model: Size, rows: Rows, part: EvaluationPart, speed: Speed) -> Cost:
    """Responses are taken to be as long as they may be; the likelihood of the references is computed once."""
    decodings = len(part.seeds if part.temperature else part.seeds[:1])
    prompts = 2.0 * model.parameters * rows.count * (decodings * rows.prompt + rows.prompt + rows.response)
    sampled = 2.0 * model.parameters * rows.count * decodings * (part.max_length - part.max_prompt)
    return Cost(prompts / speed.training + sampled / speed.sampling, UNTRAINED * model.parameters)
