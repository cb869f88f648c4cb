"""Check that the options of ``probe-align`` fit together, before anything is computed."""

from argparse import Namespace
from pathlib import Path

from probe.cli.run import named
from probe.errors import CheckpointError, OutputError, PairsError, Problem


def labels_of(arguments: Namespace) -> dict[str, str | None]:
    """The label of each checkpoint, in order. Either all of them have a label, or none has.

    Raises:
        CheckpointError: one is named twice, some have a label and some none, or labels cannot be paired.
    """
    asked = [named(argument) for argument in arguments.checkpoint or []]
    names = [name for _, name in asked]
    if arguments.texts and arguments.maps:
        remedy = "Name a gold file with --pairs."
        raise PairsError(Problem("--maps", "gold rows for these maps", "--texts", remedy))
    if len({*names, *map(str, arguments.maps)}) < len(names) + len(arguments.maps):
        raise CheckpointError(Problem("--checkpoint", "different checkpoints", "the same one twice", "Name each once."))
    labels = {name: label for label, name in asked}
    if not any(labels.values()):
        return labels
    from probe.report.method_comparison import check_paired

    bare = [*(name for name, label in labels.items() if label is None), *map(str, arguments.maps)]
    if bare:
        remedy = "Write LABEL=NAME for every checkpoint, or for none; maps have no label."
        raise CheckpointError(Problem("--checkpoint", "a label for each checkpoint", f"no label for {bare[0]}", remedy))
    check_paired({label: [n for n, its in labels.items() if its == label] for label in labels.values() if label})
    return labels


def check_against(arguments: Namespace) -> None:
    """Check that the method of --against is known, and score it where --methods leaves it out.

    Raises:
        MapError: it is not known.
    """
    from probe.alignment.methods import chosen_references

    if arguments.against:
        chosen_references([arguments.against])
        arguments.methods = arguments.methods and list(dict.fromkeys([*arguments.methods, arguments.against]))


def check_functional(arguments: Namespace) -> None:
    """Check --functional: it needs torch and a checkpoint, --refit-on needs it, and its file holds one checkpoint.

    Raises:
        ProbeError: one of these does not hold.
    """
    if arguments.functional is None:
        if arguments.refit_on:
            raise PairsError(
                Problem("--refit-on", "the option --functional as well", "no such option", "Add --functional.")
            )
        return
    from probe.training.terminal import require_train

    checkpoints = len(arguments.checkpoint or ()) or int(not arguments.maps)
    if not checkpoints:
        remedy = "Name a checkpoint too: the losses need its t2s projector."
        raise PairsError(Problem("--functional", "a checkpoint", "only maps", remedy))
    if arguments.functional and checkpoints > 1:
        remedy = "Leave out the file, or run once for each checkpoint."
        raise OutputError(Problem("--functional FILE", "one checkpoint", f"{checkpoints}", remedy))
    require_train()


def check_judged(arguments: Namespace) -> None:
    """Check that --judged has a checkpoint: maps of other tools are of the rows of --pairs.

    Raises:
        PairsError: it has none.
    """
    if arguments.judged is not None and arguments.maps and not arguments.checkpoint:
        remedy = "Name a checkpoint too: its attention is computed on the judged rows."
        raise PairsError(Problem("--judged", "a checkpoint", "only maps", remedy))


def check_outputs(arguments: Namespace) -> None:
    """Check that each output can be written, and that no two are the same.

    Raises:
        OutputError: one of these does not hold.
    """
    from probe.output.files import check_directory, check_place

    functional = Path(arguments.functional) if arguments.functional else None
    asked = arguments.json, arguments.csv, arguments.latex, arguments.markdown, arguments.html, functional
    outputs = [path for path in asked if path]
    for path in outputs:
        check_place(path)
    for directory in (arguments.heatmaps, arguments.save_maps):
        if directory is not None:
            check_directory(directory)
    if len(set(outputs)) < len(outputs):
        raise OutputError(
            Problem("outputs", "a different file for each output", "one file twice", "Name different files.")
        )
