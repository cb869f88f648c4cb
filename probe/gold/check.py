"""Check the rules of alignments/README.md that a program can check, with tokenizers or without."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from probe.chunks import layout_mask, one_to_one, shared_bytes
from probe.errors import PairsError, Problem
from probe.gold.consistency import check_together, where_of
from probe.gold.half_rule import half_rule_links
from probe.gold.pairs import GoldFile, declared_vocabularies
from probe.gold.phenomena import missing_tags, unfounded_tags
from probe.gold.rows import GoldRow, Link, links_named
from probe.models.tokenizer import FILE, Tokenizer

_ROLES = ("student", "teacher")
_SIGNS = {"sure": "-", "possible": "p"}


def check_rows(gold: GoldFile, file: str) -> tuple[Problem, ...]:
    """All findings on the rows, in the order of the file; ``file`` is its name, for messages."""
    problems: list[Problem] = []
    texts: dict[tuple[str, str], str] = {}
    undeclared = {name for row in gold.rows for name in row.pair.split("~")} - declared_vocabularies(gold).keys()
    for number, row in enumerate(gold.rows):
        where = where_of(gold, file, number)
        problems += check_row(row, where)
        if (row.pair, row.text) in texts:
            got = f"the sentence of row {texts[row.pair, row.text]}"
            problems.append(
                Problem(where, "a different sentence in each row of a pair", got, "Remove one of the two rows.")
            )
        texts.setdefault((row.pair, row.text), row.id)
        for name in row.pair.split("~"):
            if name in undeclared:
                undeclared.remove(name)  # report it once, at the first row that needs it
                problems.append(_undeclared(name, where))
    return (*problems, *check_together(gold, file))


def check_row(row: GoldRow, where: str) -> tuple[Problem, ...]:
    """All findings on the links and tags of one row; ``where`` names it, for messages.

    Rows of the judged layer whose tokens have no place in the text have none: every rule is about bytes.
    """
    if not (row.student.placed and row.teacher.placed):
        return ()
    return (*_check_links(row, where), *_check_note(row, where), *_check_tags(row, where))


def check_pieces(gold: GoldFile, file: str, tokenizers: Mapping[str, Tokenizer]) -> tuple[Problem, ...]:
    """Find tokens that differ from those of the tokenizer, and tokenizers that differ from the declared ones.

    Args:
        gold: the file's rows and declarations.
        file: its name, for messages.
        tokenizers: by the names in the column ``pair``; rows of other tokenizers are not checked, and no judged ones:
            their words were cut inside of sentences, and their dialogues inside of templates.
    """
    declared = declared_vocabularies(gold)
    problems: list[Problem] = []
    for name, tokenizer in tokenizers.items():
        own = tokenizer.vocabulary_sha256()
        if name in declared and declared[name] != own:
            remedy = "Use the tokenizer that made the tokens of the rows."
            expected = f"the declared vocabulary, sha256 {declared[name][:12]}…"
            problems.append(Problem(f"{file}, tokenizer {name}", expected, f"{own[:12]}… in {tokenizer.path}", remedy))
            continue
        for role, side in enumerate(_ROLES):
            problems += _check_side(gold, file, name, tokenizer, role, side)
    return tuple(problems)


def tokenizer_names(gold: GoldFile) -> tuple[str, ...]:
    """The names in the column ``pair``, sorted."""
    return tuple(sorted({name for row in gold.rows for name in row.pair.split("~")}))


def tokenizers_in(directory: Path, gold: GoldFile) -> dict[str, Tokenizer]:
    """The tokenizers of the pairs that the directory has, by name.

    Raises:
        PairsError: there is no such directory.
    """
    if not directory.is_dir():
        remedy = "Name a directory with a subdirectory for each tokenizer, which has its tokenizer.json."
        raise PairsError(Problem(str(directory), "a directory of tokenizers", "none", remedy))
    names = [name for name in tokenizer_names(gold) if (directory / name / FILE).is_file()]
    return {name: Tokenizer.load(directory / name) for name in names}


def declared_name(gold: GoldFile, tokenizer: Tokenizer, side: str, source: str) -> str:
    """The name under which a gold file declares the vocabulary of a tokenizer, for one side of its pairs.

    Args:
        gold: the file's rows and declarations.
        tokenizer: the tokenizer to find.
        side: ``student`` or ``teacher``.
        source: how the user named it, for messages.

    Raises:
        PairsError: the file declares only others, or this one for the other side.
    """
    own, declared = tokenizer.vocabulary_sha256(), declared_vocabularies(gold)
    names = sorted({row.pair.split("~")[_ROLES.index(side)] for row in gold.rows} & declared.keys())
    for name in names:
        if declared[name] == own:
            return name
    expected = f"a vocabulary that the file declares for a {side} ({', '.join(names) or 'it declares none'})"
    remedy = "Use the tokenizer that made the tokens of the rows."
    raise PairsError(Problem(f"--{side} {source}", expected, f"another one, sha256 {own}", remedy))


def _check_side(gold: GoldFile, file: str, name: str, tokenizer: Tokenizer, role: int, side: str) -> Iterator[Problem]:
    of_name = [row.pair.split("~")[role] == name and row.judged is None for row in gold.rows]
    numbers = [number for number, mine in enumerate(of_name) if mine]
    rows = [gold.rows[number] for number in numbers]
    for number, row, own in zip(numbers, rows, tokenizer.pieces([row.text for row in rows]), strict=True):
        pieces = (row.student, row.teacher)[role].pieces
        if pieces != own:
            where = f"{where_of(gold, file, number)}, {side}_tokens"
            remedy = "Tokenise the sentence again and correct the links."
            yield Problem(where, f"the tokens of {name}: {' '.join(own)}", " ".join(pieces), remedy)


def _undeclared(name: str, where: str) -> Problem:
    line = f"# tokenizer {name}: vocabulary sha256 …"
    remedy = "Add it, with the 64 digits that `probe-pairs new` prints for this tokenizer."
    return Problem(where, f"a comment line `{line}`", f"none for {name}", remedy)


def odd_links(row: GoldRow) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Links that need a note, and missing links, as ``i-j``, whose absence needs a note."""
    kinds = [(link, row.links.kind(link)) for link, _, _ in _oddities(row)]
    there = tuple(f"{i}{_SIGNS[kind]}{j}" for (i, j), kind in kinds if kind != "none")
    return there, tuple(f"{i}-{j}" for (i, j), kind in kinds if kind == "none")


def _check_links(row: GoldRow, where: str) -> Iterator[Problem]:
    """Find links that differ from the half rule and are not named in the note."""
    named = links_named(row.note)
    found: dict[str, list[str]] = defaultdict(list)
    for (i, j), expected, got in _oddities(row):
        if not {f"{i}-{j}", f"{i}p{j}"} & named:
            found[expected].append(got)
    remedy = "Correct the link, or name it in the note and say why it is right."
    for expected, got in found.items():
        yield Problem(where, expected, "; ".join(got), remedy)


def _check_note(row: GoldRow, where: str) -> Iterator[Problem]:
    """Find links that the note names and that are not there. It may name one whose absence it explains.

    In the judged layer, notes weigh answers that were not given.
    """
    named = links_named(row.note)
    if row.judged or not named:
        return
    there, absent = (
        (f"{i}{_SIGNS[kind]}{j}" for kind in _SIGNS for i, j in sorted(getattr(row, kind))),
        odd_links(row)[1],
    )
    known = {*there, *absent, *(link.replace("-", "p") for link in absent)}
    if unknown := sorted(named - known):
        remedy = "Correct the note, or the link that it explains."
        yield Problem(where, "a note on links of the row", ", ".join(unknown), remedy)


def _oddities(row: GoldRow) -> Iterator[tuple[Link, str, str]]:
    """Every link that breaks a rule, and every link that is missing, with what was expected and what was found."""
    proposed, touching = half_rule_links(row.student, row.teacher), shared_bytes(row.student, row.teacher)
    alone, layout = one_to_one(row.student, row.teacher), layout_mask(row.student, row.teacher)
    for i, j in sorted(proposed.either | row.links.either):
        kind, rule = row.links.kind((i, j)), proposed.kind((i, j))
        if layout[i, j] and kind != "sure":
            got = f"{i}p{j}" if kind == "possible" else f"none between {i} and {j}"
            yield (i, j), "sure links where white space shares a line break or a tab with a larger token", got
        elif kind == rule or layout[i, j]:
            continue
        elif not touching[i, j]:
            yield (i, j), "no links between tokens that share no byte", f"{i}{_SIGNS[kind]}{j}"
        elif kind == "none" and (i, j) in alone:
            yield (i, j), "a link where a chunk has one token on each side", f"none between {i} and {j}"
        elif kind == "none":
            yield (i, j), "a link where two tokens overlap", f"none between {i} and {j}, {rule} by the half rule"
        else:
            yield (i, j), "sure and possible links by the half rule", f"{i}{_SIGNS[kind]}{j}, {rule} by this rule"


def _check_tags(row: GoldRow, where: str) -> Iterator[Problem]:
    tags = ",".join(row.phenomena) or "no tags"
    for tag in missing_tags(row):
        yield Problem(where, f"the tag {tag}, because the row shows this phenomenon", tags, "Add the tag.")
    for tag in unfounded_tags(row):
        yield Problem(
            where,
            f"no tag {tag}, because the row does not show this phenomenon",
            tags,
            "Remove the tag, or correct the row.",
        )
