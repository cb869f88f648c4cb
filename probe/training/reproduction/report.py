"""The tables of a reproduction: what the systems are worth, and what was made, when and at what cost."""

import json
import math
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from probe import __version__
from probe.output.documents import markdown_table
from probe.output.tables import new_table, number, thousandths, with_interval
from probe.stats import ENOUGH_SEEDS
from probe.training.evaluation.evaluate import Evaluation
from probe.training.evaluation.likelihood import Fitted
from probe.training.evaluation.report import to_json
from probe.training.evaluation.summary import System, bits_difference, difference
from probe.training.reproduction.results import BEFORE, Results

if TYPE_CHECKING:
    from rich.console import RenderableType


SCHEMA = 3
PACKAGES = ("torch", "transformers", "numpy", "tokenizers")
DIGITS = 3
"""Of the cross-entropy of each question in results."""
PROBED_DIGITS = 6
"""Significant ones of a probe's figures in results: all of them would be half of the file."""
PROBED = ("checkpoint", "method", "criterion", "steps", "pair", "sentences", "rows", "bootstrap", "figures")
"""What results repeat of a probe's report; the whole report, a megabyte, lies in its stage."""


def rows(results: Results) -> list[tuple[str, ...]]:
    """The cells of the table: system, ROUGE-L, its spread, bits a byte, top-1, difference to the baseline."""
    found: list[tuple[str, ...]] = []
    if BEFORE in results.probes:
        found.append((BEFORE, "", "", "", _top_1(results, BEFORE), ""))
    found += [_row(results, system) for system in results.systems]
    return [_shown(results, row) for row in found]


def _shown(results: Results, row: tuple[str, ...]) -> tuple[str, ...]:
    """A row without the columns of ROUGE-L where no response was sampled."""
    name, *_, bits, top_1, _ = row
    return row if results.plan.recipe.evaluation.seeds else (name, bits, top_1)


def _row(results: Results, system: System) -> tuple[str, ...]:
    first = system.sets[0]
    rouge = system.figure("rouge_l", first)
    bits, spread = system.bits_per_byte(first)
    return (
        _name(results, system),
        with_interval(rouge.mean, partial(number, form=".1f")),
        number(rouge.over_training, ".2f") or "–",
        f"{bits:.3f}" + ("" if math.isnan(spread) else f"±{spread:.3f}".replace("0.", ".")),
        _top_1(results, system.name),
        _difference(results, system),
    )


def _name(results: Results, system: System) -> str:
    wanted = results.wanted[system.name]
    return system.name if len(system.runs) == wanted else f"{system.name} ({len(system.runs)} of {wanted} seeds)"


def _top_1(results: Results, name: str) -> str:
    if name not in results.probes:
        return ""
    mean, spread = results.probes[name].top_1()
    return (number(mean, ".1f") or "–") + ("" if math.isnan(spread) else f"±{spread:.1f}")


def _difference(results: Results, system: System) -> str:
    paired = _paired(results, system)
    if paired is None:
        return ""
    found = difference(*paired, "rouge_l", system.sets[0])
    return with_interval(found.mean, partial(number, form="+.1f"))


def _paired(results: Results, system: System) -> tuple[System, System] | None:
    """A method and the baseline with the training seeds that both have; None where there is nothing to compare."""
    baseline = results.baseline
    if baseline is None or system is baseline or not results.is_method(system):
        return None
    common = [seed for seed in system.runs if seed in baseline.runs]
    if not common:
        return None
    ours, theirs = (System(one.name, {seed: one.runs[seed] for seed in common}) for one in (system, baseline))
    return ours, theirs


def headers(results: Results) -> tuple[str, ...]:
    """The heads of the columns of `rows`."""
    baseline = results.baseline
    against = "baseline" if baseline is None else baseline.name
    found = (
        "system",
        "ROUGE-L\n% [95 % CI]",
        "±\nseeds",
        "bits a\nbyte",
        "top-1\n%",
        f"− {against}, ROUGE-L\n[95 % CI]",
    )
    return _shown(results, found)


def table(results: Results) -> "RenderableType":
    """The table of systems, 80 columns wide."""
    made = new_table(*headers(results))
    for row in rows(results):
        made.add_row(*row)
    return made


BITS_HEADS = (
    "system",
    "bits,\nas is",
    "− {against}, × 1000\n[95 % CI]",
    "fitted",
    "− {against}, × 1000\n[95 % CI]",
    "temper-\nature",
)


def bits_rows(results: Results) -> list[tuple[str, ...]]:
    """Bits per byte on the first set, as they are and at a fitted temperature, each less the baseline's by seed."""
    found: list[tuple[str, ...]] = []
    for system in results.systems:
        name = system.sets[0]
        of = system.fitted(name)
        found.append(
            (
                _name(results, system),
                f"{system.bits_per_byte(name)[0]:.4f}",
                _bits_difference(results, system, fitted=False),
                number(of.bits_per_byte, ".4f") or "–",
                _bits_difference(results, system, fitted=True),
                number(of.temperature, ".2f") or "–",
            )
        )
    return found


def _bits_difference(results: Results, system: System, *, fitted: bool) -> str:
    paired = _paired(results, system)
    if paired is None:
        return ""
    found = bits_difference(*paired, system.sets[0], fitted=fitted)
    return with_interval(found, thousandths)


def bits_table(results: Results) -> "RenderableType":
    """The table of bits per byte, 80 columns wide."""
    made = new_table(*_bits_heads(results))
    for row in bits_rows(results):
        made.add_row(*row)
    return made


def _bits_heads(results: Results) -> list[str]:
    against = "baseline" if results.baseline is None else results.baseline.name
    return [head.format(against=against) for head in BITS_HEADS]


def markdown(results: Results) -> str:
    """Both tables for a document."""
    tables = (headers(results), rows(results)), (_bits_heads(results), bits_rows(results))
    return "\n".join(markdown_table([_one_line(head) for head in heads], made) for heads, made in tables)


def _one_line(head: str) -> str:
    return head.replace("-\n", "").replace("\n", " ")


def reading(results: Results) -> list[str]:
    """What was compared, and how far the numbers reach."""
    plan = results.plan
    recipe = plan.recipe
    seeds = sorted({trial.seed for trial in plan.trials if trial.training is not None and trial.seed is not None})
    sampled = bool(recipe.evaluation.seeds)
    decoding = recipe.evaluation.seeds if recipe.evaluation.temperature or not sampled else ["greedy"]
    sets = ", ".join(f"{one.name} ({len(one.questions)} questions)" for one in plan.sets)
    lines = [
        f"Recipe {recipe.name}: students begin raw, projectors begin as {recipe.objective.start}; {plan.teacher}; "
        f"training seeds: {_listed(seeds)}; decoding seeds: {_listed(decoding) or 'none'}; {sets}; "
        f"{'ROUGE-L' if sampled else 'bits per byte'} of the first, top-1 of the gold pairs.",
        "± is a standard deviation over training seeds. Brackets are 95 % CI: of bits per byte over training seeds"
        f"{'; of ROUGE-L over questions, for these checkpoints and samples alone' if sampled else ''}.",
        "Fitted: at the temperature that each half of the questions has best for the other half.",
    ]
    if len(seeds) < ENOUGH_SEEDS:
        lines.append(f"Checkpoints, not methods: a claim about methods needs {ENOUGH_SEEDS} paired seeds.")
    return lines


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))


def stages(results: Results) -> "RenderableType":
    """What ran, from when, and at what cost."""
    made = new_table("stage", "state", "finished (UTC)", "seconds", words=3)
    for outcome in results.outcomes:
        finished = outcome.finished.removesuffix("+00:00").replace("T", " ") if outcome.finished else ""
        seconds = "" if outcome.seconds is None else f"{outcome.seconds:.0f}"
        made.add_row(outcome.stage.name, outcome.state, finished or outcome.trouble or "", seconds)
    return made


def _of_runs(results: Results, of: Callable[[Evaluation], Any]) -> dict[str, Any]:
    """A figure of each evaluation, by system, training seed and set."""
    return {
        system.name: {str(seed): {one.questions.name: of(one) for one in run} for seed, run in system.runs.items()}
        for system in results.systems
    }


def _percent(scores: Float[np.ndarray, "seeds questions"]) -> float | None:
    """The mean; None where no response was sampled."""
    return 100 * float(scores.mean()) if scores.size else None


def _fitted(found: Fitted) -> dict[str, Any]:
    return asdict(found) | {"nats": [round(one, DIGITS) for one in found.nats]}


def _probes(results: Results) -> dict[str, dict[str, Any]]:
    """Of each student the figures of its own attention, plain and in order.

    What these are read against is the same for all students, so the first has it alone.
    """
    found: dict[str, dict[str, Any]] = {}
    first = next((name for name in results.probes if name != BEFORE), None)
    for name, probed in results.probes.items():
        for seed, report in probed.reports.items():
            kept = {key: report[key] for key in PROBED}
            if name in found or name not in (first, BEFORE):
                own = next(iter(kept["figures"]))
                kept["figures"] = {key: one for key, one in kept["figures"].items() if key in (own, f"{own}-grid")}
            found.setdefault(name, {})[str(seed)] = _rounded(kept)
    return found


def _rounded(value: Any) -> Any:
    """The same with floats of `PROBED_DIGITS`."""
    if isinstance(value, float):
        return float(f"{value:.{PROBED_DIGITS}g}")
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value


def document(results: Results) -> str:
    """Everything as JSON: figures, probes, stages, recipe and versions."""
    content = {
        "schema": SCHEMA,
        "recipe": results.plan.recipe.model_dump(mode="json"),
        "teacher": results.plan.teacher,
        "evaluation": json.loads(to_json(results.systems)),
        "bits per byte": _of_runs(results, lambda one: one.bits_per_byte),
        "bits per byte, fitted": _of_runs(results, lambda one: _fitted(one.fitted)),
        "probes": _probes(results),
        "accuracy": _of_runs(results, lambda one: one.accuracy),
        "ROUGE-L": _of_runs(results, lambda one: _percent(one.rouge_l)),
        "trajectories": {
            name: {str(seed): one for seed, one in of_seeds.items()} for name, of_seeds in results.trajectories.items()
        },
        "t2s hits": {
            name: {str(seed): one for seed, one in of_seeds.items()} for name, of_seeds in results.hits.items()
        },
        "stages": [
            {
                "name": o.stage.name,
                "digest": o.stage.digest,
                "state": o.state,
                "finished": o.finished,
                "seconds": o.seconds,
                "trouble": o.trouble,
            }
            for o in results.outcomes
        ],
        "versions": {"cma-probe": __version__, **{name: version(name) for name in PACKAGES}},
        "machine": {"system": platform.platform(), "python": platform.python_version()},
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"
