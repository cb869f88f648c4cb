"""Several models on several sets, kept as stages so that nothing is sampled twice."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from probe.errors import Problem, TrainingError
from probe.output.files import replacing_file
from probe.output.reading import Wanted, read_text
from probe.training.data.rows import read_rows
from probe.training.evaluation.evaluate import Evaluation, evaluate, read_evaluation
from probe.training.evaluation.questions import QuestionSet, held_out, read_sets
from probe.training.evaluation.respond import Model, Shared, load_model, model_directory
from probe.training.evaluation.summary import System
from probe.training.model_files import directory_of, files_digest
from probe.training.parts import EvaluationPart
from probe.training.recipe import RECIPE, Recipe, read_recipe_of_run
from probe.training.stages import Outcome, Stage, Store

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
    sets = _sets_of(asked, part)
    shared = {one.source: Shared(partial(load_model, model_directory(one.source))) for one in asked}
    stages = {
        (one.source, questions.name): evaluation_stage(
            " ".join([one.label, *([] if one.seed is None else [str(one.seed)]), questions.name]),
            partial(shared[one.source].get, last=questions is sets[-1]),
            questions,
            part,
            model={"sha256": files_digest(model_directory(one.source))},
        )
        for one in asked
        for questions in sets
    }
    with TemporaryDirectory() as scratch:
        store = Store(directory or Path(scratch))
        with store.held():
            outcomes = store.run(list(stages.values()), lambda _: None)
            failed = [one for one in outcomes if one.state == "failed"]
            if failed:
                where, again = f"the others are kept in {directory}", "make them again, for --out was not given"
                remedy = f"Mend it; {where if directory else again}."
                raise TrainingError(*(Problem(o.stage.name, "an evaluation", _end(o), remedy) for o in failed))
            systems: dict[str, dict[int | None, Sequence[Evaluation]]] = {}
            for one in asked:
                of_sets = [read_result(store, stages[one.source, each.name], each) for each in sets]
                systems.setdefault(one.label, {})[one.seed] = of_sets
    return [System(label, runs) for label, runs in systems.items()]


def _end(outcome: Outcome) -> str:
    """What went wrong, without the full stop that follows in the message."""
    return (outcome.trouble or "").removesuffix(".")


def _sets_of(asked: Sequence[Asked], part: EvaluationPart) -> list[QuestionSet]:
    """The named sets; without any, the rows that the runs among the models held out, which must be the same."""
    if part.sets:
        return read_sets(part.sets, part.max_rows)
    recipes = [one.recipe for one in asked if one.recipe is not None]
    if not recipes:
        got = f"neither, of {', '.join(one.source for one in asked)}"
        raise TrainingError(Problem("evaluation", "a set, or a run that held rows out", got, "Name a set: --set PATH."))
    found = [held_out(read_rows(recipe.data, recipe.seed).dev[: part.max_rows]) for recipe in recipes]
    if len({one.digest() for one in found}) > 1:
        raise TrainingError(
            Problem("evaluation", "the same held-out rows of all runs", "different ones", "Name the sets: --set PATH.")
        )
    return found[:1]


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
    text = read_text(path, Wanted("an evaluation", "Delete it to evaluate again.", TrainingError))
    return read_evaluation(text, questions, str(path))
