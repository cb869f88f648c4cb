"""Which rows a checkpoint is scored on: gold rows with the tokens of its tokenizers, else texts that rules link."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from probe.checkpoints.find import Overrides, find_checkpoint
from probe.checkpoints.open_model import OpenModel
from probe.checkpoints.opened import OpenCheckpoint
from probe.errors import PairsError, Problem
from probe.gold.by_rule import rows_by_rule
from probe.gold.pairs import GoldFile, declared_vocabularies, format_pairs
from probe.gold.rows import GoldRow
from probe.maps import AttentionMap
from probe.output.provenance import file_sha256
from probe.tokens import TokenizedText


def fitting_rows(open_: OpenCheckpoint, gold: GoldFile, path: Path) -> list[GoldRow]:
    """Rows whose tokens both tokenizers of the checkpoint really produce, whatever the file calls them.

    Raises:
        PairsError: none fits, or a row is declared for these very vocabularies but has other tokens.

    Example:
        >>> from pathlib import Path
        >>> import probe
        >>> path = Path("alignments/gold.tsv")
        >>> gold = probe.read_pairs(path)
        >>> rows = probe.fitting_rows(probe.find_checkpoint("demo"), gold, path)
        >>> len(rows), len(gold.rows)
        (43, 394)
    """
    rows = _fitting(open_, gold, path)
    if not rows:
        records = open_.checkpoint.student, open_.checkpoint.teacher
        raise PairsError(
            Problem(
                path.name,
                f"rows tokenised as {records[0].name} and {records[1].name} do it",
                f"rows for {', '.join(sorted({row.pair for row in gold.rows})) or 'nothing'}",
                "Name a checkpoint of one of those pairs, or annotate rows for this one.",
            )
        )
    return rows


def _fitting(open_: OpenCheckpoint, gold: GoldFile, path: Path) -> list[GoldRow]:
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
                where = f"{path.name}{line}, row {row.id}, {side}_tokens"
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
    by_rule: bool

    def sha256(self, path: Path) -> str:
        """That of the gold file; of rows linked by rule, that of the rows: they are others for other tokenizers."""
        if not self.by_rule:
            return file_sha256(path)
        return hashlib.sha256("".join(format_pairs(self.rows, ())).encode()).hexdigest()


def scorable(open_: OpenCheckpoint, gold: GoldFile, path: Path) -> Scorable:
    """The rows of a gold file that fit; where it has none for these tokenizers, its texts, linked by rule.

    Raises:
        PairsError: a row is declared for these very vocabularies but has other tokens, or nothing can be linked.
    """
    rows = _fitting(open_, gold, path)
    if rows:
        return Scorable(tuple(rows), len(gold.rows) - len(rows), by_rule=False)
    return scorable_texts(open_, {row.id: row.text for row in gold.rows})


def scorable_texts(open_: OpenCheckpoint, texts: Mapping[str, str]) -> Scorable:
    """Texts, given by id, each once, cut by the tokenizers of the checkpoint and linked by rule.

    Raises:
        PairsError: a tokenizer spells none of the texts.
    """
    records = open_.checkpoint.student, open_.checkpoint.teacher
    names = [record.name.rstrip("/").split("/")[-1].replace("~", "-").replace(" ", "-") for record in records]
    first: dict[str, str] = {}
    for id_, text in texts.items():
        first.setdefault(text, id_)
    once = {id_: text for text, id_ in first.items()}
    found = rows_by_rule(once, open_.student.tokenizer, open_.teacher.tokenizer, "~".join(names))
    return Scorable(found.rows, found.left_out, by_rule=True)


def maps_of_text(
    text: str,
    names: Sequence[str],
    overrides: Overrides,
    rows: Sequence[GoldRow],
    gold: GoldRow | None,
    check: Callable[[TokenizedText, TokenizedText], object],
) -> tuple[dict[str, AttentionMap], GoldRow | None]:
    """The maps of a sentence by checkpoint, by name, and its gold row: the given one, else the first of these tokens.

    ``check`` sees the tokens before any attention is computed, and may refuse them.

    Raises:
        PairsError: the given row is of other tokens than a checkpoint's.
    """
    maps: dict[str, AttentionMap] = {}
    given = gold is not None
    for named in names:
        opened = find_checkpoint(named, overrides, [text])
        sides = opened.tokenize(text)
        check(*sides)
        if gold is None:
            gold = next((row for row in rows if (row.student, row.teacher) == sides), None)
        elif given and (gold.student, gold.teacher) != sides:
            remedy = "Name a checkpoint of the row's pair."
            raise PairsError(Problem(f"row {gold.id}", f"tokens of {named}", gold.pair, remedy))
        name = opened.checkpoint.name
        maps[named if name in maps else name] = opened.map(*sides)
    return maps, gold


def _foreign_tokens(row: GoldRow, where: str, pieces: Sequence[str], model: OpenModel) -> Problem:
    own = model.tokenizer.pieces([row.text])[0]
    return Problem(
        where,
        f"the tokenizer's tokens {' '.join(own)}",
        " ".join(pieces),
        "Tokenise the sentence again and correct the links.",
    )
