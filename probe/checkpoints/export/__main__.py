"""The command ``python -m probe.checkpoints.export``: arguments, messages and exit codes."""

import argparse
import math
import sys
from pathlib import Path

from probe.checkpoints.checkpoint import Checkpoint, load_checkpoint
from probe.checkpoints.export.translation import SHORT, translate
from probe.checkpoints.export.writer import RunInfo, epoch_directory, export_dskd
from probe.errors import ProbeError


def main() -> int:
    """Parse arguments and export."""
    parser = argparse.ArgumentParser(
        prog="python -m probe.checkpoints.export", description="Write a checkpoint in the layout of another toolkit."
    )
    parser.add_argument("checkpoint", type=Path, help="checkpoint directory of a run")
    parser.add_argument("--to", required=True, choices=["dskd"], help="the layout")
    parser.add_argument("--out", required=True, type=Path, help="directory of runs; the run gets a subdirectory")
    parser.add_argument("--teacher", help="path of the teacher for args.json; default: the source in the checkpoint")
    parser.add_argument(
        "--dtype", choices=[*SHORT], default="bfloat16", help="type of the projectors; default %(default)s"
    )
    parser.add_argument(
        "--epoch", type=int, help="number of the epoch; default: from the steps and the rows of the recipe, or 1"
    )
    parser.add_argument("--loss", type=float, help="loss on the development set; default: none")
    parser.add_argument(
        "--setting", help="name of the directory of the run; default: from criterion, teacher and recipe"
    )
    arguments = parser.parse_args()
    try:
        checkpoint = load_checkpoint(arguments.checkpoint)
        epoch = _epochs(checkpoint) if arguments.epoch is None else arguments.epoch
        run = RunInfo(epoch, arguments.loss, arguments.setting)
        notes = export_dskd(
            arguments.checkpoint, arguments.out, teacher_path=arguments.teacher, dtype=arguments.dtype, run=run
        )
    except ProbeError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    print(epoch_directory(checkpoint, arguments.out, dtype=arguments.dtype, run=run))
    for note in notes:
        print(f"- {note}")
    return 0


def _epochs(checkpoint: Checkpoint) -> int:
    known, rows = translate(checkpoint).arguments, checkpoint.recipe.get("rows")
    size, steps = known.get("batch_size"), checkpoint.steps
    if not (rows and size and steps):
        return 1
    return max(1, math.ceil(steps * size * (known.get("gradient_accumulation_steps") or 1) / rows))


if __name__ == "__main__":
    sys.exit(main())
