"""One row of a gold file, and how it is read from a line and written to one."""

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int

from probe.chunks import chunk_numbers, content_spans, layout_mask
from probe.errors import PairsError, Problem, TokenError
from probe.gold.escapes import escape, is_well_escaped, unescape
from probe.tokens import TokenizedText, beginning

COLUMNS = ("id", "pair", "text", "student_tokens", "teacher_tokens", "links", "phenomena", "note")
PHENOMENA = (
    "repeat-same-context",
    "repeat-new-context",
    "split",
    "merge",
    "many-to-many",
    "number",
    "name",
    "rare-word",
    "punctuation",
    "whitespace",
    "code",
    "url",
    "accent",
    "cjk",
    "emoji",
    "byte-fallback",
    "contraction",
    "casing",
)
"""All phenomena; alignments/README.md defines them."""

HEADS, ROLES, OVERLAP = JUDGED = ("judged-heads", "judged-roles", "judged-overlap")
"""Tags of rows that a reader judged, of which each has one. Their figures are never pooled with those of other rows."""

Link = tuple[int, int]
_PAIR = re.compile(r"[^~\s]+~[^~\s]+")
_LONGEST_LINK = 2 * 9 + 1
_LINK = re.compile(r"(0|[1-9][0-9]*)([-phr])(0|[1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Links:
    """Sure and possible links of one sentence; no link is both."""

    sure: frozenset[Link] = frozenset()
    possible: frozenset[Link] = frozenset()

    @property
    def either(self) -> frozenset[Link]:
        """All links, sure or possible."""
        return self.sure | self.possible

    def kind(self, link: Link) -> str:
        """``sure``, ``possible`` or ``none``."""
        return "sure" if link in self.sure else "possible" if link in self.possible else "none"


@dataclass(frozen=True)
class GoldRow:
    """One sentence in two tokenisations, and the links between their tokens.

    Example:
        >>> from probe import GoldRow, TokenizedText
        >>> student = TokenizedText.from_pieces("pezil", ["pe", "zil"])
        >>> teacher = TokenizedText.from_pieces("pezil", ["pez", "il"])
        >>> sure, possible = frozenset({(0, 0), (1, 1)}), frozenset({(1, 0)})
        >>> row = GoldRow("my-1", "mine~theirs", student, teacher, sure, possible, ("many-to-many",), note="")
        >>> row.links.kind((1, 0)), row.links.kind((0, 1))
        ('possible', 'none')
    """

    id: str
    pair: str
    student: TokenizedText
    teacher: TokenizedText
    sure: frozenset[Link]
    possible: frozenset[Link]
    phenomena: tuple[str, ...]
    note: str
    heads: frozenset[Link] = frozenset()
    """Of a judged word: the sure link that carries its meaning, or none."""
    roles: frozenset[Link] = frozenset()
    """Of a judged dialogue: links between tokens of two templates that do the same job."""

    def __repr__(self) -> str:
        """Its id and pair, the beginning of the sentence, and both numbers of tokens."""
        students, teachers = self.sizes
        return f"<GoldRow {self.id}, {self.pair}: {beginning(self.text)}, {students} × {teachers} tokens>"

    @property
    def text(self) -> str:
        """The sentence."""
        return self.student.text

    @property
    def sizes(self) -> tuple[int, int]:
        """The numbers of student and teacher tokens."""
        return len(self.student.tokens), len(self.teacher.tokens)

    @property
    def links(self) -> Links:
        """Sure and possible links together."""
        return Links(self.sure, self.possible)

    @cached_property
    def sure_links(self) -> Int[np.ndarray, "links 2"]:
        """The sure links in order, student first."""
        return _in_order(self.sure)

    @cached_property
    def possible_links(self) -> Int[np.ndarray, "links 2"]:
        """The possible links likewise."""
        return _in_order(self.possible)

    @property
    def judged(self) -> str | None:
        """Which of `JUDGED` a row of the judged layer is; None of all other rows."""
        return next((tag for tag in JUDGED if tag in self.phenomena), None)

    @property
    def reversed(self) -> "GoldRow":
        """The row with student and teacher exchanged, for scoring backward attention. The note is not changed."""
        kinds = self.sure, self.possible, self.heads, self.roles
        sure, possible, heads, roles = (frozenset((j, i) for i, j in links) for links in kinds)
        tags = self.phenomena
        return GoldRow(self.id, self.pair, self.teacher, self.student, sure, possible, tags, self.note, heads, roles)


def gold_mask(row: GoldRow) -> Bool[np.ndarray, "student teacher"]:
    """True at sure links."""
    return link_mask(row.sure, row.sizes)


def link_mask(links: frozenset[Link], shape: tuple[int, int]) -> Bool[np.ndarray, "student teacher"]:
    """True at the given links."""
    mask = np.zeros(shape, dtype=bool)
    mask[*_in_order(links).T] = True
    return mask


def _in_order(links: frozenset[Link]) -> Int[np.ndarray, "links 2"]:
    return np.array(sorted(links), dtype=np.int64).reshape(-1, 2)


def links_in(mask: Bool[np.ndarray, "student teacher"]) -> frozenset[Link]:
    """The cells that are true, as links."""
    return frozenset((int(i), int(j)) for i, j in zip(*mask.nonzero(), strict=True))


def parse_row(line: str, where: str) -> GoldRow | list[Problem]:
    """The row of a line, or all its problems; ``where`` names file and line."""
    cells = line.split("\t")
    if len(cells) != len(COLUMNS):
        remedy = "Write all columns. The note may be empty, but the tab before it is needed."
        return [Problem(where, f"{len(COLUMNS)} columns separated by tabs", f"{len(cells)}", remedy)]
    problems = _check_escapes(cells, where)
    id_, pair, text, _, _, links, phenomena, note = (unescape(cell) for cell in cells)
    names = tuple(phenomena.split(",")) if phenomena else ()
    problems += _check_names(id_, pair, text, names, where)
    sides = _parse_sides(text, (cells[3], cells[4]), ROLES not in names and OVERLAP not in names, where, problems)
    kinds = parse_links(links, where, problems)
    if sides is None:
        return problems
    row = GoldRow(id_, pair, *sides, kinds["-"] | kinds["h"], kinds["p"], names, note, kinds["h"], kinds["r"])
    problems += _check_links(row, where)
    return problems or row


def _check_escapes(cells: list[str], where: str) -> list[Problem]:
    expected = r"escapes \\ \t \n \r \s \uXXXX \UXXXXXXXX, and lines that end in LF"
    return [
        Problem(where, expected, f"another backslash or a carriage return in column {name}", "Escape it.")
        for name, cell in zip(COLUMNS, cells, strict=True)
        if "\r" in cell or not is_well_escaped(cell)
    ]


def _check_names(id_: str, pair: str, text: str, phenomena: tuple[str, ...], where: str) -> list[Problem]:
    problems: list[Problem] = []
    if not id_:
        problems.append(Problem(where, "an id", "an empty one", "Give the row an id."))
    if not text:
        problems.append(
            Problem(where, "a sentence", "an empty one", "Remove the row: without tokens there are no links.")
        )
    if not _PAIR.fullmatch(pair):
        problems.append(_no_pair(pair, where))
    if len(set(phenomena)) != len(phenomena):
        problems.append(Problem(where, "each phenomenon once", ",".join(phenomena), "Remove the repetition."))
    for name in phenomena:
        if name not in (*PHENOMENA, *JUDGED):
            remedy = f"Choose from {', '.join(PHENOMENA)}."
            problems.append(Problem(where, "phenomena of the list", repr(name), remedy))
    if len(judged := [name for name in phenomena if name in JUDGED]) > 1:
        problems.append(Problem(where, "one kind of judgement in a row", ",".join(judged), "Make two rows of it."))
    return problems


def check_pair(pair: str, where: str) -> None:
    """Refuse a name that is not the name of a pair.

    Raises:
        PairsError: it does not name two tokenizers.
    """
    if not _PAIR.fullmatch(pair):
        raise PairsError(_no_pair(pair, where))


def _no_pair(pair: str, where: str) -> Problem:
    return Problem(where, "a pair such as smollm2~gemma3", repr(pair), "Name both tokenizers.")


def _parse_sides(
    text: str, cells: tuple[str, str], placed: bool, where: str, problems: list[Problem]
) -> tuple[TokenizedText, TokenizedText] | None:
    sides: list[TokenizedText] = []
    for name, cell in zip(("student_tokens", "teacher_tokens"), cells, strict=True):
        pieces = [unescape(piece) for piece in cell.split(" ")] if cell else []
        if "" in pieces:
            got = "an empty token, which would shift the links of all later tokens"
            problems.append(
                Problem(f"{where}, {name}", "tokens separated by single spaces", got, "Remove the extra space.")
            )
        try:
            sides.append((TokenizedText.from_pieces if placed else TokenizedText.unplaced)(text, pieces))
        except TokenError as error:
            problem = error.problems[0]
            problems.append(Problem(f"{where}, {name}", problem.expected, problem.got, problem.remedy))
    return (sides[0], sides[1]) if len(sides) == 2 else None


def parse_links(cell: str, where: str, problems: list[Problem]) -> dict[str, frozenset[Link]]:
    """The links of a cell by the letter between their numbers; what is wrong with them goes to ``problems``."""
    kinds: dict[str, set[Link]] = {"-": set(), "p": set(), "h": set(), "r": set()}
    seen: set[Link] = set()
    for item in cell.split(" ") if cell else []:
        match = _LINK.fullmatch(item)
        if match is None or len(item) > _LONGEST_LINK:
            expected = "links i-j (sure) or ipj (possible), counted from zero"
            problems.append(Problem(where, expected, repr(item[:40]), "Correct or remove it."))
            continue
        link = int(match[1]), int(match[3])
        if link in seen:
            problems.append(Problem(where, "each link once", f"{item} twice", "Keep it once, as sure or as possible."))
        seen.add(link)
        kinds[match[2]].add(link)
    return {kind: frozenset(links) for kind, links in kinds.items()}


def _check_links(row: GoldRow, where: str) -> list[Problem]:
    """Check ranges, and two rules that only a note may break: sure links share content, possible ones share a chunk."""
    size = row.sizes
    outside = [link for link in sorted(row.sure | row.possible | row.roles) if link[0] >= size[0] or link[1] >= size[1]]
    if outside:
        expected = f"links within 0 to {size[0] - 1} and 0 to {size[1] - 1}"
        shown = ", ".join(f"{i}-{j}" for i, j in outside)
        return [Problem(where, expected, shown, "Count from zero, student first.")]
    misplaced = (row.heads and row.judged != HEADS) or (row.roles and row.judged != ROLES)
    if misplaced or len(row.heads) > 1:
        expected = f"one head at most, only with the tag {HEADS}, and roles only with the tag {ROLES}"
        return [Problem(where, expected, ",".join(row.phenomena) or "no tags", "Correct the links or the tag.")]
    if 0 in size:
        return []
    if unexplained := unexplained_links(row):
        expected = "sure links between tokens that share more than white space, and possible links within a chunk"
        remedy = "Correct the link, or name it in the note and say why it is right."
        return [Problem(where, expected, ", ".join(unexplained), remedy)]
    return []


def unexplained_links(row: GoldRow) -> tuple[str, ...]:
    """Links that are allowed only if the note names them, and that it does not name."""
    if not (row.student.placed and row.teacher.placed):
        return ()
    i, j = row.sure_links.T
    ours, theirs = content_spans(row.student)[i], content_spans(row.teacher)[j]
    apart = np.minimum(ours[:, 1], theirs[:, 1]) <= np.maximum(ours[:, 0], theirs[:, 0])
    if apart.any():
        apart &= ~layout_mask(row.student, row.teacher)[i, j]
    odd = [f"{i}-{j}" for i, j in row.sure_links[apart].tolist()]
    if row.possible:
        (i, j), chunks = row.possible_links.T, chunk_numbers(row.student, row.teacher)
        odd += [f"{i}p{j}" for i, j in row.possible_links[chunks[0][i] != chunks[1][j]].tolist()]
    named = links_named(row.note)
    return tuple(link for link in odd if link not in named)


def links_named(note: str) -> frozenset[str]:
    """Links that a note names, as they are written there."""
    return frozenset(re.findall(r"[0-9]+[-p][0-9]+", note))


def format_row(row: GoldRow) -> str:
    """The line of a row, without its line feed."""
    kinds = [(i, j, "h" if (i, j) in row.heads else "-") for i, j in row.sure]
    kinds += [(i, j, "p") for i, j in row.possible] + [(i, j, "r") for i, j in row.roles]
    cells = (
        escape(row.id, spaces=False),
        escape(row.pair, spaces=False),
        escape(row.text, spaces=False),
        " ".join(escape(piece, spaces=True) for piece in row.student.pieces),
        " ".join(escape(piece, spaces=True) for piece in row.teacher.pieces),
        " ".join(f"{i}{kind}{j}" for i, j, kind in sorted(kinds)),
        ",".join(row.phenomena),
        escape(row.note, spaces=False),
    )
    return "\t".join(cells)
