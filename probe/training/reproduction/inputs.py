"""What the stages of a reproduction depend on: rows, questions, files, and what of a recipe decides the weights."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from probe.checkpoints.checkpoint import TENSORS
from probe.checkpoints.manifest import MANIFEST
from probe.errors import ProbeError, Problem, TrainingError
from probe.output.provenance import file_sha256
from probe.training.data.rows import SplitRows, read_rows
from probe.training.evaluation.questions import HELD_OUT, QuestionSet, held_out, read_sets
from probe.training.evaluation.respond import model_directory
from probe.training.examples import digest
from probe.training.model_files import SUFFIXES, WHOLE_MODEL, files_digest
from probe.training.parts import ObjectivePart
from probe.training.recipe import Recipe
from probe.training.trainer.start import named_directory

KEPT = ("save_every", "save_projectors_every", "keep_last", "keep_best", "keep_by", "log_every", "report_to")
"""Keys of the training that decide what is written down, and no weight."""

Read = TypeVar("Read")


@dataclass(frozen=True)
class Inputs:
    """The data that was read, and how a model's files are told from others."""

    rows: SplitRows
    sets: tuple[QuestionSet, ...]
    model_digest: Callable[[str], str]
    missing: tuple[Problem, ...] = ()
    """What could not be read; its rows and questions are none."""

    @cached_property
    def data(self) -> list[str]:
        """Digests of the training rows and of those held out."""
        return [digest(part) for part in self.rows]

    def of(self, recipe: Recipe) -> dict[str, Any]:
        """What a training with this recipe depends on, as JSON."""
        sources = [recipe.student.source, *([recipe.teacher.source] if recipe.teacher.source else [])]
        named = recipe.objective.vocabulary_map if recipe.objective.needs.map_file else None
        return {
            "kind": "training",
            "recipe": _content(recipe),
            "data": self.data,
            "models": [self.model_digest(source) for source in sources],
            "start": start_digest(recipe.objective),
            "as sharp as": _checkpoint_digest(named_directory("as_sharp_as", recipe.objective.as_sharp_as)),
            "adapter": self.model_digest(recipe.teacher.adapter) if recipe.teacher.adapter else None,
            "map": file_sha256(Path(named)) if named else None,
        }


def read_inputs(recipe: Recipe) -> Inputs:
    """The data of a recipe.

    Raises:
        TrainingError: some of it cannot be read.
    """
    rows, part = read_rows(recipe.data, recipe.seed), recipe.evaluation
    found = read_sets(part.sets, part.max_rows) if part.sets else [held_out(rows.dev[: part.max_rows])]
    # Every trial names the same files, and a large teacher takes seconds to hash.
    return Inputs(rows, tuple(found), cache(_model_digest))


def inputs_here(recipe: Recipe, sources: Sequence[str]) -> Inputs:
    """The same of what can be read now, for a plan; the rest is listed.

    Args:
        recipe: as it is to run.
        sources: of the models that it needs.
    """
    missing: list[Problem] = []
    part = recipe.evaluation

    def read(what: Callable[[], Read], otherwise: Read) -> Read:
        try:
            return what()
        except ProbeError as error:
            missing.extend(error.problems)
            return otherwise

    digests = {source: read(partial(_digest_of_whole, source), "") for source in dict.fromkeys(sources)}
    rows = read(lambda: read_rows(recipe.data, recipe.seed), SplitRows([], []))
    sets = [
        one
        for name, source in part.sets.items()
        for one in read(partial(read_sets, {name: source}, part.max_rows), [QuestionSet(name, ())])
    ]
    if not part.sets:
        sets = [held_out(rows.dev[: part.max_rows]) if rows.train else QuestionSet(HELD_OUT, ())]
    return Inputs(rows, tuple(sets), digests.__getitem__, tuple(missing))


def _digest_of_whole(source: str) -> str:
    """As `_model_digest`, of a model that has weights: of a hub model, some files may have been fetched alone."""
    try:
        directory = model_directory(source)
    except TrainingError as error:
        if error.__cause__ is None:  # it is no name of the hub
            raise
        raise TrainingError(Problem(source, "a model here", "none", f"Run: hf download {source}.")) from error
    if not any(file.suffix in SUFFIXES for file in directory.iterdir()):
        raise TrainingError(Problem(source, "a model", f"no weights in {directory}", WHOLE_MODEL))
    return files_digest(directory)


def _model_digest(source: str) -> str:
    return files_digest(model_directory(source))


def start_digest(objective: ObjectivePart) -> str | None:
    """Of the projectors that a run starts from; None where it starts from none.

    Raises:
        TrainingError: they are not there.
    """
    return _checkpoint_digest(named_directory("start", objective.start))


def _checkpoint_digest(place: Path | None) -> str | None:
    if place is None:
        return None
    return hashlib.sha256(b"".join((place / name).read_bytes() for name in (MANIFEST, TENSORS))).hexdigest()


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
