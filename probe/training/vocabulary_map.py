"""``python -m probe.training.vocabulary_map STUDENT TEACHER --out FILE``: each teacher token's nearest student token.

Nearest is the smallest Levenshtein distance between the bytes that two tokens stand for, with a space at the start of a
word counted in. ``Ġcat`` and ``▁cat`` are the same four bytes, so two alphabets do not lie apart. Bytes rather than
characters, for many tokens of a byte-level vocabulary are parts of characters, and many characters have no token in
the student's: counted as one each, they would be equally far from every single letter, and all land on the first one.

Of several student tokens at the smallest distance, the one with the lowest id is taken: the file that DSKD ships is
of this rule. At distance 0 the one that is spelled the same goes first. Where a SentencePiece vocabulary has both
``A`` and ``<0x41>``, the latter is left to tokens spelled like it, because no text is ever cut into it.

Special tokens have no meaning in their letters, so they are mapped by what they do: EOS to EOS, and BOS to BOS. All
others are left out, and nothing else is ever mapped to a special token.

The file is DSKD's: ``{"<teacher id>": student id}``, by ascending teacher id, which counts, for DSKD asks for the
logit of only the first teacher token of each student token. DSKD also takes the values by their position in the file,
so its own code reads a file right only if all ids that were left out are higher than all others.
"""

import argparse
import json
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from probe.errors import ProbeError, Problem, TrainingError
from probe.models.table_sources import read_json
from probe.models.tokenizer import Tokenizer
from probe.output.files import replacing_file
from probe.output.reading import Wanted, parse_json, read_text
from probe.tokens import BYTE_PIECE, byte_level_bytes, byte_of_char, sentencepiece_bytes
from probe.training.terminal import require_train

Alphabet = Literal["byte-level", "SentencePiece"]

ROWS = 512
"""Teacher tokens that are compared at once: 40 MB of distances where 20,000 student tokens have one length."""

_ID = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of one tokenizer: what ordinary ones are spelled like and stand for, and the special ones."""

    pieces: Mapping[int, str]
    surfaces: Mapping[int, bytes]
    special: frozenset[int]
    eos_id: int
    bos_id: int | None

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "Vocabulary":
        """The vocabulary of a tokenizer, with the configuration files beside it.

        Raises:
            CheckpointError: the tokenizer cannot be read, or does not say which token is EOS.
            TrainingError: its pieces are neither byte-level nor SentencePiece's, or its EOS is not in it.
            TableError: a configuration file beside it is not JSON.
        """
        backend = tokenizer.backend
        own: dict[int, str] = {id_: piece for piece, id_ in backend.get_vocab(with_added_tokens=False).items()}
        added: dict[int, Any] = backend.get_added_tokens_decoder()
        pieces = own | {id_: token.content for id_, token in added.items()}
        alphabet = _alphabet(backend.model, [own[id_] for id_ in own.keys() - added.keys()], tokenizer.path)
        eos_id, bos_id = tokenizer.eos_id, _bos_id(tokenizer.path.parent, backend)
        if eos_id not in pieces:
            got, remedy = f"EOS {eos_id}, which is not in it", "Name its token in tokenizer_config.json beside it."
            raise TrainingError(Problem(str(tokenizer.path), "the vocabulary of its model", got, remedy))
        bos_id = bos_id if bos_id in pieces else None  # a model's configuration can name what its tokenizer lacks
        special = {id_ for id_, token in added.items() if token.special}
        special |= {eos_id} if bos_id is None else {eos_id, bos_id}
        ordinary = {id_: pieces[id_] for id_ in sorted(pieces.keys() - special)}
        # Added tokens, such as runs of spaces, are found before bytes are spelled in an alphabet.
        literal = added.keys() if alphabet == "byte-level" else ()
        surfaces = {
            id_: piece.encode() if id_ in literal else _bytes(piece, alphabet) for id_, piece in ordinary.items()
        }
        return cls(ordinary, surfaces, frozenset(special), eos_id, bos_id)


@dataclass(frozen=True)
class VocabularyMap:
    """Student ids by teacher id, the distances between ordinary tokens, and the teacher ids without a counterpart."""

    student_ids: Mapping[int, int]
    distances: Mapping[int, int]
    left_out: frozenset[int]

    def __str__(self) -> str:
        of = Counter(min(distance, 3) for distance in self.distances.values())
        by_role = len(self.student_ids) - len(self.distances)
        counts = f"{of[0]} exact, {of[1]} at distance 1, {of[2]} at 2, {of[3]} at more"
        return f"{counts}, {by_role} special by role, {len(self.left_out)} special left out"

    def json(self) -> str:
        """The text of a file as DSKD ships it."""
        return json.dumps(self.student_ids, indent=2) + "\n"


def vocabulary_map(student: Vocabulary, teacher: Vocabulary, *, workers: int = 1) -> VocabularyMap:
    """Map every teacher token to the nearest student token; special ones by role.

    Args:
        student: the vocabulary to map to.
        teacher: the vocabulary to map.
        workers: threads; -1 for one on each core.
    """
    exact = _exact(student, teacher)
    by_surface = _by_surface(student)
    others = {surface for id_, surface in teacher.surfaces.items() if id_ not in exact}
    nearest = _nearest(others, by_surface, workers)
    found = {id_: nearest[surface] for id_, surface in teacher.surfaces.items() if id_ not in exact}
    student_ids = exact | {id_: near.id for id_, near in found.items()} | _by_role(student, teacher)
    distances = dict.fromkeys(exact, 0) | {id_: near.distance for id_, near in found.items()}
    left_out = teacher.special.difference(student_ids)
    return VocabularyMap({id_: student_ids[id_] for id_ in sorted(student_ids)}, distances, left_out)


def exact_map(student: Vocabulary, teacher: Vocabulary, *, teacher_rows: int) -> Int[np.ndarray, " teacher_rows"]:
    """For each row of the teacher's embeddings the student token with the same bytes or role, or -1 if it has none."""
    student_ids = np.full(teacher_rows, -1, dtype=np.int64)
    for id_, student_id in (_exact(student, teacher) | _by_role(student, teacher)).items():
        student_ids[id_] = student_id
    return student_ids


def _exact(student: Vocabulary, teacher: Vocabulary) -> dict[int, int]:
    by_spelling = {(surface, student.pieces[id_]): id_ for id_, surface in student.surfaces.items()}
    by_surface = _by_surface(student)
    # Pieces of two alphabets that are spelled the same need not stand for the same, so surfaces are compared as well.
    return {
        id_: by_spelling.get((surface, teacher.pieces[id_]), by_surface[surface])
        for id_, surface in teacher.surfaces.items()
        if surface in by_surface
    }


def _by_surface(student: Vocabulary) -> dict[bytes, int]:
    """The student token that stands for some bytes; see the module for which of several."""
    by_surface: dict[bytes, int] = {}
    for id_, surface in sorted(student.surfaces.items(), key=lambda item: (_is_byte_piece(student, item[0]), item[0])):
        by_surface.setdefault(surface, id_)
    return by_surface


def read_vocabulary_map(path: Path, *, teacher_rows: int, student_rows: int) -> Int[np.ndarray, " teacher_rows"]:
    """For each row of the teacher's embeddings the student id it is mapped to, or -1 where the file has none.

    Raises:
        TrainingError: there is no such file, or it is not a map between vocabularies of these sizes.
    """
    remedy = "Make it for these two models: python -m probe.training.vocabulary_map STUDENT TEACHER --out FILE."
    expected = f"a JSON object of teacher ids below {teacher_rows} and student ids below {student_rows}"
    if not path.is_file():
        raise TrainingError(Problem(str(path), expected, "no such file", remedy))
    wanted = Wanted(expected, remedy, TrainingError)
    # As pairs, for of two values for one teacher token an object would hide the first.
    pairs: Any = parse_json(read_text(path, wanted), path, wanted, pairs=_Pairs)
    if not isinstance(pairs, _Pairs):
        raise TrainingError(Problem(str(path), expected, f"a {type(pairs).__name__}", remedy))
    student_ids = np.full(teacher_rows, -1, dtype=np.int64)
    wrong: list[str] = []
    for key, value in pairs:
        right = _is_id(key, teacher_rows) and type(value) is int and 0 <= value < student_rows
        if right and student_ids[int(key)] < 0:
            student_ids[int(key)] = value
        else:
            wrong.append(f"{key!r}: {value!r}"[:60] + (", a second time" if right else ""))
    if wrong:
        more = f" and {len(wrong) - 1} more such entries" if len(wrong) > 1 else ""
        raise TrainingError(Problem(str(path), expected, wrong[0] + more, remedy))
    return student_ids


class _Pairs(tuple[tuple[str, Any], ...]):
    """A JSON object as it is written."""


def _is_id(key: str, rows: int) -> bool:
    return _ID.fullmatch(key) is not None and int(key) < rows


# Vocabularies


def _bos_id(directory: Path, backend: Any) -> int | None:
    configs = [directory / name for name in ("tokenizer_config.json", "config.json")]
    of_tokenizer, of_model = (read_json(path) if path.is_file() else {} for path in configs)
    named = of_tokenizer.get("bos_token")
    if isinstance(named, dict):  # older files store the whole AddedToken
        named = named.get("content")
    if named:
        return backend.token_to_id(named)
    # A tokenizer that says it has none is right: models name an id even if they never see it.
    id_ = None if "bos_token" in of_tokenizer else of_model.get("bos_token_id")
    return id_ if type(id_) is int else None


def _alphabet(model: Any, pieces: Collection[str], path: Path) -> Alphabet:
    """How a vocabulary is spelled: ``▁`` is not in the byte-level alphabet, and without a space there is no ``Ġ``."""
    kind, characters = type(model).__name__, set[str]().union(*pieces)
    if kind in ("BPE", "Unigram"):  # WordPiece can have both characters, with no special meaning
        if "▁" in characters:
            return "SentencePiece"
        if "Ġ" in characters and characters <= byte_of_char().keys():
            return "byte-level"
    expected = "a byte-level vocabulary (Ġ for a space) or one of SentencePiece (▁ for a space)"
    got = f"a {kind} vocabulary that is neither"
    raise TrainingError(Problem(str(path), expected, got, "Name a model that has one of these."))


def _bytes(piece: str, alphabet: Alphabet) -> bytes:
    """What a piece stands for."""
    return byte_level_bytes(piece) if alphabet == "byte-level" else sentencepiece_bytes(piece)


def _is_byte_piece(vocabulary: Vocabulary, id_: int) -> bool:
    piece = vocabulary.pieces[id_]
    return vocabulary.surfaces[id_] != piece.encode() and BYTE_PIECE.fullmatch(piece) is not None


def _by_role(student: Vocabulary, teacher: Vocabulary) -> dict[int, int]:
    ids = {teacher.eos_id: student.eos_id}
    if teacher.bos_id is not None and student.bos_id is not None:
        ids.setdefault(teacher.bos_id, student.bos_id)  # one token can be both, as in GPT-2
    return ids


# Search


class _Near(NamedTuple):
    id: int
    distance: int


class _Shelf(NamedTuple):
    """Student tokens of one length, by ascending id."""

    surfaces: Sequence[bytes]
    ids: Int[np.ndarray, " tokens"]


def _nearest(surfaces: Iterable[bytes], ids: Mapping[bytes, int], workers: int) -> dict[bytes, _Near]:
    """For each surface the nearest of those that have an id."""
    from rich.console import Console
    from rich.progress import track

    shelves = {
        length: _Shelf(shelf, np.array([ids[surface] for surface in shelf], dtype=np.int64))
        for length, shelf in _by_length(sorted(ids, key=ids.__getitem__)).items()
    }
    blocks = [
        shelf[begin : begin + ROWS]
        for _, shelf in sorted(_by_length(sorted(surfaces)).items())
        for begin in range(0, len(shelf), ROWS)
    ]
    found: dict[bytes, _Near] = {}
    for block in track(blocks, "Vocabulary map", console=Console(stderr=True), disable=not sys.stderr.isatty()):
        found.update(zip(block, _nearest_of_block(block, shelves, workers), strict=True))
    return found


def _nearest_of_block(block: Sequence[bytes], shelves: Mapping[int, _Shelf], workers: int) -> list[_Near]:
    """The nearest student tokens to teacher tokens of one length.

    Lengths are searched outwards. A distance is never below the difference of two lengths, so a token is done once
    that difference is larger than its smallest distance. Where the two are the same, ties can still be won.
    """
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cdist

    length = len(block[0])
    # Distance and id in one number: the smallest is the one to take.
    best = np.full(len(block), np.iinfo(np.int64).max)
    for difference in range(max(abs(length - other) for other in shelves) + 1):
        active = np.flatnonzero(best >> 32 >= difference)
        if not len(active):
            break
        for shelf in (shelves[other] for other in {length - difference, length + difference} & shelves.keys()):
            queries = [block[row] for row in active.tolist()]
            distances = cdist(queries, shelf.surfaces, scorer=Levenshtein.distance, dtype=np.int32, workers=workers)
            columns = distances.argmin(axis=1)  # the first of equals, which has the lowest id
            smallest = distances[np.arange(len(active)), columns].astype(np.int64)
            best[active] = np.minimum(best[active], smallest << 32 | shelf.ids[columns])
    return [_Near(key & 0xFFFFFFFF, key >> 32) for key in best.tolist()]


def _by_length(surfaces: Iterable[bytes]) -> dict[int, list[bytes]]:
    shelves: defaultdict[int, list[bytes]] = defaultdict(list)
    for surface in surfaces:
        shelves[len(surface)].append(surface)
    return dict(shelves)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse arguments, build the map and write it."""
    parser = argparse.ArgumentParser(
        prog="python -m probe.training.vocabulary_map",
        description="Map each token of a teacher to the student token with the smallest edit distance.",
    )
    parser.add_argument("student", type=Path, help="directory with the student's tokenizer.json and its configuration")
    parser.add_argument("teacher", type=Path, help="directory with the teacher's")
    parser.add_argument("--out", required=True, type=Path, help='file to write: {"<teacher id>": student id}')
    parser.add_argument("--workers", type=int, default=-1, help="threads; by default one on each core")
    arguments = parser.parse_args(argv)
    began = time.perf_counter()
    try:
        require_train()
        student, teacher = (Vocabulary.of(Tokenizer.load(one)) for one in (arguments.student, arguments.teacher))
        with replacing_file(arguments.out) as temporary:  # before the search: a bad place should cost no minute
            map_ = vocabulary_map(student, teacher, workers=arguments.workers)
            temporary.write_text(map_.json(), encoding="utf-8")
    except ProbeError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    print(f"{map_}; {time.perf_counter() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
