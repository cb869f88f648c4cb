import numpy as np
import pytest
import torch

from probe.errors import TrainingError
from probe.projectors import project
from probe.tokens import TokenizedText
from probe.training.criteria.links import Response, broken, chunk_links, exact_links, place_links, warped_links
from probe.training.criteria.projectors import Projectors, start_from_heads


def response(text: str, pieces: str, targets: int | None = None) -> Response:
    """With the end-of-sequence token, unless another number of targets is given."""
    tokens = TokenizedText.from_pieces(text, pieces.split())
    return Response(tokens, len(tokens.tokens) + 1 if targets is None else targets)


def joined(links: np.ndarray) -> set[tuple[int, int]]:
    return {(int(i), int(j)) for i, j in zip(*links.nonzero(), strict=True)}


TEXT = "the unhappy cat sat"
# Chunks: the | un happy / unh appy | cat / c at | sat
STUDENT, TEACHER = "the Ġun happy Ġcat Ġsat", "▁the ▁unh appy ▁c at ▁sat"
TARGETS = {(0, 0), (1, 1), (1, 2), (2, 1), (2, 2), (3, 3), (3, 4), (4, 5)}
EOS = (5, 6)


# Chunks


def test_targets_of_one_chunk_are_linked_and_eos_meets_eos():
    links = chunk_links(response(TEXT, STUDENT), response(TEXT, TEACHER))
    assert links.shape == (6, 7)
    assert joined(links) == TARGETS | {EOS}


def test_inputs_of_one_chunk_are_linked_and_the_prompts_last_tokens_meet():
    links = chunk_links(response(TEXT, STUDENT), response(TEXT, TEACHER), "input")
    assert links.shape == (6, 7)
    assert joined(links) == {(0, 0)} | {(i + 1, j + 1) for i, j in TARGETS}


def test_within_a_chunk_of_several_tokens_the_input_side_links_targets_of_different_chunks():
    """The state that has read ``happy`` predicts ``cat``, and meets one that predicts ``appy``."""
    student, teacher = response(TEXT, STUDENT), response(TEXT, TEACHER)
    right, published = (joined(chunk_links(student, teacher, side)) for side in ("target", "input"))
    # Row 3 predicts `cat`, column 2 predicts `appy`; row 1 predicts `un`, columns 1 and 2 `unh` and `appy`.
    assert (3, 2) in published - right
    assert {(1, 2), (2, 1)} <= right - published
    # Where tokens are one to one, both say the same.
    text = "the cat sat"
    student, teacher = response(text, "the Ġcat Ġsat"), response(text, "▁the ▁cat ▁sat")
    for side in ("target", "input"):
        np.testing.assert_array_equal(chunk_links(student, teacher, side), np.eye(4, dtype=bool))


@pytest.mark.parametrize(("student", "teacher"), [(3, None), (None, 4), (3, 4), (2, 2), (4, 2), (1, 1)])
def test_a_response_that_is_cut_off_has_the_links_that_are_left(student: int | None, teacher: int | None):
    sides = response(TEXT, STUDENT, student), response(TEXT, TEACHER, teacher)
    shape = sides[0].targets, sides[1].targets
    links = chunk_links(*sides)
    assert links.shape == shape
    assert [side.ends for side in sides] == [student is None, teacher is None]
    # One side's EOS alone has nothing to meet.
    assert joined(links) == {(i, j) for i, j in TARGETS if i < shape[0] and j < shape[1]}
    inputs = chunk_links(*sides, "input")
    assert inputs.shape == shape
    moved = {(i + 1, j + 1) for i, j in TARGETS}
    assert joined(inputs) == {(0, 0)} | {(i, j) for i, j in moved if i < shape[0] and j < shape[1]}


def test_whole_responses_without_room_for_eos_link_all_their_tokens():
    sides = response(TEXT, STUDENT, 5), response(TEXT, TEACHER, 6)
    assert not any(side.ends for side in sides)
    assert joined(chunk_links(*sides)) == TARGETS


# Links that are wrong on purpose


def some_chunks(sizes: list[tuple[int, int]]) -> np.ndarray:
    links = np.zeros(tuple(np.sum(sizes, axis=0)), dtype=bool)
    i = j = 0
    for rows, columns in sizes:
        links[i : i + rows, j : j + columns] = True
        i, j = i + rows, j + columns
    return links


MANY = some_chunks([(1, 1), (2, 1), (1, 2), (1, 1), (1, 2), (3, 1), (1, 3), (1, 1), (2, 2), (1, 1)])


def kept(links: np.ndarray, changed: np.ndarray) -> int:
    """Chunks whose first student position still has its right links."""
    begins = np.unique(links.argmax(axis=1))
    rows = [int(np.flatnonzero(links[:, begin])[0]) for begin in begins]
    return sum(np.array_equal(links[row], changed[row]) for row in rows)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_moved_links_lead_to_another_chunk_whole(seed: int, share: float):
    changed = broken(MANY, share, 0.0, np.random.default_rng(seed))
    assert kept(MANY, changed) == 10 - round(10 * share)
    assert {row.tobytes() for row in changed} <= {row.tobytes() for row in MANY}
    # Of nine chunks there is another one of equal size; the one of three teacher tokens has none.
    sizes = MANY.sum(axis=1), changed.sum(axis=1)
    assert np.array_equal(sizes[0][sizes[0] < 3], sizes[1][sizes[0] < 3])


def test_all_links_moved_leave_none_right_and_exchange_places():
    changed = broken(MANY, 1.0, 0.0, np.random.default_rng(0))
    assert not (MANY & changed).any()
    ones = MANY.sum(axis=1) == 1
    assert set(changed[ones].argmax(axis=1)) == set(MANY[ones].argmax(axis=1))


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_the_same_chunks_are_moved_and_dropped(share: float):
    moved, dropped = (broken(MANY, *shares, np.random.default_rng(3)) for shares in ((share, 0.0), (0.0, share)))
    np.testing.assert_array_equal((moved != MANY).any(axis=1), (dropped != MANY).any(axis=1))
    assert not dropped[(dropped != MANY).any(axis=1)].any()


def test_some_are_dropped_and_others_moved():
    changed = broken(MANY, 0.4, 0.6, np.random.default_rng(0))
    assert kept(MANY, changed) == 0
    assert 0 < changed.any(axis=1).sum() < len(MANY)


def test_the_only_chunk_stays_and_rows_without_links_have_none():
    alone = np.array([[False, False], [True, True], [False, False]])
    np.testing.assert_array_equal(broken(alone, 1.0, 0.0, np.random.default_rng(0)), alone)
    assert not broken(alone, 0.0, 1.0, np.random.default_rng(0)).any()


# Exactly the same tokens


def test_exact_links_join_single_tokens_of_the_same_bytes():
    links = exact_links(response(TEXT, STUDENT), response(TEXT, TEACHER))
    assert links.shape == (6, 7)
    assert joined(links) == {(0, 0), (4, 5), EOS}


def test_exact_links_stay_in_step_after_a_character_in_pieces():
    text = "café au lait"
    # é is two byte pieces here, one character there, and one piece of two bytes in the other alphabet.
    pieces = response(text, "caf Ã © Ġau Ġlait")
    whole, fallback = response(text, "▁caf é ▁au ▁lait"), response(text, "▁caf <0xC3> <0xA9> ▁au ▁lait")
    assert joined(exact_links(pieces, whole)) == {(0, 0), (3, 2), (4, 3), (5, 4)}
    assert joined(exact_links(whole, pieces)) == {(0, 0), (2, 3), (3, 4), (4, 5)}
    assert joined(exact_links(pieces, fallback)) == {(i, i) for i in range(6)}
    assert joined(exact_links(response(text, "caf Ã© Ġau Ġlait"), whole)) == {(i, i) for i in range(5)}
    assert joined(chunk_links(pieces, whole)) == {(0, 0), (1, 1), (2, 1), (3, 2), (4, 3), (5, 4)}


def test_exact_links_of_cut_responses():
    links = exact_links(response(TEXT, STUDENT), response(TEXT, TEACHER, 5))
    assert links.shape == (6, 5)
    assert joined(links) == {(0, 0)}


# Time warping


def test_warped_links_need_one_partner_and_the_agreement_of_the_vocabulary_map():
    partner = np.array([0, 1, -1, 3, 3])
    student, teacher = np.array([7, 8, 6, 5, 9]), np.array([2, 0, 1, 3])
    # Teacher 2 → 7 as the student has; 0 → 4 is another token than 8; 1 → none; 3 → 9, its second partner's.
    vocabulary_map = np.array([4, -1, 7, 9])
    links = warped_links(partner, student, teacher, vocabulary_map)
    assert links.shape == (5, 4)
    assert joined(links) == {(0, 0), (4, 3)}


def test_a_position_without_partner_is_not_linked_to_the_last_one():
    links = warped_links(np.array([-1, 1]), np.array([5, 6]), np.array([0, 1]), np.array([6, 5]))
    assert not links.any()


def test_a_teacher_token_without_counterpart_is_not_linked():
    assert not warped_links(np.array([0]), np.array([3]), np.array([0]), np.array([-1])).any()


# Batches


def test_links_of_several_examples_are_placed_where_targets_are():
    first, second = np.ones((2, 3), dtype=bool), np.eye(4, 1, dtype=bool)
    # The first text fills its positions from the second one on, the second one from the first.
    student = torch.tensor([[0, 1, 1, 0, 0], [1, 1, 1, 1, 0]], dtype=torch.bool)
    teacher = torch.tensor([[0, 1, 1, 1], [1, 0, 0, 0]], dtype=torch.bool)
    placed = place_links([first, second], student, teacher)
    assert placed.shape == (2, 5, 4)
    assert placed.dtype == torch.bool
    assert joined(placed[0].numpy()) == {(i, j) for i in (1, 2) for j in (1, 2, 3)}
    assert joined(placed[1].numpy()) == {(0, 0)}


# Projectors that begin as the pseudo-inverse

STRUCTURES = {"t2s": "t-s", "s2t": "s-t"}
WIDTHS = {"student": 4, "teacher": 6}


def random_heads(*, tokens: int = 30) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Heads such that teacher's = student's @ a map on the shared tokens, and those."""
    rng = torch.Generator().manual_seed(0)
    student, teacher = torch.randn((40, 4), generator=rng), torch.randn((50, 6), generator=rng)
    pairs = [torch.randperm(size, generator=rng)[:tokens] for size in (40, 50)]
    teacher[pairs[1]] = student[pairs[0]] @ torch.randn((4, 6), generator=rng)
    return student, teacher, torch.stack(pairs, dim=1)


def test_logits_of_shared_tokens_survive_the_way_to_the_student():
    student, teacher, shared = random_heads()
    projectors = Projectors(STRUCTURES, **WIDTHS, seed=0)
    start_from_heads(projectors, student, teacher, shared)
    hidden = torch.randn((5, 6), generator=torch.Generator().manual_seed(1))
    moved = project(projectors["t2s"], hidden)
    there, here = (hidden @ teacher.T)[:, shared[:, 1]], (moved @ student.T)[:, shared[:, 0]]
    torch.testing.assert_close(here, there, rtol=1e-5, atol=1e-5)
    assert not any(projectors[name].tensors["0.bias"].any() for name in STRUCTURES)
    assert all(each.requires_grad for each in projectors.parameters())


def test_logits_of_shared_tokens_survive_the_way_to_a_teacher_that_can_hold_them():
    student, teacher, shared = random_heads()
    projectors = Projectors(STRUCTURES, **WIDTHS, seed=0)
    start_from_heads(projectors, student, teacher, shared)
    hidden = torch.randn((5, 4), generator=torch.Generator().manual_seed(1))
    moved = project(projectors["s2t"], hidden)
    here, there = (hidden @ student.T)[:, shared[:, 0]], (moved @ teacher.T)[:, shared[:, 1]]
    torch.testing.assert_close(there, here, rtol=1e-5, atol=1e-5)


def test_where_logits_cannot_survive_the_loss_is_least():
    student, teacher, shared = random_heads()
    teacher = torch.randn(teacher.shape, generator=torch.Generator().manual_seed(2))
    projectors = Projectors(STRUCTURES, **WIDTHS, seed=0)
    start_from_heads(projectors, student, teacher, shared)
    own, other = student[shared[:, 0]].double(), teacher[shared[:, 1]].double()
    for name, expected in (("t2s", torch.linalg.pinv(own) @ other), ("s2t", torch.linalg.pinv(other) @ own)):
        torch.testing.assert_close(projectors[name].tensors["0.weight"].data, expected.float(), rtol=1e-5, atol=1e-5)


def test_a_head_that_lacks_a_direction_has_the_shortest_solution():
    """Padded rows or unused widths leave zeros in a head; the map must stay finite."""
    student, teacher, shared = random_heads()
    student[:, 3] = 0
    projectors = Projectors(STRUCTURES, **WIDTHS, seed=0)
    start_from_heads(projectors, student, teacher, shared)
    weight = projectors["t2s"].tensors["0.weight"]
    assert weight.isfinite().all()
    torch.testing.assert_close(weight[3].detach(), torch.zeros(6), rtol=0.0, atol=1e-6)


def test_a_method_with_one_of_the_two_starts_that_one():
    student, teacher, shared = random_heads()
    both, one = (Projectors(names, **WIDTHS, seed=0) for names in (STRUCTURES, {"t2s": "t-s"}))
    for projectors in (both, one):
        start_from_heads(projectors, student, teacher, shared)
    torch.testing.assert_close(one["t2s"].tensors["0.weight"], both["t2s"].tensors["0.weight"])


def test_too_few_shared_tokens_are_refused():
    student, teacher, shared = random_heads(tokens=5)
    with pytest.raises(TrainingError, match="at least 6 shared tokens, the wider model's width; got 5") as caught:
        start_from_heads(Projectors(STRUCTURES, **WIDTHS, seed=0), student, teacher, shared)
    assert len(caught.value.problems) == 1
    student, teacher, shared = random_heads(tokens=6)
    start_from_heads(Projectors(STRUCTURES, **WIDTHS, seed=0), student, teacher, shared)


@pytest.mark.parametrize("name", ["t2s", "s2t"])
def test_a_projector_of_another_structure_is_refused(name: str):
    student, teacher, shared = random_heads()
    structures = STRUCTURES | {name: {"t2s": "t-2t-relu-s", "s2t": "s-2s-t"}[name]}
    projectors = Projectors(structures, **WIDTHS, seed=0)
    with pytest.raises(TrainingError, match=f"{name}: expected {STRUCTURES[name]}; got {structures[name]}"):
        start_from_heads(projectors, student, teacher, shared)
