"""Which rows a checkpoint is scored on: gold rows with the tokens of its tokenizers, else texts that rules link."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from probe.checkpoints.open_model import OpenModel
from probe.checkpoints.opened import OpenCheckpoint
from probe.errors import PairsError, Problem
from probe.gold.by_rule import Texts, rows_by_rule
from probe.gold.drafts import short_name
from probe.gold.pairs import GoldFile, declared_vocabularies
from probe.gold.rows import GoldRow
from probe.maps import AnyMap
from probe.models.tokenizer import Tokenizer
from probe.report.values import BY_RULE
from probe.tokens import TokenizedText


def fitting_rows(open_: OpenCheckpoint, gold: GoldFile) -> list[GoldRow]:
    """Rows whose tokens both tokenizers of the checkpoint really produce, whatever the file calls them.

    Raises:
        PairsError: none fits, or a row is declared for these very vocabularies but has other tokens.

    Example:
        >>> import probe
        >>> gold = probe.read_pairs("alignments/gold.tsv")
        >>> len(probe.fitting_rows(probe.load("demo"), gold)), len(gold)
        (43, 394)
    """
    rows = _fitting(open_, gold.unjudged)
    if not rows:
        records = open_.checkpoint.student, open_.checkpoint.teacher
        raise PairsError(
            Problem(
                Path(gold.name).name,
                f"rows tokenised as {records[0].name} and {records[1].name} do it",
                f"rows for {', '.join(sorted({row.pair for row in gold.rows})) or 'nothing'}",
                "Name a checkpoint of one of those pairs, or annotate rows for this one.",
            )
        )
    return rows


def _fitting(open_: OpenCheckpoint, gold: GoldFile) -> list[GoldRow]:
    student = open_.student.produces([row.student for row in gold.rows])
    teacher = open_.teacher.produces([row.teacher for row in gold.rows])
    records = open_.checkpoint.student, open_.checkpoint.teacher
    own = tuple(record.vocabulary_sha256 for record in records)
    declared = declared_vocabularies(gold)
    problems: list[Problem] = []
    for number, (row, *fits) in enumerate(zip(gold.rows, student, teacher, strict=True)):
        if all(fits) or tuple(declared.get(name) for name in row.pair.split("~")) != own:
            continue
        line = f":{gold.lines[number]}" if gold.lines else ""
        sides = (("student", row.student, open_.student), ("teacher", row.teacher, open_.teacher))
        for (side, text, model), fit in zip(sides, fits, strict=True):
            if not fit:
                where = f"{Path(gold.name).name}{line}, row {row.id}, {side}_tokens"
                problems.append(_foreign_tokens(row, where, text.pieces, model))
    if problems:
        raise PairsError(*problems)
    return [row for row, *fits in zip(gold.rows, student, teacher, strict=True) if all(fits)]


@dataclass(frozen=True)
class Scorable:
    """Rows for a checkpoint, and how they were linked."""

    rows: tuple[GoldRow, ...]
    others: int
    """Rows of the file for other tokenizers, or texts that a tokenizer does not spell."""
    source: str
    """Where they are from, and whether rules linked them."""
    sha256: str
    """Of the gold file; of rows linked by rule, that of the rows: they are others for other tokenizers."""


def scorable(open_: OpenCheckpoint, source: GoldFile | Texts) -> Scorable:
    """The rows of a gold file that fit. Where none does, its texts are linked by rule, and so are texts.

    Raises:
        PairsError: a row is declared for these very vocabularies but has other tokens, or a tokenizer spells no text.
    """
    if isinstance(source, GoldFile) and (rows := _fitting(open_, source := source.unjudged)):
        return Scorable(tuple(rows), len(source) - len(rows), source.name, source.sha256)
    records = open_.checkpoint.student, open_.checkpoint.teacher
    pair = "~".join(short_name(record.name) for record in records)
    return linked_by_rule(source, open_.student.tokenizer, open_.teacher.tokenizer, pair)


def linked_by_rule(source: GoldFile | Texts, student: Tokenizer, teacher: Tokenizer, pair: str) -> Scorable:
    """Texts, or those of a gold file, each once, cut by two tokenizers and linked by the rules of the guidelines.

    Raises:
        PairsError: a tokenizer spells no text.
    """
    texts = {row.id: row.text for row in source.unjudged} if isinstance(source, GoldFile) else source.by_id
    first: dict[str, str] = {}
    for id_, text in texts.items():
        first.setdefault(text, id_)
    once = {id_: text for text, id_ in first.items()}
    found = rows_by_rule(once, student, teacher, pair)
    return Scorable(found.rows, found.left_out, f"{source.name}{BY_RULE}", GoldFile(found.rows, ()).sha256)


def maps_of_text(
    text: str,
    names: Sequence[str],
    opener: Callable[[str], OpenCheckpoint],
    rows: Sequence[GoldRow],
    gold: GoldRow | None,
    map_of: Callable[[OpenCheckpoint, TokenizedText, TokenizedText], AnyMap],
) -> tuple[dict[str, AnyMap], GoldRow | None]:
    """The maps of a sentence by checkpoint, by name, and its gold row: the given one, else the first of these tokens.

    ``opener`` opens a checkpoint by its name, and ``map_of`` makes its map of both sides.

    Raises:
        PairsError: the given row is of other tokens than a checkpoint's.
    """
    maps: dict[str, AnyMap] = {}
    given = gold is not None
    for named in names:
        opened = opener(named)
        sides = opened.tokenize(text)
        if gold is None:
            gold = next((row for row in rows if (row.student, row.teacher) == sides), None)
        elif given and (gold.student, gold.teacher) != sides:
            remedy = "Name a checkpoint of the row's pair."
            raise PairsError(Problem(f"row {gold.id}", f"tokens of {named}", gold.pair, remedy))
        name = opened.checkpoint.name
        maps[named if name in maps else name] = map_of(opened, *sides)
    return maps, gold


def _foreign_tokens(row: GoldRow, where: str, pieces: Sequence[str], model: OpenModel) -> Problem:
    own = model.tokenizer.pieces([row.text])[0]
    return Problem(
        where,
        f"the tokenizer's tokens {' '.join(own)}",
        " ".join(pieces),
        "Tokenise the sentence again and correct the links.",
    )
