"""What ``probe-reproduce`` and ``probe-eval`` wrote, read as documents: whoever draws has no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from probe.output.documents import parsed
from probe.stats import Estimate

SCHEMA, EVALUATION_SCHEMA = 2, 1


@dataclass(frozen=True)
class Probed:
    """One checkpoint's alignment, by method and metric; its own attention is the first method."""

    figures: Mapping[str, Mapping[str, Estimate]]
    sentences: int
    rows: int

    @property
    def own(self) -> Mapping[str, Estimate]:
        """Of its own attention, by metric."""
        return next(iter(self.figures.values()))


@dataclass(frozen=True)
class System:
    """A method, a floor or a ceiling, over its training seeds; those that were not trained have the seed ``None``."""

    name: str
    rouge_l: Estimate
    """Percent; bounds over questions."""
    bits: Mapping[str, float]
    """Bits per byte of the first set, by training seed."""
    probes: Mapping[str, Probed]
    """By training seed; empty where there is no attention to probe."""


@dataclass(frozen=True)
class Reproduction:
    """Everything that a reproduction found, as far as figures show it."""

    recipe: str
    set_: str
    questions: int
    systems: tuple[System, ...]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Bits per byte of one model on the first set, and its training seed."""

    bits: float
    seed: str


def read_reproduction(text: str, where: str) -> Reproduction:
    """What ``results.json`` of ``probe-reproduce`` holds; ``where`` names the file in messages.

    Raises:
        ReportError: it is no such document, or one of another schema version.
    """
    return parsed(text, where, "results of probe-reproduce", SCHEMA, _reproduction)


def read_evaluation(text: str, where: str) -> dict[str, Evaluated]:
    """What ``probe-eval --json`` found of models that each have a label of their own, by label.

    Raises:
        ReportError: it is no such document, or one of another schema version.
    """

    def of_document(document: Any) -> dict[str, Evaluated]:
        return {name: _evaluated(found) for name, found in document["systems"].items()}

    return parsed(text, where, "a report of probe-eval --json", EVALUATION_SCHEMA, of_document)


def _evaluated(found: Any) -> Evaluated:
    (seed,) = found["training_seeds"]
    return Evaluated(float(_first(found["sets"])["bits_per_byte"]["mean"]), str(seed))


def _reproduction(document: Any) -> Reproduction:
    systems = document["evaluation"]["systems"]
    first = next(iter(systems.values()))["sets"]
    return Reproduction(
        recipe=document["recipe"]["name"],
        set_=next(iter(first)),
        questions=int(_first(first)["questions"]),
        systems=tuple(_system(name, found, document) for name, found in systems.items()),
    )


def _system(name: str, found: Any, document: Any) -> System:
    rouge = _first(found["sets"])["rouge_l"]
    return System(
        name=name,
        rouge_l=Estimate(rouge["mean"], rouge["low"], rouge["high"]),
        bits={seed: float(_first(of_sets)) for seed, of_sets in document["bits per byte"][name].items()},
        probes={seed: _probed(report) for seed, report in document["probes"].get(name, {}).items()},
    )


def _probed(report: Any) -> Probed:
    figures = {
        method: {metric: Estimate(one["value"], *one["interval"]) for metric, one in of_method.items()}
        for method, of_method in report["figures"].items()
    }
    return Probed(figures, int(report["sentences"]), int(report["rows"]))


def _first(of_sets: Mapping[str, Any]) -> Any:
    return next(iter(of_sets.values()))
