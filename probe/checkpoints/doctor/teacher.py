"""Examine the teacher of a run of DSKD: from ``args.json`` or the user, or suggest some that may fit."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from probe.checkpoints.doctor.findings import TEACHER, Notes, Verdict, unnoted
from probe.checkpoints.doctor.models import Seen, note_model, see
from probe.checkpoints.dskd import ARGUMENTS
from probe.exchange.align_jsonl import Alignment
from probe.models.sources import BUNDLED, CACHE, bundled_dir, cache_dir


def examine_teacher(
    arguments: Mapping[str, Any], named: str | None, width: int | None, lines: Sequence[Alignment], notes: Notes
) -> Seen | None:
    """The teacher, if it can be read. `named` is what the user named; `width` is what the projectors need."""
    recorded: str | None = arguments.get("teacher_model_path")
    source = named or (recorded if recorded and Path(recorded).exists() else None)
    elsewhere = _elsewhere(arguments)
    if source is None:
        _suggest(elsewhere, width, lines, notes)
        return None
    seen = notes.attempt(TEACHER, lambda: see(source))
    if seen is not None:
        if source == recorded:
            said, verdict = [f"{source}, named by {ARGUMENTS}"], Verdict.OK
        else:
            said, verdict = [f"{source}, named by you", *elsewhere], Verdict.UNVERIFIED
        if lines and _speaks(seen, lines):
            said.append("its tokenizer has every teacher token of the alignment")
        note_model(TEACHER, verdict, seen, said, width, notes)
    return seen


def _elsewhere(arguments: Mapping[str, Any]) -> list[str]:
    path, kind = arguments.get("teacher_model_path"), arguments.get("teacher_model_type")
    return [f"{ARGUMENTS} names {path}" + (f", of type {kind}" if kind else "")] if path else []


def _suggest(elsewhere: Sequence[str], width: int | None, lines: Sequence[Alignment], notes: Notes) -> None:
    facts = [f"{elsewhere[0]}; it is not on this machine" if elsewhere else f"no {ARGUMENTS} names it"]
    found = [seen for seen in _models_at_hand() if seen.table.width == width and _speaks(seen, lines)]
    for seen in found:
        facts += [f"{seen.source}: {seen.facts[0]}", f"its width {width} fits, but its weights may be others"]
    if width is not None and not found:
        facts.append(f"the projectors need width {width}; no model in the cache or the package fits")
    verdict = Verdict.UNVERIFIED if found else Verdict.PROBLEM
    example = f", for instance --teacher {found[0].source}" if found else ""
    notes.add(TEACHER, verdict, *facts, remedy=f"Name it with --teacher{example}.")


def _models_at_hand() -> list[Seen]:
    """The models of the cache and of this package that can be read."""
    sources = [
        f"{prefix}{config.parent.relative_to(root).as_posix()}"
        for root, prefix in ((cache_dir(), CACHE), (bundled_dir(), BUNDLED))
        for config in sorted(root.glob("*/*/config.json"))
    ]
    return [seen for source in sources if (seen := unnoted(partial(see, source)))]


def _speaks(seen: Seen, lines: Sequence[Alignment]) -> bool:
    """Whether the tokenizer of a model has the teacher tokens of exported alignments; True if there are none."""
    if not lines:
        return True
    tokenizer = seen.tokenizer
    pieces = [piece for line in lines for piece in line.teacher]
    return tokenizer is not None and unnoted(lambda: tokenizer.ids(pieces)) is not None
