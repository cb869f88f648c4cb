"""The layout of DSKD: names of its files and criteria, and what its ``args.json`` says about a run."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from probe.checkpoints.checkpoint import Checkpoint
from probe.errors import CheckpointError, Problem
from probe.models.table_sources import TOKENKIT, TOKENKIT_REMEDY, read_json
from probe.projectors import STRUCTURES

PROJECTORS, CONFIG, ARGUMENTS = "projector.pt", "projector_config.json", "args.json"

PROMPT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n### Response:\n"
)
"""The published template; attention sees only its last token."""

CLA, MATCHING = "dual_space_kd_with_cla", "dual_space_kd_with_cma_plus_kq_matching"
TRAINED_QUERY = frozenset({"dual_space_kd_with_cma", "dual_space_kd_with_cross_model_attention", CLA, MATCHING})
"""Criteria that train the query projector. Others save an untrained one if their configuration enables it."""

_TYPES: Mapping[str, type] = {
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
"""The arguments that are read; any may be null."""

OF_THE_RUN = frozenset({"teacher_model_path", "projector_config_path"})
"""Arguments that an evaluation takes from its run. Its other arguments are defaults or its own."""


def is_dskd(directory: Path) -> bool:
    """Whether the directory has this layout."""
    return (directory / PROJECTORS).is_file()


def without_projectors(directory: Path) -> tuple[str, str]:
    """What a directory with a model and no projectors is, and what can still be asked of it."""
    if (directory / TOKENKIT).is_file():
        remedy = f"tokenkit trains no attention. {TOKENKIT_REMEDY}"
        return f"a directory of tokenkit, with {TOKENKIT}", remedy
    remedy = (
        "Without them there is no attention to probe. How the tokens of its two models lie to each other: "
        f"probe-aligners --student {directory} --teacher MODEL. While it trains: probe.QueryAttention."
    )
    return "a model without projectors; DSKDv2, KDFlow and TRL save none", remedy


def run_arguments(directory: Path) -> dict[str, Any]:
    """The ``args.json`` here or in the parent; if an evaluation wrote it, only what it took from the run.

    Raises:
        TableError: it is not a JSON object.
    """
    for place in (directory, directory.parent):
        if (place / ARGUMENTS).is_file():
            arguments = read_json(place / ARGUMENTS)
            is_training = arguments.get("do_train", True)
            return {key: value for key, value in arguments.items() if is_training or key in OF_THE_RUN}
    return {}


def wrong_arguments(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Arguments of a wrong type, by name, and what is wrong with each."""
    return {
        key: f"{key}: {arguments[key]!r:.80}, which is not of type {kind.__name__}"
        for key, kind in _TYPES.items()
        if key in arguments and not _is(arguments[key], kind)
    }


def _is(value: Any, kind: type) -> bool:
    if value is None:
        return True
    if kind is int:
        return type(value) is int and 0 <= value < 1 << 31
    return isinstance(value, kind) and "\0" not in str(value)


def run_criterion(directory: Path, arguments: Mapping[str, Any]) -> str | None:
    """The criterion, from the arguments or else from the path; None if neither has it."""
    named = arguments.get("criterion")
    if named is None:
        match = re.search(r"criterion=([a-z_]+?)__", str(directory))
        named = match[1] if match else None
    return named


def run_batch_size(directory: Path, arguments: Mapping[str, Any]) -> int:
    """Sentences in a batch that shares one standard deviation: from the arguments, else from the path, else 8."""
    match = re.search(r"__bsz=([0-9]+)x", str(directory))  # before accumulation, and of one process
    return int(arguments.get("batch_size") or (match[1] if match else 8))


MAX_PROMPT, MAX_LENGTH = 256, 512
"""Tokens of the prompt, and of prompt and response together, as published."""


PRETRAINING = "t2s pre-training"

CRITERIA = {
    "dskd": "dual_space_kd",
    "cma": "dual_space_kd_with_cma",
    "cla": "dual_space_kd_with_cla",
    "clp": "dual_space_kd_with_clp",
    "cma-ga": MATCHING,
    "cma-ct": MATCHING,
}
"""The name in DSKD-KQ of each method whose projectors it knows."""

ADVERSARIES = {"cma-ga": "gan", "cma-ct": "ct"}


def dskd_criterion(checkpoint: Checkpoint) -> str:
    """DSKD's name of a checkpoint's method.

    Raises:
        CheckpointError: the method has no counterpart, or there are no projectors, or unknown ones.
    """
    unknown = sorted(checkpoint.projectors.keys() - STRUCTURES.keys())
    if checkpoint.method not in CRITERIA or unknown or not checkpoint.projectors:
        projectors = ", ".join(checkpoint.projectors) or "none"
        raise CheckpointError(
            Problem(
                str(checkpoint.path),
                f"a method of DSKD ({', '.join(CRITERIA)}) with its projectors ({', '.join(STRUCTURES)})",
                f"method {checkpoint.method} with projectors {projectors}",
                "DSKD cannot read this checkpoint; share it as it is.",
            )
        )
    # An adopted checkpoint keeps its name.
    is_theirs = checkpoint.criterion in TRAINED_QUERY | set(CRITERIA.values())
    return checkpoint.criterion if is_theirs else CRITERIA[checkpoint.method]


NOTES, TOKENIZER = "NOTES.txt", "tokenizer_config.json"
TERMS = ("NOTICE", "LICENSE")
"""Files that go with the projectors, because the terms of the teacher may apply to these."""


def as_json(value: Mapping[str, Any]) -> str:
    """JSON as in this layout: indented, in plain Unicode, with a newline at the end."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
