"""The stages of a reproduction: what is trained, evaluated and probed, and what each needs."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

from probe.alignment.align import align
from probe.checkpoints.checkpoint import STUDENT, TENSORS
from probe.checkpoints.manifest import MANIFEST
from probe.errors import Problem, TrainingError
from probe.gold.pairs import read_pairs
from probe.models.table_sources import ADAPTER
from probe.models.tokenizer import Tokenizer
from probe.output.files import replacing_file
from probe.output.provenance import file_sha256
from probe.report.document import save_report
from probe.training.data.rows import read_rows
from probe.training.evaluation.questions import QuestionSet, held_out, read_sets
from probe.training.evaluation.respond import Shared, load_model, model_directory
from probe.training.evaluation.run import evaluation_stage
from probe.training.examples import digest
from probe.training.model_files import directory_of, files_digest
from probe.training.parts import ObjectivePart, StudentPart, TeacherPart
from probe.training.recipe import Recipe
from probe.training.reproduction.systems import RAW_STUDENT, Compared
from probe.training.stages import Stage, Store
from probe.training.teacher.teacher import teacher_source
from probe.training.trainer.run import train
from probe.training.trainer.saving import newest_complete, step_of
from probe.training.trainer.start import start_directory
from probe.training.vocabulary_map import Vocabulary, vocabulary_map

REPORT, LOG, MAP = "report.json", "log.txt", "vocabulary_map.json"
KEPT = ("save_every", "save_projectors_every", "keep_last", "keep_best", "keep_by", "log_every", "report_to")
"""Keys of the training that decide what is written down, and no weight."""


@dataclass(frozen=True)
class Trial:
    """One system with one training seed: its stages. Without training, evaluation alone."""

    system: str
    seed: int | None
    training: Stage | None
    evaluations: tuple[Stage, ...]
    probe: Stage | None = None

    @property
    def stages(self) -> list[Stage]:
        """In the order in which they can be made."""
        return [one for one in (self.training, *self.evaluations, self.probe) if one is not None]


@dataclass(frozen=True)
class Plan:
    """Everything that a reproduction makes."""

    recipe: Recipe
    sets: tuple[QuestionSet, ...]
    teacher: str
    """What the teacher is called: it says whether it was fine-tuned."""
    first: tuple[Stage, ...]
    """What several trials need."""
    trials: tuple[Trial, ...]
    start: Stage | None
    """The probe of the projectors that all cross-model methods begin with, where they begin with trained ones."""

    @property
    def stages(self) -> list[Stage]:
        """All, each after those it needs."""
        of_trials = [stage for trial in self.trials for stage in trial.stages]
        return [*self.first, *([self.start] if self.start else []), *of_trials]


class Planner:
    """Makes the plan of one recipe; reads data and files, and runs nothing."""

    def __init__(self, recipe: Recipe, gold: Path, store: Store) -> None:
        self.recipe, self.gold, self.store = recipe, gold, store
        self.rows = read_rows(recipe.data, recipe.seed)
        # Every trial names the same files, and a large teacher takes seconds to hash.
        self._digest: Callable[[str], str] = cache(_model_digest)
        part = recipe.evaluation
        found = read_sets(part.sets, part.max_rows) if part.sets else [held_out(self.rows.dev[: part.max_rows])]
        self.sets = tuple(found)
        if recipe.reproduction.teacher == "sft" and recipe.teacher.adapter is not None:
            got = "an adapter to be merged as well"
            remedy = "Leave out teacher.adapter, or set reproduction.teacher to raw."
            raise TrainingError(Problem("reproduction.teacher", "sft of the teacher alone", got, remedy))

    def plan(self, methods: Sequence[Compared], seeds: Sequence[int]) -> Plan:
        """Every method with every seed, the student as it was, and the teacher.

        Raises:
            TrainingError: data or models cannot be found.
        """
        # An adapter names the model that it belongs to.
        source = self.recipe.teacher.adapter or teacher_source(self.recipe)
        tuned = self._tuned_teacher if self.recipe.reproduction.teacher == "sft" else None
        kind = "raw" if tuned is None else f"sft, {self.recipe.reproduction.teacher_train}"
        teacher = f"teacher ({kind})"
        mapped = self._map if any(self._needs_map(one.objective) for one in methods) else None
        trials = [
            self._untrained(RAW_STUDENT, self.recipe.student.source),
            self._untrained(teacher, source) if tuned is None else self._trial_of_teacher(teacher, tuned),
            *(self._trial(method, seed, tuned, mapped) for method in methods for seed in seeds),
        ]
        start = self._probe_of_start if any(one.objective.needs.attention for one in methods) else None
        first = tuple(stage for stage in (mapped, tuned) if stage is not None)
        return Plan(self.recipe, self.sets, teacher, first, tuple(trials), start)

    # Stages

    def _trial(self, method: Compared, seed: int, tuned: Stage | None, mapped: Stage | None) -> Trial:
        name = f"{method.name} {seed}"
        recipe = self._recipe(name, seed, method.objective)
        mapped = mapped if self._needs_map(method.objective) else None
        learnt_from = tuned if method.objective.needs.teacher else None
        needs = tuple(stage for stage in (learnt_from, mapped) if stage is not None)
        inputs = {"kind": "training", "recipe": self._content(recipe), **self._files(recipe)}
        training = Stage(f"train {name}", inputs, partial(self._train, recipe, tuned, mapped), needs)
        probe = None
        if method.objective.needs.attention:
            make = partial(self._probe, lambda: str(self._checkpoint(training)))
            probe = Stage(f"probe {name}", {"kind": "probe", "gold": self._gold_sha256}, make, (training,))
        return Trial(method.name, seed, training, self._evaluations(name, training), probe)

    def _untrained(self, name: str, source: str) -> Trial:
        return Trial(name, None, None, self._evaluations(name, None, source))

    def _trial_of_teacher(self, name: str, tuned: Stage) -> Trial:
        return Trial(name, self.recipe.seed, None, self._evaluations(name, tuned))

    def _evaluations(self, name: str, training: Stage | None, source: str | None = None) -> tuple[Stage, ...]:
        asked = Shared(lambda: load_model(self._model_directory(training, source)))
        model: Mapping[str, Any] = {} if source is None else {"sha256": self._digest(source)}
        needs = () if training is None else (training,)
        return tuple(
            evaluation_stage(
                f"evaluate {name} {one.name}",
                partial(asked.get, last=one is self.sets[-1]),
                one,
                self.recipe.evaluation,
                model=model,
                needs=needs,
            )
            for one in self.sets
        )

    @cached_property
    def _probe_of_start(self) -> Stage | None:
        if start_directory(self.recipe.objective.start) is None:
            return None
        make = partial(self._probe, lambda: self.recipe.objective.start)
        inputs = {"kind": "probe", "gold": self._gold_sha256, "start": self._start_digest(self.recipe.objective)}
        return Stage("probe start", inputs, make)

    @cached_property
    def _tuned_teacher(self) -> Stage:
        recipe = self._recipe("teacher", self.recipe.seed, ObjectivePart(method="sft"))
        student = StudentPart(source=teacher_source(self.recipe), train=self.recipe.reproduction.teacher_train)
        recipe = recipe.model_copy(update={"student": student, "teacher": TeacherPart()})
        inputs = {"kind": "training", "recipe": self._content(recipe), **self._files(recipe)}
        return Stage("train teacher", inputs, partial(self._train, recipe, None, None))

    @cached_property
    def _map(self) -> Stage:
        sources = self.recipe.student.source, teacher_source(self.recipe)
        inputs = {"kind": "vocabulary map", "models": [self._digest(source) for source in sources]}
        return Stage("vocabulary map", inputs, self._make_map)

    # What stages depend on

    @staticmethod
    def _needs_map(objective: ObjectivePart) -> bool:
        return objective.needs.map_file and objective.vocabulary_map is None

    def _recipe(self, name: str, seed: int, objective: ObjectivePart) -> Recipe:
        update = {"name": f"{self.recipe.name}/{name}", "seed": seed, "methods": None, "seeds": None}
        data = self.recipe.data.model_copy(update={"held_out_seed": self.recipe.seed})
        return self.recipe.model_copy(update=update | {"objective": objective, "data": data}).for_training()

    @staticmethod
    def _content(recipe: Recipe) -> dict[str, Any]:
        """What of a recipe decides the weights: not its name, where files lie, or how often something is saved."""
        content = recipe.model_dump(
            mode="json", exclude=dict.fromkeys(("name", "methods", "seeds", "evaluation", "reproduction"), True)
        )
        for part in ("student", "teacher", "data"):
            content[part].pop("source")
        for key in KEPT:
            content["training"].pop(key)
        return content

    def _files(self, recipe: Recipe) -> dict[str, Any]:
        sources = [recipe.student.source, *([recipe.teacher.source] if recipe.teacher.source else [])]
        named = recipe.objective.vocabulary_map if recipe.objective.needs.map_file else None
        return {
            "data": self._data,
            "models": [self._digest(source) for source in sources],
            "start": self._start_digest(recipe.objective),
            "adapter": self._digest(recipe.teacher.adapter) if recipe.teacher.adapter else None,
            "map": file_sha256(Path(named)) if named else None,
        }

    @cached_property
    def _data(self) -> list[str]:
        return [digest(part) for part in self.rows]

    @staticmethod
    def _start_digest(objective: ObjectivePart) -> str | None:
        start = start_directory(objective.start)
        if start is None:
            return None
        files = [start / name for name in (MANIFEST, TENSORS)]
        for file in files:
            if not file.is_file():
                remedy = "Name a bundled checkpoint or a directory."
                raise TrainingError(Problem("objective.start", "a checkpoint", f"no {file}", remedy))
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()

    @cached_property
    def _gold_sha256(self) -> str:
        read_pairs(self.gold)
        return file_sha256(self.gold)

    # What stages do

    def _train(self, recipe: Recipe, tuned: Stage | None, mapped: Stage | None, place: Path) -> None:
        if tuned is not None and recipe.objective.needs.teacher:
            directory = self._checkpoint(tuned) / STUDENT
            adapted = (directory / ADAPTER).is_file()
            source = {"adapter": str(directory)} if adapted else {"source": str(directory)}
            recipe = recipe.model_copy(update={"teacher": recipe.teacher.model_copy(update=source)})
        if mapped is not None:
            path = {"vocabulary_map": str(self.store.place(mapped) / MAP)}
            recipe = recipe.model_copy(update={"objective": recipe.objective.model_copy(update=path)})
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

    def _checkpoint(self, training: Stage) -> Path:
        """The last checkpoint of a finished training."""
        found = newest_complete(self.store.place(training)).path
        if found is None:
            raise TrainingError(Problem(training.name, "a checkpoint", "none", "Delete its directory."))
        return found

    def _model_directory(self, training: Stage | None, source: str | None) -> Path:
        if training is not None:
            return model_directory(str(self._checkpoint(training)))
        return model_directory(str(source))


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


def _model_digest(source: str) -> str:
    return files_digest(model_directory(source))
