import numpy as np
import pytest

from probe.chunks import content_mask
from probe.gold.rows import GoldRow, gold_mask
from probe.maps import AttentionMap
from probe.scoring import references
from probe.scoring.references import bigram, target_only
from probe.scoring.scores import METRICS, metrics, score
from probe.scoring.truth import Truth
from probe.tokens import TokenizedText


def row(text: str, student: list[str], teacher: list[str]) -> GoldRow:
    sides = TokenizedText.from_pieces(text, student), TokenizedText.from_pieces(text, teacher)
    linked = zip(*(axis.tolist() for axis in np.nonzero(content_mask(*sides))), strict=True)
    return GoldRow("r", "s~t", *sides, frozenset(linked), frozenset(), (), "")


CATS = row("so the cat saw the cat", *[["so", "Ġthe", "Ġcat", "Ġsaw", "Ġthe", "Ġcat"]] * 2)
DOGS = row("a dog saw my dog", *[["a", "Ġdog", "Ġsaw", "Ġmy", "Ġdog"]] * 2)


def figures(map_: AttentionMap, gold: GoldRow) -> dict[str, float]:
    return dict(zip(METRICS, metrics(score([map_], Truth(gold), [None]).counts[0]), strict=True))


def test_uniform_is_chance():
    found = figures(references.uniform(CATS), CATS)
    assert found["top-1"] == found["attention mass"] == pytest.approx(1 / 7)
    assert (found["AUC"], found["entropy"]) == pytest.approx((0.5, 1))


def test_diagonal_follows_the_line_between_both_ends():
    assert figures(references.diagonal(CATS), CATS)["top-1"] == 1
    # Six student targets against three teacher targets, end of sequence included: positions 0, .4, .8, 1.2, 1.6, 2.
    merged = row("abcde", ["a", "b", "c", "d", "e"], ["abc", "de"])
    assert references.diagonal(merged).weights.argmax(axis=1).tolist() == [0, 0, 1, 1, 2, 2]


def test_lexical_splits_repeats_and_finds_nothing_where_pieces_differ():
    found = references.lexical(
        row(
            "the cat saw the mat",
            ["the", "Ġc", "at", "Ġsaw", "Ġthe", "Ġm", "at"],
            ["the", "Ġcat", "Ġsaw", "Ġthe", "Ġma", "t"],
        )
    )
    np.testing.assert_allclose(found.weights[0], [1 / 2, 0, 0, 1 / 2, 0, 0, 0])
    np.testing.assert_allclose(found.weights[1], [0, 0, 0, 0, 0, 0, 1])  # "c" has no partner


def test_gold_through_the_same_aligner_is_perfect_even_where_tokens_have_no_link():
    gold = row("a b", ["a", "Ġb"], ["▁", "a", "▁b"])
    found = figures(references.gold(gold), gold)
    assert [found[k] for k in ("top-1", "MRR", "AUC", "attention mass", "F1", "EOS top-1")] == [1] * 6
    assert found["AER"] == 0


def test_bigram_ceiling_cannot_tell_repeats_in_the_same_context_apart():
    # "the cat" occurs twice: the second "cat" of the teacher has the key of the first, and so has the student's query.
    # The two "the" follow other words, so each has a key of its own: 1 each, as for "so" and "saw"; "cat": 1/2 each.
    assert figures(bigram(CATS), CATS)["top-1"] == pytest.approx(5 / 6)
    # Seeing targets alone, both "the" are one class as well.
    assert figures(target_only(CATS), CATS)["top-1"] == pytest.approx(4 / 6)


def test_bigram_ceiling_tells_repeats_in_new_contexts_apart():
    assert figures(bigram(DOGS), DOGS)["top-1"] == 1
    assert figures(target_only(DOGS), DOGS)["top-1"] == pytest.approx((1 + 1 / 2 + 1 + 1 + 1 / 2) / 5)


def test_no_function_of_query_and_key_beats_the_ceiling():
    """Any weights that are equal for equal bigrams stay at or below it, in top-1 and in mass."""
    rng = np.random.default_rng(0)
    gold = row(
        "aa b aa b aa c aa b",
        ["aa", "Ġb", "Ġaa", "Ġb", "Ġaa", "Ġc", "Ġaa", "Ġb"],
        ["a", "a", "Ġb", "Ġa", "a", "Ġb", "Ġa", "a", "Ġc", "Ġa", "a", "Ġb"],
    )
    ceiling = figures(bigram(gold), gold)
    best = 0.0
    for _ in range(400):
        logits: dict[tuple[object, object], float] = {}
        queries = list(zip([None, *gold.student.pieces], [*gold.student.pieces, "eos"], strict=True))
        keys = list(zip([None, *gold.teacher.pieces], [*gold.teacher.pieces, "eos"], strict=True))
        drawn = np.array([[logits.setdefault((q, k), rng.normal() * 5) for k in keys] for q in queries])
        weights = np.exp(drawn - drawn.max(axis=1, keepdims=True))
        map_ = AttentionMap("random", gold.student, gold.teacher, weights / weights.sum(axis=1, keepdims=True))
        found = figures(map_, gold)
        assert found["top-1"] <= ceiling["top-1"] + 1e-9
        assert found["attention mass"] <= ceiling["attention mass"] + 1e-9
        best = max(best, found["top-1"])
    assert best > 0.3  # the search is not idle


def test_an_attention_built_to_reach_the_ceiling_reaches_it():
    found = figures(bigram(CATS), CATS)
    assert found["attention mass"] == pytest.approx(found["top-1"])


def test_overlap_and_chunk_differ_inside_a_many_to_many_chunk():
    gold = row("unbelievable", ["unbelie", "vable"], ["un", "believable"])
    np.testing.assert_allclose(references.overlap(gold).weights[1], [0, 1, 0])  # vable does not touch un
    np.testing.assert_allclose(references.chunk(gold).weights[1], [1 / 2, 1 / 2, 0])
    assert gold_mask(gold).tolist() == [[True, True], [False, True]]


def test_every_reference_is_a_map_with_end_of_sequence():
    for method in (references.diagonal, references.lexical, references.overlap, references.chunk, bigram, target_only):
        assert method(CATS).weights.shape == (7, 7)
        assert figures(method(CATS), CATS)["EOS top-1"] == 1
