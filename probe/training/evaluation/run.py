"""Several models on several sets, kept as stages so that nothing is sampled twice."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from probe.errors import Problem, TrainingError
from probe.files import replacing_file
from probe.training.evaluation.evaluate import Evaluation, evaluate, read_evaluation
from probe.training.evaluation.questions import QuestionSet, held_out, read_sets
from probe.training.evaluation.respond import Model, Shared, load_model, model_directory
from probe.training.evaluation.summary import System
from probe.training.model_files import directory_of, files_digest
from probe.training.recipe import EvaluationPart, Recipe, read_recipe_of_run
from probe.training.rows import read_rows
from probe.training.stages import Stage, Store
from probe.training.trainer.saving import RECIPE

RESULT = "evaluation.json"


@dataclass(frozen=True)
class Asked:
    """A model that is to be evaluated."""

    label: str
    source: str
    recipe: Recipe | None
    """Of the run that trained it."""

    @property
    def seed(self) -> int | None:
        """Of its training."""
        return None if self.recipe is None else self.recipe.seed


def asked_models(labelled: Sequence[tuple[str, str]]) -> list[Asked]:
    """Models by label and source.

    Raises:
        TrainingError: a source is no directory, or one label has two models of the same training seed.
    """
    found: list[Asked] = []
    for label, source in labelled:
        place = directory_of(source)
        recipe = read_recipe_of_run(place / RECIPE) if (place / RECIPE).is_file() else None
        asked = Asked(label, source, recipe)
        if any((other.label, other.seed) == (label, asked.seed) for other in found):
            remedy = "Give them different labels: LABEL=MODEL."
            got = f"two models with training seed {asked.seed}"
            raise TrainingError(Problem(f"label {label}", "models of different training seeds", got, remedy))
        found.append(asked)
    return found


def evaluate_models(asked: Sequence[Asked], part: EvaluationPart, directory: Path | None) -> list[System]:
    """Evaluate all models, on the named sets or on the rows that their runs held out.

    Args:
        asked: the models; those of one label are training seeds of one system.
        part: sets and decoding.
        directory: where responses are kept; None to forget them.

    Raises:
        TrainingError: a set cannot be read, models held out different rows, or an evaluation failed; what was
            evaluated before is kept.
    """
    sets = {one.source: _sets_of(one, part) for one in asked}
    if len({tuple(each.digest() for each in several) for several in sets.values()}) > 1:
        remedy = "Name the sets."
        raise TrainingError(Problem("evaluation", "the same held-out rows of all runs", "different ones", remedy))
    shared = {one.source: Shared(partial(load_model, model_directory(one.source))) for one in asked}
    stages = {
        (one.source, questions.name): evaluation_stage(
            f"{one.label} {one.seed} {questions.name}",
            partial(shared[one.source].get, last=questions is sets[one.source][-1]),
            questions,
            part,
            model={"sha256": files_digest(model_directory(one.source))},
        )
        for one in asked
        for questions in sets[one.source]
    }
    with TemporaryDirectory() as scratch:
        store = Store(directory or Path(scratch))
        with store.held():
            outcomes = store.run(list(stages.values()), lambda _: None)
            failed = [one for one in outcomes if one.state == "failed"]
            if failed:
                raise TrainingError(
                    *(Problem(o.stage.name, "an evaluation", o.trouble or "", "Mend it.") for o in failed)
                )
            systems: dict[str, dict[int | None, Sequence[Evaluation]]] = {}
            for one in asked:
                of_sets = [read_result(store, stages[one.source, each.name], each) for each in sets[one.source]]
                systems.setdefault(one.label, {})[one.seed] = of_sets
    return [System(label, runs) for label, runs in systems.items()]


def _sets_of(asked: Asked, part: EvaluationPart) -> list[QuestionSet]:
    if part.sets:
        return read_sets(part.sets, part.max_rows)
    if asked.recipe is None:
        remedy = "Name a set: --set PATH."
        raise TrainingError(Problem(asked.source, "a run that held rows out, or a set", "neither", remedy))
    rows = read_rows(asked.recipe.data, asked.recipe.seed)
    return [held_out(rows.dev[: part.max_rows])]


def evaluation_stage(
    name: str,
    load: Callable[[], Model],
    questions: QuestionSet,
    part: EvaluationPart,
    *,
    model: Mapping[str, Any],
    needs: tuple[Stage, ...] = (),
) -> Stage:
    """The evaluation of one model on one set as a stage.

    Args:
        name: of the stage.
        load: returns the `Model`; called when it is needed.
        questions: the set.
        part: decoding; its sets and its batch size change no response.
        model: what names the model's weights, where no needed stage does.
        needs: the stage that trains it.
    """

    def make(place: Path) -> None:
        found = evaluate(load(), questions, part)
        with replacing_file(place / RESULT) as temporary:
            temporary.write_text(found.to_json(), encoding="utf-8")

    decoding = part.model_dump(mode="json", exclude={"sets", "batch_size", "max_rows"})
    inputs = {"kind": "evaluation", "set": questions.digest(), "decoding": decoding, "model": dict(model)}
    return Stage(name, inputs, make, needs)


def read_result(store: Store, stage: Stage, questions: QuestionSet) -> Evaluation:
    """What an evaluation stage left."""
    path = store.place(stage) / RESULT
    return read_evaluation(path.read_text(encoding="utf-8"), questions, str(path))
