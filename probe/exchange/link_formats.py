"""Read and write links as other tools do: Pharaoh, NAACL 2003 and simalign. None of them stores the sentences.

Pharaoh     ``0-0 1p2``            a line for each sentence; ``p`` for possible; counts from 0
NAACL 2003  ``1 2 3 P``            a line for each link: sentence, student, teacher, S (or nothing) or P; counts from 1
simalign    ``id<TAB>0-0 1p2``     Pharaoh with an id, for gold links; counts from 0

Reading has two steps. The `parse_…` functions return the numbers of the file. `rebase` turns them into links of rows.
It refuses a file that seems to count from the other base, because then all links would be wrong.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from probe.errors import PairsError, Problem, option
from probe.gold.escapes import escape, unescape
from probe.gold.rows import GoldRow, Link, Links

STANDARD_BASE: Mapping[str, int] = {"pharaoh": 0, "naacl": 1, "simalign": 0}
"""The number of the first token in each format."""

MOST_DIGITS = 9
"""Of the number of a token."""

_PAIR = re.compile(r"([0-9]+)([-p])([0-9]+)")
_NAACL = re.compile(r"([0-9]+)[ \t]+([0-9]+)[ \t]+([0-9]+)(?:[ \t]+([SP]))?(?:[ \t]+[0-9.eE+-]+)?")


@dataclass(frozen=True, slots=True)
class LinkLine:
    """The links of a sentence, with the numbers of the file."""

    where: str
    links: Links
    id: str = ""
    """The id of the sentence, if the format has ids."""


# Writing


def format_pharaoh(rows: Iterable[GoldRow]) -> str:
    """Lines ``0-0 1p2``, counted from 0."""
    return "".join(f"{_pairs(row)}\n" for row in rows)


def format_simalign(rows: Iterable[GoldRow]) -> str:
    """Lines ``id<TAB>0-0 1p2``, counted from 0; ids with the escapes of gold files."""
    return "".join(f"{escape(row.id, spaces=True)}\t{_pairs(row)}\n" for row in rows)


def format_naacl(rows: Iterable[GoldRow]) -> str:
    """Lines ``sentence student teacher S`` or ``P``, all counted from 1."""
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
        PairsError: an item is not a link; all such items are listed.
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
        PairsError: a line has no id, the id of another line, or an item that is not a link; all are listed.
    """
    problems: list[Problem] = []
    lines: list[LinkLine] = []
    for number, line in enumerate(lines_of(text), start=1):
        where = f"{file}:{number}"
        id_, tab, pairs = line.partition("\t")
        id_ = unescape(id_)
        if not id_ or not tab:
            problems.append(
                Problem(where, "an id, a tab and links", repr(line[:40]), "Write the id of the sentence first.")
            )
        elif any(id_ == earlier.id for earlier in lines):
            problems.append(Problem(where, "a different id on each line", f"{id_!r} again", "Rename it."))
        lines.append(LinkLine(where, _parse_pairs(pairs, where, problems), id_))
    return _sound(lines, problems)


def parse_naacl(text: str, file: str, sentences: int) -> list[LinkLine]:
    """Links by sentence, which count from 1; a confidence after S or P is ignored.

    Args:
        text: contents of the file.
        file: its name, for messages.
        sentences: number of sentences. The file does not say it, because a sentence without links has no line.

    Raises:
        PairsError: a line is not a link, or names no sentence; all such lines are listed.
    """
    problems: list[Problem] = []
    sure: list[set[Link]] = [set() for _ in range(sentences)]
    possible: list[set[Link]] = [set() for _ in range(sentences)]
    for number, line in enumerate(lines_of(text), start=1):
        match = _NAACL.fullmatch(line.strip(" "))
        if match is None or max(map(len, match.groups("")[:3])) > MOST_DIGITS:
            expected = "sentence, student and teacher number, and perhaps S or P, separated by spaces"
            problems.append(Problem(f"{file}:{number}", expected, repr(line[:40]), "Correct or remove the line."))
        elif not 1 <= int(match[1]) <= sentences:
            remedy = "Number sentences from 1, in the order of the rows."
            problems.append(Problem(f"{file}:{number}", f"a sentence number from 1 to {sentences}", match[1], remedy))
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
    """The links, counted from 0, of a file that counts from ``base``.

    Args:
        lines: the result of a parser.
        file: its name, for messages.
        sizes: numbers of student and teacher tokens, for each line.
        base: 0 or 1 if the user says it. None means ``standard``; the numbers must then not look like the other base.
        standard: the base of the format.

    Raises:
        PairsError: a number is outside of its sentence, or the numbers seem to be counted from the other base.
    """
    of_file = standard if base is None else base
    other = 1 - of_file
    fits_other = all(_outside(line.links, size, other) == [] for line, size in zip(lines, sizes, strict=True))
    hint = f" All numbers fit if they are counted from {other}: {_base(other)}." if fits_other else ""
    problems: list[Problem] = []
    for line, size in zip(lines, sizes, strict=True):
        if outside := _outside(line.links, size, of_file):
            expected = f"numbers from {of_file} to {size[0] - 1 + of_file} and to {size[1] - 1 + of_file}"
            got = ", ".join(f"{i}-{j}" for i, j in outside) + _sign_of_other_base(outside, size, of_file)
            problems.append(Problem(line.where, expected, got, f"Correct the links.{hint}"))
    numbers = [number for line in lines for link in line.links.either for number in link]
    if not problems and base is None and of_file == 0 and numbers and 0 not in numbers and fits_other:
        problems.append(
            Problem(
                file,
                "links counted from 0",
                "no index 0 anywhere, as in a file that counts from 1",
                f"If it does, {_base(1)}; if no first token has a link, {_base(0)}.",
            )
        )
    if problems:
        raise PairsError(*problems)
    return [Links(_moved(line.links.sure, of_file), _moved(line.links.possible, of_file)) for line in lines]


def _base(number: int) -> str:
    """How to say where counting starts; `probe-align --maps` cannot be told, and reads what is converted first."""
    return f"use {option('--base', str(number), command='probe-pairs convert')}"


def _sign_of_other_base(outside: Sequence[Link], size: tuple[int, int], base: int) -> str:
    if base == 1 and any(0 in link for link in outside):
        return ": an index 0, as in a file that counts from 0 or has links to nothing"
    if base == 0 and any(i == size[0] or j == size[1] for i, j in outside):
        return ": an index equal to the number of tokens, as in a file that counts from 1"
    return ""


def _outside(links: Links, size: tuple[int, int], base: int) -> list[Link]:
    return [(i, j) for i, j in sorted(links.either) if not (base <= i < size[0] + base and base <= j < size[1] + base)]


def _moved(links: frozenset[Link], base: int) -> frozenset[Link]:
    return frozenset((i - base, j - base) for i, j in links)


def lines_of(text: str) -> list[str]:
    """The lines of a text, with either kind of line end."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines[-1] == "" else lines


def _parse_pairs(cell: str, where: str, problems: list[Problem]) -> Links:
    kinds: dict[str, set[Link]] = {"-": set(), "p": set()}
    for item in cell.split():
        match = _PAIR.fullmatch(item)
        if match is None or max(len(match[1]), len(match[3])) > MOST_DIGITS:
            problems.append(
                Problem(where, "links i-j (sure) or ipj (possible)", repr(item[:40]), "Correct or remove it.")
            )
        else:
            kinds[match[2]].add((int(match[1]), int(match[3])))
    # Some tools count sure links as possible ones too, and may write such a link twice.
    return Links(frozenset(kinds["-"]), frozenset(kinds["p"] - kinds["-"]))


def _sound(lines: list[LinkLine], problems: Sequence[Problem]) -> list[LinkLine]:
    if problems:
        raise PairsError(*problems)
    return lines
