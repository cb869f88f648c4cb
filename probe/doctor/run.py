"""What DSKD's run says of itself, by ``args.json`` or by its path: arguments, criterion and batches."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from probe.adopt import ARGUMENTS, TRAINED_QUERY, run_arguments, run_batch_size, run_criterion
from probe.doctor.findings import Notes, Verdict
from probe.key_scale import Batches
from probe.table_sources import read_json

# What is read of args.json, and the types that it is written with. Anything else there is not ours to judge.
_ARGUMENT_TYPES: dict[str, type] = {
    "criterion": str,
    "model_path": str,
    "teacher_model_path": str,
    "teacher_model_type": str,
    "projector_config_path": str,
    "batch_size": int,
    "max_length": int,
    "do_train": bool,
    "only_save_projector": bool,
}


def examine_arguments(epoch: Path, notes: Notes) -> dict[str, Any]:
    """The run's arguments, without those that are of a wrong type."""
    arguments = notes.attempt("arguments", lambda: run_arguments(epoch))
    if arguments is None:
        return {}
    strange = {
        key: f"{key}: {arguments[key]!r}, which is not of type {kind.__name__}"
        for key in arguments
        if (kind := _ARGUMENT_TYPES.get(key)) and not isinstance(arguments[key], kind | None)
    }
    if strange:
        notes.add("arguments", Verdict.PROBLEM, *strange.values(), remedy=f"Mend {ARGUMENTS}.")
    _note_writer(epoch, notes)
    return {key: value for key, value in arguments.items() if key not in strange}


def _note_writer(epoch: Path, notes: Notes) -> None:
    """Evaluations write over what training wrote."""
    place = next((place for place in (epoch, epoch.parent) if (place / ARGUMENTS).is_file()), None)
    if place is None:
        remedy = "Copy it from the run's directory, or name both models."
        notes.add("arguments", Verdict.UNVERIFIED, f"no {ARGUMENTS}, here or in the directory above", remedy=remedy)
        return
    file = f"{ARGUMENTS} {'here' if place == epoch else 'in the directory above'}"
    if read_json(place / ARGUMENTS).get("do_train", True):
        notes.add("arguments", Verdict.OK, f"{file}, written by training")
    else:
        remedy = "What only training decides is read from the directory's name instead."
        notes.add("arguments", Verdict.UNVERIFIED, f"{file} was written over by an evaluation", remedy=remedy)


def examine_criterion(epoch: Path, arguments: Mapping[str, Any], notes: Notes) -> bool | None:
    """Whether the criterion trains the query projector; None where nothing names it."""
    criterion = run_criterion(epoch, arguments)
    if criterion is None:
        notes.add("criterion", Verdict.UNVERIFIED, f"neither {ARGUMENTS} nor the path names one")
        return None
    named = f"{criterion}, by {ARGUMENTS if arguments.get('criterion') else 'the path'}"
    trains = criterion in TRAINED_QUERY
    if trains:
        notes.add("criterion", Verdict.OK, f"{named}: it trains the query projector")
    else:
        remedy = "There is no attention to probe. Take a run of a criterion with cross-model attention."
        notes.add("criterion", Verdict.PROBLEM, f"{named}: it never trains the query projector", remedy=remedy)
    return trains


def examine_batches(epoch: Path, arguments: Mapping[str, Any], notes: Notes) -> Batches:
    """The shape of the batches that keys were standardised over."""
    batches = Batches(run_batch_size(epoch, arguments), int(arguments.get("max_length") or 512))
    from_path = re.search(r"__bsz=[0-9]+x", str(epoch))
    size = ARGUMENTS if arguments.get("batch_size") else "the path" if from_path else None
    length = ARGUMENTS if arguments.get("max_length") else None
    facts = [
        f"batch size {batches.size}, {f'by {size}' if size else 'assumed'}",
        f"max_length {batches.length}, {f'by {length}' if length else 'assumed'}",
    ]
    notes.add("batches", Verdict.OK if size and length else Verdict.UNVERIFIED, *facts)
    return batches
