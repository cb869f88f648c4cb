"""Two tokenizers alone: texts cut by both and linked by rule, without a checkpoint."""

from collections.abc import Sequence
from pathlib import Path

from probe.checkpoints.open_model import named_tokenizer
from probe.gold.by_rule import read_texts, rows_by_rule
from probe.gold.drafts import WHITE_SPACE_NOTE, declarations, short_name, with_reason
from probe.gold.pairs import GoldFile


def link(texts: str | Sequence[str] | Path, *, student: str, teacher: str) -> GoldFile:
    """Cut texts by two tokenizers and link their tokens by the rules of the guidelines.

    What it gives can be written, read back and corrected: its comments declare both vocabularies, and links of white
    space alone have the note that the format wants.

    Args:
        texts: one sentence, several, or the path of a file of them.
        student: a model directory, a ``tokenizer.json``, a hub id, or a bundled model; only the tokenizer is read.
        teacher: likewise.

    Raises:
        PairsError: no text can be linked, as with a tokenizer that lower-cases them.
        CheckpointError: there is no such model.

    Example:
        >>> import probe
        >>> rows = probe.link("Return the maximum.", student="bundled:demo/student", teacher="bundled:demo/teacher")
        >>> rows[0].student.display(), rows[0].teacher.display()
        (('Return', '␣the', '␣m', 'ax', 'im', 'um', '.'), ('Return', '␣the', '␣maximum', '.'))
        >>> sorted(rows[0].sure)
        [(0, 0), (1, 1), (2, 2), (3, 2), (4, 2), (5, 2), (6, 3)]
    """
    found = read_texts([texts] if isinstance(texts, str) else texts)
    ours, theirs = named_tokenizer(student), named_tokenizer(teacher)
    pair = f"{short_name(student)}~{short_name(teacher)}"
    rows = rows_by_rule(found.by_id, ours, theirs, pair).rows
    declared = declarations(pair, (ours, student), (theirs, teacher))
    return GoldFile(tuple(with_reason(row, WHITE_SPACE_NOTE) for row in rows), tuple(declared))
