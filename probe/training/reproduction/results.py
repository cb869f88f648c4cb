"""What a reproduction found: systems with their evaluations and what the probe says of their attention."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from probe.errors import TrainingError
from probe.output.reading import Wanted, parse_json, read_object, read_text
from probe.training.evaluation.evaluate import Evaluation
from probe.training.evaluation.run import read_result
from probe.training.evaluation.summary import System, deviation
from probe.training.reproduction.plan import REPORT, TRAJECTORY, Plan, Trial
from probe.training.stages import Outcome, Stage, Store
from probe.training.trainer.saving import TRAINER_STATE, newest_complete

BEFORE = "before training"
DONE = ("made", "kept")
T2S_HITS = "t2s_acc"
"""As a run logs it."""


@dataclass(frozen=True)
class Probed:
    """The probe's figures of one system, a number for each training seed."""

    reports: Mapping[int | None, Mapping[str, Any]]

    def top_1(self, method: str = "cma") -> tuple[float, float]:
        """Mean and standard deviation over training seeds of a method's top-1, in percent."""
        # None, where gold has no sure link, becomes NaN.
        found = [report["figures"][method]["top-1"]["value"] for report in self.reports.values()]
        values = 100 * np.array(found, dtype=np.float64)
        return float(values.mean()), deviation(values)


@dataclass(frozen=True)
class Results:
    """Everything that was made or kept."""

    plan: Plan
    outcomes: Sequence[Outcome]
    systems: tuple[System, ...]
    """Those with at least one run that was evaluated on all sets, in the order of the plan."""
    probes: Mapping[str, Probed]
    """By system, and `BEFORE` for the projectors that training began with."""
    trajectories: Mapping[str, Mapping[int | None, Any]]
    """By system and training seed: the points of a `trajectory`, as JSON."""
    hits: Mapping[str, Mapping[int | None, float]]
    """By system and training seed: the share of targets that t2s predicts, which is where D acts; the mean over the
    steps that were logged. Of methods with t2s alone."""
    wanted: Mapping[str, int]
    """How many training seeds each system was to have."""

    @property
    def baseline(self) -> System | None:
        """What differences are against: sft where it was trained, else the first method."""
        trained = [system for system in self.systems if self.is_method(system)]
        return next((one for one in trained if one.name == "sft"), trained[0] if trained else None)

    def is_method(self, system: System) -> bool:
        """Whether it is no floor or ceiling."""
        return system.name in {trial.system for trial in self.plan.trials if trial.training is not None}


def collect(plan: Plan, outcomes: Sequence[Outcome], store: Store) -> Results:
    """Read what the stages left."""
    done = {outcome.stage.digest for outcome in outcomes if outcome.state in DONE}
    runs: dict[str, dict[int | None, Sequence[Evaluation]]] = {}
    reports: dict[str, dict[int | None, Mapping[str, Any]]] = {}
    trajectories: dict[str, dict[int | None, Any]] = {}
    hits: dict[str, dict[int | None, float]] = {}
    wanted: dict[str, int] = {}
    for trial in plan.trials:
        wanted[trial.system] = wanted.get(trial.system, 0) + 1
        if all(stage.digest in done for stage in trial.evaluations):
            runs.setdefault(trial.system, {})[trial.seed] = _evaluations(plan, trial, store)
        if trial.probe is not None and trial.probe.digest in done:
            reports.setdefault(trial.system, {})[trial.seed] = _report(trial.probe, store)
            trajectories.setdefault(trial.system, {})[trial.seed] = _trajectory(trial.probe, store)
        if trial.training is not None and trial.training.digest in done:
            found = _hits(store.place(trial.training))
            if found is not None:
                hits.setdefault(trial.system, {})[trial.seed] = found
    if plan.start is not None and plan.start.digest in done:
        reports[BEFORE] = {None: _report(plan.start, store)}
    return Results(
        plan=plan,
        outcomes=outcomes,
        systems=tuple(System(name, of_seeds) for name, of_seeds in runs.items()),
        probes={name: Probed(of_seeds) for name, of_seeds in reports.items()},
        trajectories=trajectories,
        hits=hits,
        wanted=wanted,
    )


def _evaluations(plan: Plan, trial: Trial, store: Store) -> list[Evaluation]:
    return [read_result(store, stage, one) for stage, one in zip(trial.evaluations, plan.sets, strict=True)]


def _report(stage: Stage, store: Store) -> Mapping[str, Any]:
    place = store.place(stage)
    return read_object(place / REPORT, Wanted("a report of the probe", f"Delete {place}.", TrainingError))


def _trajectory(stage: Stage, store: Store) -> Any:
    file = store.place(stage) / TRAJECTORY
    wanted = Wanted("the attention along a run", f"Delete {file.parent}.", TrainingError)
    return parse_json(read_text(file, wanted), file, wanted)


def _hits(run: Path) -> float | None:
    last = newest_complete(run).path
    if last is None:
        return None
    wanted = Wanted("the steps of a run", f"Delete {last}.", TrainingError)
    history = read_object(last / TRAINER_STATE, wanted)["log_history"]
    found = [one[T2S_HITS] for one in history if T2S_HITS in one]
    return float(np.mean(found)) if found else None
