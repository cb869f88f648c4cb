"""What the options of ``probe-align`` ask of each other, before anything is computed."""

from argparse import Namespace
from pathlib import Path

from probe.cli.run import named
from probe.errors import CheckpointError, OutputError, PairsError, Problem


def labels_of(arguments: Namespace) -> dict[str, str | None]:
    """The label of each checkpoint, in order; all of them have one, or none.

    Raises:
        CheckpointError: one is named twice, some have a label and some none, or labels cannot be paired.
    """
    asked = [named(argument) for argument in arguments.checkpoint or []]
    names = [name for _, name in asked]
    if len({*names, *map(str, arguments.maps)}) < len(names) + len(arguments.maps):
        raise CheckpointError(Problem("--checkpoint", "different ones", "one twice", "Name each once."))
    labels = {name: label for label, name in asked}
    if not any(labels.values()):
        return labels
    from probe.report.method_comparison import check_paired

    bare = [*(name for name, label in labels.items() if label is None), *map(str, arguments.maps)]
    if bare:
        remedy = "Write LABEL=NAME for every checkpoint, or for none; maps have no label."
        raise CheckpointError(Problem("--checkpoint", "a label for each", f"none for {bare[0]}", remedy))
    check_paired({label: [n for n, its in labels.items() if its == label] for label in labels.values() if label})
    return labels


def check_functional(arguments: Namespace) -> None:
    """It needs torch and a checkpoint, and only it refits; a file holds one probe.

    Raises:
        ProbeError: one of these is not so.
    """
    if arguments.functional is None:
        if arguments.refit_on:
            raise PairsError(Problem("--refit-on", "--functional beside it", "none", "Add --functional."))
        return
    from probe.training.terminal import require_train

    checkpoints = len(arguments.checkpoint or ()) or int(not arguments.maps)
    if not checkpoints:
        remedy = "Name the checkpoint too: losses need its t2s projector."
        raise PairsError(Problem("--functional", "a checkpoint", "maps alone", remedy))
    if arguments.functional and checkpoints > 1:
        remedy = "Leave out the file, or run once for each checkpoint."
        raise OutputError(Problem("--functional FILE", "one checkpoint", f"{checkpoints}", remedy))
    require_train()


def check_outputs(arguments: Namespace) -> None:
    """Each file has a place, and no two are the same.

    Raises:
        OutputError: it is not so.
    """
    from probe.output.files import check_place

    functional = Path(arguments.functional) if arguments.functional else None
    asked = arguments.json, arguments.csv, arguments.latex, arguments.markdown, arguments.html, functional
    outputs = [path for path in asked if path]
    for path in outputs:
        check_place(path)
    if len(set(outputs)) < len(outputs):
        raise OutputError(Problem("outputs", "a file for each", "one file twice", "Name different files."))
