"""Rows of an annotation that the format does not allow yet: kept beside the gold file until they are mended."""

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from probe.errors import OutputError, Problem
from probe.gold.rows import JUDGED, PHENOMENA, GoldRow
from probe.output.files import replacing_file
from probe.output.reading import Wanted, read_object

END = ".draft.json"


def draft_of(path: Path) -> Path:
    """The file of the rows of a gold file that cannot be saved yet."""
    return path.with_name(path.name + END)


def keep(path: Path, rows: Sequence[GoldRow], drafts: Collection[str]) -> None:
    """Write the drafts among these rows beside the gold file; the other rows need none any more.

    What an earlier file holds of other rows, or what does not fit its row, stays in it.

    Raises:
        OutputError: the earlier file cannot be read, so that it cannot be added to; or the place cannot be written to.
    """
    file = draft_of(path)
    earlier = _read(file)
    if earlier is None and drafts:
        remedy = "Move it elsewhere, and save again."
        raise OutputError(Problem(str(file), "drafts of rows", "something else", remedy))
    content = dict(earlier or {})
    for row in rows:
        if row.id in drafts:
            content[row.id] = {
                "text": row.text,
                "sure": sorted(row.sure),
                "possible": sorted(row.possible),
                "heads": sorted(row.heads),
                "phenomena": row.phenomena,
                "note": row.note,
            }
        elif _laid_over(row, content.get(row.id)) is not None:
            del content[row.id]
    if content == earlier or earlier is None:
        return
    if not content:
        file.unlink(missing_ok=True)
        return
    with replacing_file(file) as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _read(file: Path) -> dict[str, Any] | None:
    """What the file of drafts holds; None if that is something else."""
    if not file.exists():
        return {}
    try:
        return read_object(file, Wanted("drafts of rows", "Move it elsewhere.", OutputError))
    except OutputError:
        return None


def kept(path: Path, rows: Sequence[GoldRow]) -> dict[str, GoldRow]:
    """Rows of the file of drafts by id; what does not fit the rows of the gold file is passed over."""
    drafts = _read(draft_of(path)) or {}
    found = {row.id: draft for row in rows if (draft := _laid_over(row, drafts.get(row.id))) is not None}
    return {id_: draft for id_, draft in found.items() if draft not in rows}


def _laid_over(row: GoldRow, draft: Any) -> GoldRow | None:
    try:
        links = [frozenset((int(i), int(j)) for i, j in draft[kind]) for kind in ("sure", "possible", "heads")]
        note, tags, text = str(draft["note"]), tuple(draft["phenomena"]), draft["text"]
    except (LookupError, TypeError, ValueError):
        return None
    students, teachers = row.sizes
    within = all(0 <= i < students and 0 <= j < teachers for each in links for i, j in each)
    if text != row.text or not within or links[0] & links[1] or not set(tags) <= {*PHENOMENA, *JUDGED}:
        return None
    return replace(row, sure=links[0], possible=links[1], heads=links[2], phenomena=tags, note=note)
