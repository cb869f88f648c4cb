"""Links as other tools write them, one function each way: Pharaoh, NAACL 2003 and simalign. None of them holds a text.

Pharaoh     ``0-0 1p2``            a line for each sentence; ``p`` for possible; zero-based
NAACL 2003  ``1 2 3 P``            a line for each link: sentence, student, teacher, S (or nothing) or P; one-based
simalign    ``id<TAB>0-0 1p2``     Pharaoh with an id, for gold; zero-based

Reading goes in two steps. `parse_pharaoh` and its like give the numbers of the file; `rebase` makes them links of rows,
and refuses a file that was counted from the other base: nothing in such a file says so, and every link would be wrong.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from probe.errors import PairsError, Problem
from probe.gold.escapes import escape, unescape
from probe.gold.rows import GoldRow, Link, Links

STANDARD_BASE: Mapping[str, int] = {"pharaoh": 0, "naacl": 1, "simalign": 0}
"""From where each format counts tokens."""

_PAIR = re.compile(r"([0-9]+)([-p])([0-9]+)")
_NAACL = re.compile(r"([0-9]+)[ \t]+([0-9]+)[ \t]+([0-9]+)(?:[ \t]+([SP]))?(?:[ \t]+[0-9.eE+-]+)?")


@dataclass(frozen=True, slots=True)
class LinkLine:
    """Links of a sentence, counted as the file counts them."""

    where: str
    links: Links
    id: str = ""
    """Where the format has ids."""


# Writing


def format_pharaoh(rows: Iterable[GoldRow]) -> str:
    """Lines ``0-0 1p2``, zero-based."""
    return "".join(f"{_pairs(row)}\n" for row in rows)


def format_simalign(rows: Iterable[GoldRow]) -> str:
    """Lines ``id<TAB>0-0 1p2``, zero-based; ids in the escape of gold files."""
    return "".join(f"{escape(row.id, spaces=True)}\t{_pairs(row)}\n" for row in rows)


def format_naacl(rows: Iterable[GoldRow]) -> str:
    """Lines ``sentence student teacher S`` or ``P``, all of them counted from one."""
    return "".join(
        f"{number} {i + 1} {j + 1} {'S' if (i, j) in row.sure else 'P'}\n"
        for number, row in enumerate(rows, start=1)
        for i, j in sorted(row.links.either)
    )


def _pairs(row: GoldRow) -> str:
    return " ".join(f"{i}{'-' if (i, j) in row.sure else 'p'}{j}" for i, j in sorted(row.links.either))


# Reading


def parse_pharaoh(text: str, file: str) -> list[LinkLine]:
    """The lines of a Pharaoh file; an empty one is a sentence without links.

    Raises:
        PairsError: an item is no link; all of them are listed.
    """
    problems: list[Problem] = []
    lines = [
        LinkLine(where, _parse_pairs(line, where, problems))
        for number, line in enumerate(lines_of(text), start=1)
        for where in [f"{file}:{number}"]
    ]
    return _sound(lines, problems)


def parse_simalign(text: str, file: str) -> list[LinkLine]:
    """The lines of a simalign gold file, each with its id.

    Raises:
        PairsError: a line has no id, one that another line has, or an item that is no link; all of them are listed.
    """
    problems: list[Problem] = []
    lines: list[LinkLine] = []
    for number, line in enumerate(lines_of(text), start=1):
        where = f"{file}:{number}"
        id_, tab, pairs = line.partition("\t")
        id_ = unescape(id_)
        if not id_ or not tab:
            problems.append(Problem(where, "an id, a tab and links", repr(line[:40]), "Write the sentence's id first."))
        elif any(id_ == earlier.id for earlier in lines):
            problems.append(Problem(where, "an id of its own", f"{id_!r} again", "Rename it."))
        lines.append(LinkLine(where, _parse_pairs(pairs, where, problems), id_))
    return _sound(lines, problems)


def parse_naacl(text: str, file: str, sentences: int) -> list[LinkLine]:
    """Links by sentence, the first being number 1; a confidence behind S or P is passed over.

    Args:
        text: the file's.
        file: its name, for messages.
        sentences: how many there are. The file does not tell: a sentence without links has no line.

    Raises:
        PairsError: a line is no link, or of a sentence that is not there; all of them are listed.
    """
    problems: list[Problem] = []
    sure: list[set[Link]] = [set() for _ in range(sentences)]
    possible: list[set[Link]] = [set() for _ in range(sentences)]
    for number, line in enumerate(lines_of(text), start=1):
        match = _NAACL.fullmatch(line.strip(" "))
        if match is None:
            expected = "sentence, student, teacher and perhaps S or P, separated by spaces"
            problems.append(Problem(f"{file}:{number}", expected, repr(line[:40]), "Mend or drop the line."))
        elif not 1 <= int(match[1]) <= sentences:
            remedy = "Number sentences from 1, in the order of the rows."
            problems.append(Problem(f"{file}:{number}", f"a sentence from 1 to {sentences}", match[1], remedy))
        else:
            kind = possible if match[4] == "P" else sure
            kind[int(match[1]) - 1].add((int(match[2]), int(match[3])))
    return _sound(
        [
            LinkLine(f"{file}, sentence {number}", Links(frozenset(s), frozenset(p - s)))
            for number, (s, p) in enumerate(zip(sure, possible, strict=True), start=1)
        ],
        problems,
    )


def rebase(
    lines: Sequence[LinkLine], file: str, sizes: Sequence[tuple[int, int]], base: int | None, standard: int
) -> list[Links]:
    """Zero-based links, where the file counts from ``base``.

    Args:
        lines: what a parser found.
        file: its name, for messages.
        sizes: numbers of student and teacher tokens, a pair for each line.
        base: 0 or 1 where the user says so; None for ``standard``, and then the numbers must not look like the other.
        standard: from where the format counts.

    Raises:
        PairsError: a number lies outside of its sentence, or all of them look as if counted from the other base.
    """
    of_file = standard if base is None else base
    other = 1 - of_file
    fits_other = all(_outside(line.links, size, other) == [] for line, size in zip(lines, sizes, strict=True))
    hint = f" Counted from {other} all numbers fit: say --base {other}." if fits_other else ""
    problems: list[Problem] = []
    for line, size in zip(lines, sizes, strict=True):
        if outside := _outside(line.links, size, of_file):
            expected = f"numbers from {of_file} to {size[0] - 1 + of_file} and to {size[1] - 1 + of_file}"
            got = ", ".join(f"{i}-{j}" for i, j in outside) + _sign_of_other_base(outside, size, of_file)
            problems.append(Problem(line.where, expected, got, f"Mend the links.{hint}"))
    numbers = [number for line in lines for link in line.links.either for number in link]
    if not problems and base is None and of_file == 0 and numbers and 0 not in numbers and fits_other:
        problems.append(
            Problem(
                file,
                "links counted from 0",
                "no index 0 anywhere, as in a file that counts from 1",
                "Say --base 1 if it does, or --base 0 if no first token has a link.",
            )
        )
    if problems:
        raise PairsError(*problems)
    return [Links(_moved(line.links.sure, of_file), _moved(line.links.possible, of_file)) for line in lines]


def _sign_of_other_base(outside: Sequence[Link], size: tuple[int, int], base: int) -> str:
    if base == 1 and any(0 in link for link in outside):
        return ": an index 0, as in a file that counts from 0, or for links to nothing"
    if base == 0 and any(i == size[0] or j == size[1] for i, j in outside):
        return ": an index equal to the number of tokens, as in a file that counts from 1"
    return ""


def _outside(links: Links, size: tuple[int, int], base: int) -> list[Link]:
    return [(i, j) for i, j in sorted(links.either) if not (base <= i < size[0] + base and base <= j < size[1] + base)]


def _moved(links: frozenset[Link], base: int) -> frozenset[Link]:
    return frozenset((i - base, j - base) for i, j in links)


def lines_of(text: str) -> list[str]:
    """The lines of a text, whichever way they end."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def _parse_pairs(cell: str, where: str, problems: list[Problem]) -> Links:
    kinds: dict[str, set[Link]] = {"-": set(), "p": set()}
    for item in cell.split():
        match = _PAIR.fullmatch(item)
        if match is None:
            problems.append(Problem(where, "links i-j (sure) or ipj (possible)", repr(item[:40]), "Mend or drop it."))
        else:
            kinds[match[2]].add((int(match[1]), int(match[3])))
    # Tools that count sure links among the possible ones may write such a link twice.
    return Links(frozenset(kinds["-"]), frozenset(kinds["p"] - kinds["-"]))


def _sound(lines: list[LinkLine], problems: Sequence[Problem]) -> list[LinkLine]:
    if problems:
        raise PairsError(*problems)
    return lines
