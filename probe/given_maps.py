"""Maps or links that another tool made, ready to be scored: ``.npz``, ``align.jsonl``, and hard links."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from probe.align_jsonl import Alignment, read_alignments
from probe.conversion import ALIGN_JSONL, NAACL, PHARAOH, SIMALIGN, STUDENT_FILE, Naming, read_alone, read_onto
from probe.errors import MapError, PairsError, Problem
from probe.maps import AttentionMap
from probe.pair_rows import GoldRow
from probe.pairs import GoldFile
from probe.provenance import file_sha256
from probe.references import link_mask

SUFFIXES: Mapping[str, str] = {
    ".jsonl": ALIGN_JSONL,
    ".pharaoh": PHARAOH,
    ".naacl": NAACL,
    ".simalign": SIMALIGN,
}
"""How a file says what it holds; ``.npz`` is a map of `AttentionMap.save`, and a directory holds such maps."""

Pieces = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class GivenMaps:
    """What a file or a directory holds, before it is known which gold rows it is of."""

    name: str
    path: Path
    files: tuple[tuple[str, str], ...]


def given_maps(path: Path) -> GivenMaps:
    """Name the maps of a file, or of the ``.npz`` files of a directory.

    Raises:
        MapError: it is not there, or its name does not say what it holds.
    """
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path] if path.is_file() else []
    if not files:
        remedy = "Name a file, or a directory of maps."
        raise MapError(Problem(str(path), "maps or links", "nothing", remedy))
    if not path.is_dir() and path.suffix not in (*SUFFIXES, ".npz"):
        expected = f"a name that ends in {', '.join(('.npz', *SUFFIXES))}"
        raise MapError(Problem(str(path), expected, repr(path.suffix), "Rename it by what it holds."))
    return GivenMaps(path.stem, path, tuple((file.name, file_sha256(file)) for file in files))


def fitting_maps(given: GivenMaps, gold: GoldFile, path: Path) -> dict[str, AttentionMap]:
    """The map of each gold row that has one, by id.

    Maps and lines of ``align.jsonl`` are known by their tokens; links by the files of tokens beside them, else they are
    those of all rows of the gold file, in order.

    Raises:
        MapError, PairsError: the file cannot be read, or none of it is of a row.
    """
    by_pieces: dict[Pieces, AttentionMap] = {}
    if given.path.suffix in (".pharaoh", ".naacl", ".simalign"):
        format_ = SUFFIXES[given.path.suffix]
        if not given.path.with_name(given.path.name + STUDENT_FILE).exists():
            rows = read_onto(given.path, format_, gold.rows, None)
            return {row.id: _links_map(given.name, row) for row in rows}
        rows = read_alone(given.path, format_, Naming("student~teacher", ""), None)
        by_pieces = {_pieces(row): _links_map(given.name, row) for row in rows}
    elif given.path.suffix == ".jsonl":
        alignments = {(one.student[1:], one.teacher[1:]): one for one in read_alignments(given.path)}
        known = ((row, alignments.get(_pieces(row))) for row in gold.rows)
        by_pieces = {_pieces(row): _alignment_map(given, row, one) for row, one in known if one is not None}
    else:
        files = sorted(given.path.glob("*.npz")) if given.path.is_dir() else [given.path]
        by_pieces = {_pieces(map_): map_ for map_ in map(AttentionMap.load, files)}
    found = {row.id: by_pieces[_pieces(row)] for row in gold.rows if _pieces(row) in by_pieces}
    if not found:
        remedy = "Make the maps of the texts and tokens of this file."
        raise PairsError(Problem(str(given.path), f"tokens of a row of {path.name}", "only others", remedy))
    return found


def _pieces(of: GoldRow | AttentionMap) -> Pieces:
    return of.student.pieces, of.teacher.pieces


def _links_map(name: str, row: GoldRow) -> AttentionMap:
    """Equal weight on the links of a token, sure or possible; a token without any draws from end of sequence."""
    mask = link_mask(row.links.either, (len(row.student.tokens), len(row.teacher.tokens)))
    links = np.pad(mask, ((0, 1), (0, 1)))
    links[-1, -1] = True
    return AttentionMap(name, row.student, row.teacher, _over(links), _over(links.T).T)


def _over(links: Bool[np.ndarray, "rows columns"]) -> Float[np.ndarray, "rows columns"]:
    weights = links.astype(np.float64)
    weights[~links.any(axis=1), -1] = 1.0
    return weights / weights.sum(axis=1, keepdims=True)


def _alignment_map(given: GivenMaps, row: GoldRow, alignment: Alignment) -> AttentionMap:
    """Input-side rows are those of the targets one token on, so the weights stay; each row is made to sum to one."""
    weights = alignment.weights
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        remedy = "Export weights, not logits."
        raise MapError(Problem(f"{given.path}, row {row.id}", "finite weights of at least 0", "others", remedy))
    total = weights.sum(axis=1, keepdims=True)
    nothing = np.arange(weights.shape[1]) == weights.shape[1] - 1
    scaled = np.where(total > 0, weights / np.where(total > 0, total, 1.0), nothing)
    return AttentionMap(given.name, row.student, row.teacher, scaled)
