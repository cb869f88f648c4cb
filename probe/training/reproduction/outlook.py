"""What ``probe-reproduce --plan`` prints: whether it can run and for how long, what is missing, and every stage."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from probe.output.tables import new_table
from probe.training.reproduction.costs import Cost, Sizes, Speed
from probe.training.reproduction.inputs import Inputs
from probe.training.reproduction.plan import Plan

if TYPE_CHECKING:
    from rich.console import RenderableType

CHEAP = ("probe ", "vocabulary map")
"""Stages that take seconds, and have no cost here."""
ELSEWHERE = (
    "If something lies elsewhere, name its directory: student.source=DIR teacher.source=DIR "
    "reproduction.same_tokenizer_teacher=DIR data.source=DIR evaluation.sets.NAME=DIR. DSKD links its data: https://github.com/songmzhang/DSKD#data"
)


@dataclass(frozen=True)
class Outlook:
    """A plan with all that is known before it runs."""

    plan: Plan
    inputs: Inputs
    sizes: Sizes
    speed: Speed
    costs: Mapping[str, Cost]
    """By the name of the stage, where they are known."""
    done: Collection[str]
    """Names of the stages that are kept."""

    @property
    def ready(self) -> bool:
        """Whether nothing is missing."""
        return not self.inputs.missing


def answer(outlook: Outlook) -> str:
    """Whether it can run, and how long it would take: the first line."""
    to_do = [stage.name for stage in outlook.plan.stages if stage.name not in outlook.done]
    known = [outlook.costs[name].seconds for name in to_do if name in outlook.costs]
    unknown = sum(name not in outlook.costs and not name.startswith(CHEAP) for name in to_do)
    long = f"{len(to_do)} stages to run, about {duration(sum(known, 0.0))} of arithmetic"
    long += f", and {unknown} stages whose cost is not known." if unknown else "."
    missing = len(outlook.inputs.missing)
    return f"Yes: {long}" if outlook.ready else f"No, {missing} things are missing. With them: {long}"


def wanting(outlook: Outlook) -> list[str]:
    """What is missing, and how to get it."""
    return [*(f"- {problem}" for problem in outlook.inputs.missing), *([] if outlook.ready else [ELSEWHERE])]


def stages(outlook: Outlook) -> "RenderableType":
    """Every stage, with its time and its memory."""
    made = new_table("stage", "state", "time", "memory")
    for stage in outlook.plan.stages:
        cost = outlook.costs.get(stage.name)
        cells = ("", "") if cost is None else (duration(cost.seconds), f"{cost.bytes / 1e9:.1f} GB")
        made.add_row(stage.name, "kept" if stage.name in outlook.done else "to do", *cells)
    return made


def models(outlook: Outlook) -> "RenderableType":
    """The models by source."""
    made = new_table("model", "parameters", "here")
    for source in dict.fromkeys(trial.source for trial in outlook.plan.trials):
        size = outlook.sizes.models.get(source)
        here = "yes" if outlook.inputs.model_digest(source) else "no"
        made.add_row(source, "" if size is None else f"{size.parameters / 1e6:,.1f} M", here)
    return made


def data(outlook: Outlook) -> "RenderableType":
    """The rows to train on, and the sets."""
    made = new_table("data", "rows", "prompt", "response", "here")
    recipe, inputs, sizes = outlook.plan.recipe, outlook.inputs, outlook.sizes
    rows = [(recipe.data.source, sizes.train, bool(inputs.rows.train))]
    named = recipe.evaluation.sets
    rows += [(named.get(s.name, s.name), sizes.sets.get(s.name), bool(s.questions)) for s in inputs.sets]
    for source, size, here in rows:
        cells = ("", "", "")
        if size is not None:
            most = "" if size.counted else "≤ "
            cells = (f"{size.count:,}", f"{most}{size.prompt:.0f}", f"{most}{size.response:.0f}")
        made.add_row(source, *cells, "yes" if here else "no")
    return made


def notes(outlook: Outlook) -> list[str]:
    """What the numbers are made of."""
    speed = outlook.speed
    return [
        f"Speed, {speed.how}: {speed.training:.2g} operations a second in training, {speed.sampling:.2g} in sampling.",
        "Time: 2 operations for a parameter and token forward, 4 backward, the heads that methods add, and responses "
        "as long as they may be. Reading, waiting and launching are not in it. The first training that needs a "
        "teacher's states pays for them.",
        "Memory: weights, gradients and Adam's moments. Activations come on top.",
        "Rows and tokens: of what is here, else (≤ for tokens) what the recipe expects and allows.",
    ]


def duration(seconds: float) -> str:
    """In the unit that suits, such as 40 s or 5.2 h."""
    for unit, size, most in (("s", 1, 90), ("min", 60, 90), ("h", 3600, 48)):
        if seconds < most * size:
            return f"{seconds / size:.{0 if unit == 's' else 1}f} {unit}"
    days = seconds / 86400
    return f"{days:,.{0 if days > 10 else 1}f} days"
