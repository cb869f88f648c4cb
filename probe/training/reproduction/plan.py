"""The stages of a reproduction: what is trained, evaluated and probed, and what each needs."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from probe.alignment.align import align
from probe.checkpoints.checkpoint import STUDENT, load_checkpoint, save_checkpoint
from probe.errors import Problem, TrainingError
from probe.gold.pairs import read_pairs
from probe.models.table_sources import ADAPTER
from probe.models.tokenizer import Tokenizer
from probe.output.files import replacing_file
from probe.output.provenance import file_sha256
from probe.projectors import QUERY
from probe.report.document import save_report
from probe.training.evaluation.questions import QuestionSet
from probe.training.evaluation.respond import Shared, load_model, model_directory
from probe.training.evaluation.run import evaluation_stage
from probe.training.model_files import directory_of
from probe.training.parts import ObjectivePart, StudentPart, TeacherPart
from probe.training.recipe import Recipe
from probe.training.reproduction.inputs import Inputs, read_inputs, start_digest
from probe.training.reproduction.scratch import scratch_stages
from probe.training.reproduction.systems import RAW_STUDENT, Compared, teacher_for, teachers_of
from probe.training.reproduction.trajectory import trajectory
from probe.training.stages import Stage, Store
from probe.training.teacher.teacher import teacher_source
from probe.training.trainer.run import train
from probe.training.trainer.saving import newest_complete, step_of
from probe.training.trainer.start import named_directory
from probe.training.vocabulary_map import Vocabulary, vocabulary_map

REPORT, LOG, MAP, TRAJECTORY = "report.json", "log.txt", "vocabulary_map.json", "trajectory.json"


@dataclass(frozen=True)
class Trial:
    """One system with one training seed: its stages. Without training, evaluation alone."""

    system: str
    seed: int | None
    source: str
    """Of the model, or of that which was trained."""
    training: Stage | None
    evaluations: tuple[Stage, ...]
    probe: Stage | None = None
    projectors: Stage | None = None
    """Trains the projectors that `training` begins with."""

    @property
    def stages(self) -> list[Stage]:
        """In the order in which they can be made."""
        return [one for one in (self.projectors, self.training, *self.evaluations, self.probe) if one is not None]


@dataclass(frozen=True)
class Plan:
    """Everything that a reproduction makes."""

    recipe: Recipe
    sets: tuple[QuestionSet, ...]
    teacher: str
    """What the teachers are called: it says whether they were fine-tuned."""
    first: tuple[Stage, ...]
    """What several trials need."""
    trials: tuple[Trial, ...]
    start: Stage | None
    """The probe of the projectors that all cross-model methods begin with, where they begin with trained ones."""
    recipes: Mapping[str, Recipe]
    """Of each training, by the name of its stage."""

    @property
    def stages(self) -> list[Stage]:
        """All, each after those it needs."""
        of_trials = [stage for trial in self.trials for stage in trial.stages]
        return [*self.first, *([self.start] if self.start else []), *of_trials]


class Planner:
    """Makes the plan of one recipe; reads data and files, and runs nothing."""

    def __init__(self, recipe: Recipe, gold: Path, store: Store, inputs: Inputs | None = None) -> None:
        self.recipe, self.gold, self.store = recipe, gold, store
        self.inputs = inputs or read_inputs(recipe)
        self._recipes: dict[str, Recipe] = {}
        self._tuned: dict[str, Stage] = {}
        self._made = scratch_stages(recipe, self.inputs)
        if recipe.reproduction.teacher == "sft" and recipe.reproduction.scratch is not None:
            remedy = "Set reproduction.teacher to raw."
            raise TrainingError(Problem("reproduction.teacher", "raw beside scratch", "sft", remedy))
        if recipe.reproduction.teacher == "sft" and recipe.teacher.adapter is not None:
            got = "an adapter to be merged as well"
            remedy = "Leave out teacher.adapter, or set reproduction.teacher to raw."
            raise TrainingError(Problem("reproduction.teacher", "sft of the teacher alone", got, remedy))

    def plan(self, methods: Sequence[Compared], seeds: Sequence[int]) -> Plan:
        """Every method with every seed, the student as it was, and the teachers.

        Raises:
            TrainingError: data or models cannot be found.
        """
        recipe = self.recipe
        teachers = teachers_of(recipe, methods)
        mapped = self._map if any(self._needs_map(one.objective) for one in methods) else None
        trials = [
            self._untrained(RAW_STUDENT, recipe.student.source, self._made.get("student")),
            *(self._teacher(name, part) for name, part in teachers.items()),
            *(self._trial(method, seed, mapped) for method in methods for seed in seeds),
        ]
        return Plan(
            recipe=recipe,
            sets=self.inputs.sets,
            teacher=", ".join(teachers),
            first=(*self._made.values(), *([mapped] if mapped else []), *self._tuned.values()),
            trials=tuple(trials),
            start=self._probe_of_start if any(one.objective.needs.attention for one in methods) else None,
            recipes=self._recipes,
        )

    # Stages

    def _trial(self, method: Compared, seed: int, mapped: Stage | None) -> Trial:
        name = f"{method.name} {seed}"
        recipe = self._recipe(name, seed, method.objective)
        mapped = mapped if self._needs_map(method.objective) else None
        tuned = self._tuning(recipe.teacher) if method.objective.needs.teacher else None
        begun = self._projectors(f"projectors {name}", recipe, tuned, mapped)
        training = self._training(f"train {name}", recipe, tuned, mapped, begun)
        probe = None
        if method.objective.needs.attention:
            make = partial(self._probe_of_run, training)
            probe = Stage(f"probe {name}", {"kind": "probe", "gold": self._gold_sha256}, make, (training,))
        source = self.recipe.student.source
        return Trial(method.name, seed, source, training, self._evaluations(name, training), probe, begun)

    def _projectors(self, name: str, recipe: Recipe, tuned: Stage | None, mapped: Stage | None) -> Stage | None:
        """The stage that trains the projectors of a method first; None where nothing is to be trained first."""
        steps = self.recipe.reproduction.projector_steps
        if steps is None or not recipe.objective.needs.projectors:
            return None
        update = {
            "student": recipe.student.model_copy(update={"train": "nothing"}),
            "training": recipe.training.model_copy(update={"steps": steps, "epochs": None}),
        }
        recipe = recipe.model_copy(update=update)
        needs = (*self._made.values(), *(stage for stage in (tuned, mapped) if stage is not None))
        self._recipes[name] = recipe
        make = partial(self._train_projectors, recipe, tuned, mapped)
        return Stage(name, self.inputs.of(recipe) | {"takes": QUERY}, make, needs)

    def _untrained(self, name: str, source: str, made: Stage | None = None) -> Trial:
        evaluations = self._evaluations(name, made) if made else self._evaluations(name, None, source)
        return Trial(name, None, source, None, evaluations)

    def _teacher(self, name: str, part: TeacherPart) -> Trial:
        # An adapter names the model that it belongs to.
        source = part.adapter or str(part.source)
        tuned = self._tuning(part)
        if tuned is None:
            return self._untrained(name, source, self._made.get("teacher"))
        return Trial(name, self.recipe.seed, source, None, self._evaluations(name, tuned))

    def _training(
        self, name: str, recipe: Recipe, tuned: Stage | None, mapped: Stage | None, begun: Stage | None = None
    ) -> Stage:
        needs = (*self._made.values(), *(stage for stage in (tuned, mapped, begun) if stage is not None))
        self._recipes[name] = recipe
        return Stage(name, self.inputs.of(recipe), partial(self._train, recipe, tuned, mapped, begun), needs)

    def _tuning(self, teacher: TeacherPart) -> Stage | None:
        """The stage that fine-tunes this teacher, once for all; None where teachers stay as they are."""
        part, source = self.recipe.reproduction, str(teacher.source)
        if part.teacher == "raw":
            return None
        if source not in self._tuned:
            name = "teacher" if source == self.recipe.teacher.source else "same-tokenizer teacher"
            recipe = self._recipe(name, self.recipe.seed, ObjectivePart(method="sft"))
            length = {} if part.teacher_epochs is None else {"epochs": part.teacher_epochs, "steps": None}
            rate = part.teacher_learning_rate or recipe.training.learning_rate
            update = {
                "student": StudentPart(source=source, train=part.teacher_train),
                "teacher": TeacherPart(),
                "training": recipe.training.model_copy(update=length | {"learning_rate": rate}),
            }
            self._tuned[source] = self._training(f"train {name}", recipe.model_copy(update=update), None, None)
        return self._tuned[source]

    def _evaluations(self, name: str, training: Stage | None, source: str | None = None) -> tuple[Stage, ...]:
        asked = Shared(lambda: load_model(self._model_directory(training, source)))
        model: Mapping[str, Any] = {} if source is None else {"sha256": self.inputs.model_digest(source)}
        needs = () if training is None else (training,)
        sets = self.inputs.sets
        return tuple(
            evaluation_stage(
                f"evaluate {name} {one.name}",
                partial(asked.get, last=one is sets[-1]),
                one,
                self.recipe.evaluation,
                model=model,
                needs=needs,
            )
            for one in sets
        )

    @cached_property
    def _probe_of_start(self) -> Stage | None:
        if named_directory("start", self.recipe.objective.start) is None:
            return None
        make = partial(self._probe, lambda: self.recipe.objective.start)
        inputs = {"kind": "probe", "gold": self._gold_sha256, "start": start_digest(self.recipe.objective)}
        return Stage("probe start", inputs, make)

    @cached_property
    def _map(self) -> Stage:
        sources = self.recipe.student.source, teacher_source(self.recipe)
        inputs = {"kind": "vocabulary map", "models": [self.inputs.model_digest(source) for source in sources]}
        return Stage("vocabulary map", inputs, self._make_map)

    @staticmethod
    def _needs_map(objective: ObjectivePart) -> bool:
        return objective.needs.map_file and objective.vocabulary_map is None

    def _recipe(self, name: str, seed: int, objective: ObjectivePart) -> Recipe:
        update = {"name": f"{self.recipe.name}/{name}", "seed": seed, "methods": None, "seeds": None}
        data = self.recipe.data.model_copy(update={"held_out_seed": self.recipe.seed})
        teacher = teacher_for(self.recipe, objective)
        changed = update | {"objective": objective, "data": data, "teacher": teacher}
        return self.recipe.model_copy(update=changed).for_training()

    @cached_property
    def _gold_sha256(self) -> str:
        read_pairs(self.gold)
        return file_sha256(self.gold)

    # What stages do

    def _train_projectors(self, recipe: Recipe, tuned: Stage | None, mapped: Stage | None, place: Path) -> None:
        recipe = _with_objective(recipe, start=_query_of(recipe.objective, place / QUERY))
        self._train(recipe, tuned, mapped, None, place)

    def _train(
        self, recipe: Recipe, tuned: Stage | None, mapped: Stage | None, begun: Stage | None, place: Path
    ) -> None:
        if begun is not None:
            # Its query was scaled before the projectors trained.
            recipe = _with_objective(recipe, start=str(self._checkpoint(begun)), as_sharp_as=None)
        if tuned is not None and recipe.objective.needs.teacher:
            directory = self._checkpoint(tuned) / STUDENT
            adapted = (directory / ADAPTER).is_file()
            source = {"adapter": str(directory)} if adapted else {"source": str(directory)}
            recipe = recipe.model_copy(update={"teacher": recipe.teacher.model_copy(update=source)})
        for role, stage in self._made.items():
            part = getattr(recipe, role).model_copy(update={"source": str(self.store.place(stage))})
            recipe = recipe.model_copy(update={role: part})
        if mapped is not None:
            recipe = _with_objective(recipe, vocabulary_map=str(self.store.place(mapped) / MAP))
        _forget_steps(place)
        with (place / LOG).open("a", encoding="utf-8") as log:
            train(recipe, place, lambda line: print(line, file=log, flush=True))

    def _make_map(self, place: Path) -> None:
        sources = self.recipe.student.source, teacher_source(self.recipe)
        student, teacher = (Vocabulary.of(Tokenizer.load(directory_of(source))) for source in sources)
        with replacing_file(place / MAP) as temporary:
            temporary.write_text(vocabulary_map(student, teacher, workers=-1).json(), encoding="utf-8")

    def _probe(self, checkpoint: Any, place: Path) -> None:
        save_report(align(checkpoint(), self.gold), place / REPORT)

    def _probe_of_run(self, training: Stage, place: Path) -> None:
        self._probe(lambda: str(self._checkpoint(training)), place)
        with replacing_file(place / TRAJECTORY) as temporary:
            points = trajectory(self.store.place(training), read_pairs(self.gold))
            temporary.write_text(json.dumps([asdict(one) for one in points], indent=1) + "\n", encoding="utf-8")

    def _checkpoint(self, training: Stage) -> Path:
        """The last checkpoint of a finished training."""
        found = newest_complete(self.store.place(training)).path
        if found is None:
            raise TrainingError(Problem(training.name, "a checkpoint", "none", "Delete its directory."))
        return found

    def _model_directory(self, training: Stage | None, source: str | None) -> Path:
        if training is None:
            return model_directory(str(source))
        if training in self._made.values():
            return self.store.place(training)
        return model_directory(str(self._checkpoint(training)))


def _with_objective(recipe: Recipe, **changes: str | None) -> Recipe:
    return recipe.model_copy(update={"objective": recipe.objective.model_copy(update=changes)})


def _query_of(objective: ObjectivePart, place: Path) -> str:
    """A start with nothing but the query of the checkpoint that an objective names; other starts stay as they are."""
    directory = named_directory("start", objective.start)
    if directory is None:
        return objective.start
    checkpoint = load_checkpoint(directory)
    query = {name: made for name, made in checkpoint.projectors.items() if name == QUERY}
    scales = replace(checkpoint.scales, hidden=None, target=None)  # what t2s and s2t were trained with
    save_checkpoint(replace(checkpoint, projectors=query, scales=scales), place)
    return str(place)


def _forget_steps(place: Path) -> None:
    """Drop lines of steps behind the last checkpoint: those steps will run again."""
    log = place / LOG
    if not log.is_file():
        return
    last = newest_complete(place).path
    done = 0 if last is None else step_of(last)
    kept: list[str] = []
    for line in log.read_text(encoding="utf-8").splitlines(keepends=True):
        step = re.match(r"step ([0-9]+)/", line)
        if line.endswith("\n") and (step is None or int(step[1]) <= done):
            kept.append(line)
    with replacing_file(log) as temporary:
        temporary.write_text("".join(kept), encoding="utf-8")
