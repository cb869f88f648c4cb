"""``python -m probe.training.demo.release``: make a bundled checkpoint of a run, and measure what float16 does to it.

Models may be copied into the bundle (the demo's) or named by source (fetched ones). Every source is opened, and its
embedding table's identity recorded; nothing is listed unseen. Of a run whose student was trained, name
``projectors/step-N``: it holds the student's table without its layers, and that is all a probe reads.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from probe.alignment.fitting import fitting_rows
from probe.checkpoints.checkpoint import TENSORS, ModelRecord, VerifiedSource, load_checkpoint, save_checkpoint
from probe.checkpoints.manifest import MANIFEST
from probe.checkpoints.opened import open_checkpoint
from probe.errors import ProbeError
from probe.gold.pairs import read_pairs
from probe.models.embeddings import open_table
from probe.models.sources import BUNDLED, bundled_dir, resolve
from probe.training.progress import LOG

LOG_STEPS = 20
MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


def main() -> int:
    """Parse arguments and release."""
    parser = argparse.ArgumentParser(prog="python -m probe.training.demo.release", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="checkpoint directory of a run")
    parser.add_argument("name", help="name of the bundled checkpoint")
    parser.add_argument("--pairs", type=Path, required=True, help="gold pairs on which attention is compared")
    for role in ("student", "teacher"):
        parser.add_argument(f"--copy-{role}", type=Path, help="model directory to copy into the bundle")
        parser.add_argument(
            f"--{role}", action="append", default=[], metavar="SOURCE", help="source to list; repeatable"
        )
    arguments = parser.parse_args()
    try:
        _release(arguments)
    except ProbeError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _release(arguments: argparse.Namespace) -> None:
    trained = load_checkpoint(arguments.checkpoint)
    place = bundled_dir() / arguments.name
    place.mkdir(exist_ok=True)
    records: dict[str, ModelRecord] = {}
    for role in ("student", "teacher"):
        record: ModelRecord = getattr(trained, role)
        sources: list[str] = getattr(arguments, role)
        if directory := getattr(arguments, f"copy_{role}"):
            (place / role).mkdir(exist_ok=True)
            for name in MODEL_FILES:
                shutil.copyfile(directory / name, place / role / name)
            sources = [f"{BUNDLED}{arguments.name}/{role}"]
            record = replace(record, name=f"{arguments.name}/{role}")
        found = tuple(VerifiedSource(s, open_table(resolve(s, Path.cwd())).identity().sha256) for s in sources)
        records[role] = replace(record, sources=found)
    released = replace(trained, name=arguments.name, path=place, recipe=_portable(trained.recipe), **records)
    with tempfile.TemporaryDirectory() as scratch:
        save_checkpoint(released, Path(scratch) / arguments.name, dtype=np.float16)
        for name in (MANIFEST, TENSORS):
            shutil.copyfile(Path(scratch) / arguments.name / name, place / name)
    log = arguments.checkpoint.with_name(LOG)
    if log.is_file():  # of projectors alone
        _thin_log(log, place / "training_log.csv")
    _compare(arguments)


def _portable(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe without directories of this machine: of an absolute path to data, the last two parts stay."""
    found = dict(recipe)
    for part in found.keys() & {"data", "texts"}:
        source = found[part]["source"]
        if source is not None and Path(source).is_absolute():
            found[part] = {**found[part], "source": "/".join(Path(source).parts[-2:])}
    return found


def _thin_log(log: Path, path: Path) -> None:
    """Keep the run's log beside its checkpoint: means over every 20 steps, weighted by targets."""
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    figures = [key for key in rows[0] if key not in ("step", "targets", "seconds")]
    lines = [",".join(["steps", *figures, "targets"])]
    for begin in range(0, len(rows), LOG_STEPS):
        part = rows[begin : begin + LOG_STEPS]
        targets = sum(row["targets"] for row in part)
        means = [sum(row[key] * row["targets"] for row in part) / targets for key in figures]
        lines.append(",".join([f"{begin}-{begin + len(part)}", *(f"{mean:.4f}" for mean in means), f"{targets}"]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _compare(arguments: argparse.Namespace) -> None:
    """Print how far attention moves when the projectors are rounded to float16."""
    gold = read_pairs(arguments.pairs)
    rounded = open_checkpoint(load_checkpoint(bundled_dir() / arguments.name))
    exact = replace(
        rounded, checkpoint=replace(rounded.checkpoint, projectors=load_checkpoint(arguments.checkpoint).projectors)
    )
    differences: list[float] = []
    flips = rows = 0
    for row in fitting_rows(rounded, gold):
        before, after = (side.map(row.student, row.teacher).weights for side in (exact, rounded))
        differences.append(float(np.abs(before - after).max()))
        flips += int((before.argmax(axis=1) != after.argmax(axis=1)).sum())
        rows += len(before)
    print(f"float16: largest change of a weight {max(differences):.2e}; argmax changed in {flips} of {rows} rows")


if __name__ == "__main__":
    sys.exit(main())
