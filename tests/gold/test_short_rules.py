"""A second script of the rules makes every rule link, and simple scripts do not make what readers judged."""

import pytest
from gold.short_rules import links
from places import GOLD, ROOT

from alignments.naive import JUDGED, SCRIPTS, scripted, tables
from probe.gold.judged_agreement import answer, columns
from probe.gold.pairs import GoldFile, read_pairs
from probe.gold.rows import HEADS, GoldRow


def by_script(row: GoldRow) -> dict[tuple[int, int], str]:
    sides = row.student, row.teacher
    return links(row.text, [[(t.start, t.end) for t in side.tokens] for side in sides], [side.pieces for side in sides])


def of_file(row: GoldRow) -> dict[tuple[int, int], str]:
    return dict.fromkeys(row.possible, "p") | dict.fromkeys(row.sure, "-")


def test_a_script_makes_every_rule_link():
    count = 0
    for row in read_pairs(GOLD):
        assert by_script(row) == of_file(row), row.id
        count += len(of_file(row))
    assert count == 11_597
    # Those that the words of the judged layer have below their heads, too.
    for row in read_pairs(JUDGED):
        if row.judged == HEADS:
            assert by_script(row) == of_file(row), row.id


@pytest.fixture(scope="module")
def judged() -> GoldFile:
    return read_pairs(JUDGED)


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_simple_script_makes_what_readers_judged(name: str, judged: GoldFile):
    """In no class: a reader who is replaced by a script is seen in each."""
    kind, _ = SCRIPTS[name]
    found = scripted(judged)[name]
    assert {one.judged for one, _ in found.pairs} == {kind}
    for part in found.parts[kind]:
        place = columns(kind).index("same" if kind == HEADS else "F1")
        assert part.found.at(place).value < 0.9, part.name


def test_scripts_are_scored_with_what_they_answer(judged: GoldFile):
    """Each finds something, so that its figure is not one of a script that does nothing."""
    for name, found in scripted(judged).items():
        hits = sum(bool(set.union(*map(set, answer(a))) & set.union(*map(set, answer(b)))) for a, b in found.pairs)
        assert hits > len(found.pairs) / 5, name


def test_the_data_card_shows_the_tables(judged: GoldFile):
    assert tables(judged) in (ROOT / "alignments" / "README.md").read_text(encoding="utf-8")
