"""Which gold rows are for which checkpoints: those whose tokens are the same."""

from collections.abc import Sequence
from pathlib import Path

from probe.checkpoints.find import Overrides, find_checkpoint
from probe.checkpoints.open_model import OpenModel
from probe.checkpoints.opened import OpenCheckpoint
from probe.errors import PairsError, Problem
from probe.gold.pairs import GoldFile, declared_vocabularies
from probe.gold.rows import GoldRow
from probe.maps import AttentionMap


def fitting_rows(open_: OpenCheckpoint, gold: GoldFile, path: Path) -> list[GoldRow]:
    """Rows whose tokens both tokenizers of the checkpoint really produce, whatever the file calls them.

    Raises:
        PairsError: none fits, or a row is declared for these very vocabularies and yet has other pieces.

    Example:
        >>> from pathlib import Path
        >>> import probe
        >>> path = Path("alignments/gold.tsv")
        >>> gold = probe.read_pairs(path)
        >>> rows = probe.fitting_rows(probe.find_checkpoint("demo"), gold, path)
        >>> len(rows), len(gold.rows)
        (43, 394)
    """
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
                problems.append(_foreign_pieces(row, where, text.pieces, model))
    if problems:
        raise PairsError(*problems)
    rows = [row for row, *fits in zip(gold.rows, student, teacher, strict=True) if all(fits)]
    if not rows:
        raise PairsError(
            Problem(
                path.name,
                f"rows tokenised as {records[0].name} and {records[1].name} do it",
                f"rows for {', '.join(sorted({row.pair for row in gold.rows})) or 'nothing'}",
                "Name a checkpoint of one of those pairs, or annotate rows for this one.",
            )
        )
    return rows


def maps_of_text(
    text: str, names: Sequence[str], overrides: Overrides, rows: Sequence[GoldRow], gold: GoldRow | None
) -> tuple[dict[str, AttentionMap], GoldRow | None]:
    """The maps of one text by checkpoints, by name, and its gold row: the given one, else the first of these tokens.

    Raises:
        PairsError: the given row is of other tokens than a checkpoint's.
    """
    maps: dict[str, AttentionMap] = {}
    given = gold is not None
    for named in names:
        opened = find_checkpoint(named, overrides, [text])
        sides = opened.tokenize(text)
        if gold is None:
            gold = next((row for row in rows if (row.student, row.teacher) == sides), None)
        elif given and (gold.student, gold.teacher) != sides:
            remedy = "Name a checkpoint of the row's pair."
            raise PairsError(Problem(f"row {gold.id}", f"tokens of {named}", gold.pair, remedy))
        name = opened.checkpoint.name
        maps[named if name in maps else name] = opened.map(*sides)
    return maps, gold


def _foreign_pieces(row: GoldRow, where: str, pieces: Sequence[str], model: OpenModel) -> Problem:
    own = model.tokenizer.pieces([row.text])[0]
    return Problem(
        where,
        f"the tokenizer's pieces {' '.join(own)}",
        " ".join(pieces),
        "Tokenise the text again and mend the links.",
    )
