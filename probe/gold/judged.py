"""What a reader answered, put onto blank rows of the judged layer.

An answer is a line ``id<TAB>links<TAB>note``. The links are those that were judged: the head of a word (``1h0``), the
roles of a dialogue (``0r1 2r1``), or all links where overlap misleads (``0-0 1p2``); ``none`` where there are none.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from probe.errors import PairsError, Problem
from probe.gold.escapes import unescape
from probe.gold.pairs import GoldFile
from probe.gold.rows import HEADS, OVERLAP, ROLES, GoldRow, Link, parse_links
from probe.output.reading import Wanted, read_text

NONE = "none"
LETTERS = {HEADS: "h", ROLES: "r", OVERLAP: "-p"}
"""Of the links that a reader gives, by the kind of row."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The links of a row as they were written, the reader's note, and file and line for messages."""

    links: str
    note: str
    where: str


def read_answers(paths: Iterable[Path]) -> dict[str, Answer]:
    """The answers of some files, by the ids of their rows.

    Raises:
        PairsError: a file cannot be read, a line is no answer, or a row is answered twice.
    """
    wanted = Wanted("answers, one on each line: id, links and note, separated by tabs", "Correct the file.", PairsError)
    found: dict[str, Answer] = {}
    problems: list[Problem] = []
    for path in paths:
        for number, line in enumerate(read_text(path, wanted).split("\n"), start=1):
            where, cells = f"{path.name}:{number}", line.split("\t")
            if not line.strip() or line.startswith("#") or cells[0] == "id":
                continue
            if len(cells) not in (2, 3) or cells[0] in found:
                got = f"a second answer for {cells[0]}" if cells[0] in found else f"{len(cells)} cells"
                problems.append(Problem(where, "one answer for a row: id, links and note", got, "Correct the line."))
                continue
            found[cells[0]] = Answer(cells[1].strip(), unescape(cells[2].strip()) if len(cells) == 3 else "", where)
    if problems:
        raise PairsError(*problems)
    return found


def with_answers(blank: GoldFile, answers: Mapping[str, Answer]) -> list[GoldRow]:
    """The blank rows with what was answered, in the order of the blank file.

    Raises:
        PairsError: a row has no answer, an answer has no row or other links than a reader may give; all are listed.
    """
    problems: list[Problem] = []
    unknown = sorted(answers.keys() - {row.id for row in blank})
    problems += [Problem(answers[id_].where, "an id of the blank rows", id_, "Correct the id.") for id_ in unknown]
    rows: list[GoldRow] = []
    for row in blank:
        if row.id not in answers:
            problems.append(Problem(f"row {row.id}", "an answer", "none", "Answer every row; without links: none."))
            continue
        found = _answered(row, answers[row.id])
        if isinstance(found, GoldRow):
            rows.append(found)
        else:
            problems += found
    if problems:
        raise PairsError(*problems)
    return rows


def _answered(row: GoldRow, answer: Answer) -> GoldRow | list[Problem]:
    problems: list[Problem] = []
    kinds = parse_links("" if answer.links == NONE else answer.links, answer.where, problems)
    given = frozenset(link for links in kinds.values() for link in links)
    letters = LETTERS[row.judged or OVERLAP]
    if not answer.links or any(kinds[letter] for letter in kinds.keys() - set(letters)):
        expected = f"links written with {' or '.join(letters)}, or none"
        problems.append(Problem(answer.where, expected, answer.links or "nothing", "Correct the answer."))
    students, teachers = row.sizes
    if outside := sorted(link for link in given if link[0] >= students or link[1] >= teachers):
        expected = f"links within 0 to {students - 1} and 0 to {teachers - 1}"
        problems.append(Problem(answer.where, expected, _shown(outside), "Count from zero, student first."))
    problems += misplaced(row, given, answer.where)
    note = f"{row.note} {answer.note}".strip()
    if row.judged == OVERLAP:
        return problems or replace(row, sure=kinds["-"], possible=kinds["p"], note=note)
    return problems or replace(row, heads=kinds["h"], roles=kinds["r"], note=note)


def misplaced(row: GoldRow, given: frozenset[Link], where: str) -> list[Problem]:
    """What is wrong with judged links: a head that is no sure link, or several; a role where the rules have a link."""
    if row.judged == HEADS and (len(given) > 1 or given - row.sure):
        expected = f"one of the sure links {_shown(sorted(row.sure))}"
        return [Problem(where, expected, _shown(sorted(given)), "Choose one, or none.")]
    if row.judged == ROLES and (linked := sorted(given & row.links.either)):
        return [Problem(where, "links of template tokens", _shown(linked), "Leave out what the rules have linked.")]
    return []


def _shown(links: Sequence[Link]) -> str:
    return " ".join(f"{i}-{j}" for i, j in links)
