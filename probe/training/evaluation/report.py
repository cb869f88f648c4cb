"""What an evaluation found, as a table of 80 columns, as JSON, and as LaTeX for a paper."""

import json
import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from probe import __version__
from probe.output.documents import escape_latex, without_nan
from probe.output.tables import new_table, number, with_interval
from probe.stats import known
from probe.training.evaluation.evaluate import Evaluation
from probe.training.evaluation.rouge import has_words
from probe.training.evaluation.summary import OUT_OF_DOMAIN, Score, System, deviation

if TYPE_CHECKING:
    from rich.console import RenderableType


METRICS = ("rouge_l", "exact_match")
SCHEMA = 1


def to_json(systems: Sequence[System]) -> str:
    """Every figure of every system, numbers that are not known as null."""
    document = {
        "schema": SCHEMA,
        "version": __version__,
        "units": {"rouge_l": "percent", "exact_match": "percent", "bits_per_byte": "bits"},
        "rouge_unit": next(iter(systems[0].runs.values()))[0].rouge_unit if systems else None,
        "systems": {system.name: _document(system) for system in systems},
    }
    return json.dumps(without_nan(document), ensure_ascii=False, indent=1) + "\n"


def _document(system: System) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for name in system.sets:
        rows[name] = {metric: _plain(system.figure(metric, name)) for metric in METRICS}
        (mean, over_training), fitted = system.bits_per_byte(name), system.fitted(name)
        rows[name]["bits_per_byte"] = {
            "mean": mean,
            "over_training": over_training,
            "fitted": {"bits_per_byte": fitted.bits_per_byte, "temperature": fitted.temperature},
        }
        ((digest, _),) = system.asked(name)
        rows[name]["questions"] = system.scores("rouge_l", name).shape[-1]
        rows[name]["set_sha256"] = digest
    if len(system.sets) > 1:
        figures = ((metric, system.out_of_domain(metric)) for metric in METRICS)
        rows[OUT_OF_DOMAIN] = {metric: _plain(found) for metric, found in figures if found is not None}
    runs = [run[0].seeds for run in system.runs.values()]
    return {"training_seeds": list(system.runs), "decoding_seeds": list(runs[0]), "sets": rows}


def _plain(found: Score) -> dict[str, float | None]:
    spreads = {"over_decoding": found.over_decoding, "over_training": found.over_training}
    return dict(zip(("mean", "low", "high"), found.mean, strict=True)) | spreads


def table(systems: Sequence[System]) -> "RenderableType":
    """One row for each system and set, 80 columns wide."""
    heads = "ROUGE-L\n% [95 % CI]", "± decoding\nseeds", "± training\nseeds", "exact\n%", "bits a\nbyte", "fit-\nted"
    made = new_table("model", "set", *heads, words=2)
    for system in systems:
        for name in system.sets:
            cells = _cells(system, name, system.figure("rouge_l", name)), _percent(system, name)
            bits, fitted = system.bits_per_byte(name)[0], system.fitted(name).bits_per_byte
            made.add_row(*cells[0], cells[1], f"{bits:.3f}", number(fitted, ".3f") or "–")
        average = system.out_of_domain("rouge_l")
        if average is not None:
            made.add_row(*_cells(system, OUT_OF_DOMAIN, average), _percent(system, *system.sets[1:]), "", "")
    return made


def _cells(system: System, name: str, found: Score) -> tuple[str, ...]:
    spreads = (number(spread, ".2f") or "–" for spread in (found.over_decoding, found.over_training))
    return system.name, name, with_interval(found.mean, partial(number, form=".1f")), *spreads


def _percent(system: System, *sets: str) -> str:
    return number(system.figure("exact_match", *sets).mean.value, ".1f")


def reading(systems: Sequence[System]) -> list[str]:
    """How to read the table."""
    run = next(iter(systems[0].runs.values()))
    return [
        f"Decoding: {_decoding(run[0])}. Training seeds: {'; '.join(_training(system) for system in systems)}.",
        f"{_counts(systems[0])}.",
        *_unseen(systems[0]),
        "± is a standard deviation of the mean over a set; – where there is one seed.",
        "Brackets: 2000 resamples of questions, for these models and samples alone.",
        "Bits a byte: cross-entropy of the references, comparable across tokenizers; fitted: at the",
        "temperature that each half of the references has best for the other half.",
    ]


def _unseen(system: System) -> list[str]:
    """A warning for each set that ROUGE-L over words is blind to."""
    warnings: list[str] = []
    for one in next(iter(system.runs.values())):
        asked = one.questions.questions
        without = sum(not any(map(has_words, question.references)) for question in asked)
        if one.rouge_unit == "words" and without:
            of = f"{without} of {len(asked)} references of {one.questions.name} have no word of a-z and 0-9"
            warnings.append(f"{of}: ROUGE-L is 0 there, whatever the response. Take --rouge characters.")
    return warnings


def _training(system: System) -> str:
    seeds = [str(seed) for seed in system.runs if seed is not None]
    return f"{system.name} {', '.join(seeds) if seeds else '–'}"


def latex(systems: Sequence[System]) -> str:
    r"""A booktabs table of ROUGE-L: a line for each system, a column for each set.

    Where no response was sampled, it is one of bits per byte at a fitted temperature. ± is over training seeds; where
    no system has several, over decoding seeds. A comment at the top says which.
    """
    if not systems:
        return ""
    names = systems[0].sets
    decoding = next(iter(systems[0].runs.values()))[0]
    sampled = bool(decoding.responses)
    trained = any(len(system.runs) > 1 for system in systems) or not sampled
    columns = [*names, *(["OOD avg."] if sampled and len(names) > 1 else [])]
    what = "ROUGE-L in percent" if sampled else "Bits per byte at a fitted temperature"
    lines = [
        f"% {what}; ± is a standard deviation over {'training' if trained else 'decoding'} seeds",
        f"% decoding: {_decoding(decoding)}; {_counts(systems[0])}",
        r"\begin{tabular}{l" + "r" * len(columns) + "}",
        r"\toprule",
        " & ".join(["Method", *map(escape_latex, columns)]) + r" \\",
        r"\midrule",
    ]
    for system in systems:
        cells = _rouge_cells(system, trained=trained) if sampled else _bits_cells(system)
        lines.append(" & ".join([escape_latex(system.name), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _rouge_cells(system: System, *, trained: bool) -> list[str]:
    found = [system.figure("rouge_l", name) for name in system.sets]
    other = system.out_of_domain("rouge_l")
    return [
        _latex_cell(one.mean.value, one.over_training if trained else one.over_decoding, ".2f")
        for one in [*found, *([other] if other else [])]
    ]


def _bits_cells(system: System) -> list[str]:
    of_sets = (system.bits(name, fitted=True) for name in system.sets)
    return [_latex_cell(known(float(bits.mean())), deviation(bits), ".4f") for bits in of_sets]


def _decoding(run: Evaluation) -> str:
    if not run.responses:
        return "none, likelihoods alone"
    return f"seeds {', '.join(map(str, run.seeds))}" if run.seeds else "greedy"


def _counts(system: System) -> str:
    """How many questions each set has."""
    run = next(iter(system.runs.values()))
    return ", ".join(f"{one.questions.name}: {len(one.questions.questions)} questions" for one in run)


def _latex_cell(mean: float | None, spread: float, form: str) -> str:
    return number(mean, form) + ("" if math.isnan(spread) else rf" {{\small $\pm$ {spread:{form}}}}")
