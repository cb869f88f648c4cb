"""Read maps or links of other tools to score them: ``.npz``, ``align.jsonl``, and hard links."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from probe.errors import MapError, PairsError, Problem
from probe.exchange.align_jsonl import Alignment, read_alignments
from probe.exchange.conversion import ALIGN_JSONL, NAACL, PHARAOH, SIMALIGN, STUDENT_FILE, Naming, read_alone, read_onto
from probe.exchange.link_formats import STANDARD_BASE
from probe.gold.pairs import GoldFile
from probe.gold.rows import GoldRow, link_mask
from probe.maps import AttentionMap, with_eos
from probe.output.provenance import file_sha256

SUFFIXES: Mapping[str, str] = {
    ".jsonl": ALIGN_JSONL,
    ".pharaoh": PHARAOH,
    ".naacl": NAACL,
    ".simalign": SIMALIGN,
}
"""The format by suffix. ``.npz`` is a map written by `AttentionMap.save`; a directory has such maps."""

Pieces = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class GivenMaps:
    """Maps of another tool, each for a gold row."""

    name: str
    files: tuple[tuple[str, str], ...]
    """Name and SHA-256 of each file that was read."""
    maps: Mapping[str, AttentionMap]
    """By the id of the row."""


def given_maps(path: Path, gold: GoldFile) -> GivenMaps:
    """The maps of a file, or of the ``.npz`` files of a directory, by gold row.

    Maps and lines of ``align.jsonl`` are matched to rows by their tokens. Links are matched by the files of tokens
    beside them; without these, the file must have the links of all rows of the gold file, in order.

    Raises:
        MapError, PairsError: nothing can be read, or nothing matches a row.
    """
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path] if path.is_file() else []
    if not files:
        raise MapError(Problem(str(path), "maps or links", "nothing", "Name a file, or a directory of maps."))
    if not path.is_dir() and path.suffix not in (*SUFFIXES, ".npz"):
        expected = f"a name that ends in {', '.join(('.npz', *SUFFIXES))}"
        raise MapError(Problem(str(path), expected, repr(path.suffix), "Rename the file after its format."))
    maps = _maps(path, files, gold)
    if not maps:
        remedy = "Make maps of the sentences of this file, with the same tokens."
        raise PairsError(
            Problem(str(path), f"the tokens of a row of {Path(gold.name).name}", "only other tokens", remedy)
        )
    return GivenMaps(
        path.name if path.is_dir() else path.stem, tuple((file.name, file_sha256(file)) for file in files), maps
    )


def _maps(path: Path, files: Sequence[Path], gold: GoldFile) -> dict[str, AttentionMap]:
    by_pieces: dict[Pieces, AttentionMap] = {}
    format_ = SUFFIXES.get(path.suffix, "")
    if format_ in STANDARD_BASE:
        if not path.with_name(path.name + STUDENT_FILE).exists():
            rows = read_onto(path, format_, gold.rows, None)
            return {row.id: _links_map(path.stem, row) for row in rows}
        rows = read_alone(path, format_, Naming("student~teacher", ""), None)
        by_pieces = {_pieces(row): _links_map(path.stem, row) for row in rows}
    elif format_ == ALIGN_JSONL:
        alignments = {(one.student[1:], one.teacher[1:]): one for one in read_alignments(path)}
        known = ((row, alignments.get(_pieces(row))) for row in gold.rows)
        by_pieces = {_pieces(row): _alignment_map(path, row, one) for row, one in known if one is not None}
    else:
        by_pieces = {_pieces(map_): map_ for map_ in map(AttentionMap.load, files)}
    return {row.id: by_pieces[_pieces(row)] for row in gold.rows if _pieces(row) in by_pieces}


def _pieces(of: GoldRow | AttentionMap) -> Pieces:
    return of.student.pieces, of.teacher.pieces


def _links_map(name: str, row: GoldRow) -> AttentionMap:
    """Equal weights on the links of each token, sure or possible."""
    linked = link_mask(row.links.either, row.sizes).astype(np.float64)
    return AttentionMap(name, row.student, row.teacher, with_eos(linked), with_eos(linked.T).T)


def _alignment_map(path: Path, row: GoldRow, alignment: Alignment) -> AttentionMap:
    """The map of an alignment. Its row of an input is that of the next target, so only the sums must be made 1."""
    weights = alignment.weights
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        remedy = "Export weights, not logits."
        raise MapError(Problem(f"{path}, row {row.id}", "finite weights of at least 0", "others", remedy))
    total = weights.sum(axis=1, keepdims=True)
    nothing = np.arange(weights.shape[1]) == weights.shape[1] - 1
    scaled = np.where(total > 0, weights / np.where(total > 0, total, 1.0), nothing)
    return AttentionMap(path.stem, row.student, row.teacher, scaled)
