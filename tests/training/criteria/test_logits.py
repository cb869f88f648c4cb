"""Where the largest logit lies, and blocks of a chunk."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probe.training.criteria.logits import BLOCK_BYTES, BLOCK_COLUMNS, STRIDE, Workspace, argmax


@given(
    vocabulary=st.sampled_from([1, STRIDE, 2 * STRIDE - 1, 2 * STRIDE, 2 * STRIDE + 1, 3 * STRIDE + 77, 1000]),
    values=st.sampled_from([1, 2, 40, 100_000]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_largest_logit_is_found_and_the_first_of_equal_ones(vocabulary: int, values: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    wide = torch.randint(-values, values, (7, vocabulary + 5), generator=generator).float()
    for logits in (wide[:, 5:], wide[:, :vocabulary].contiguous()):
        first = (logits == logits.amax(-1, keepdim=True)).to(torch.int8).argmax(-1)
        assert torch.equal(argmax(logits), first)


@pytest.mark.parametrize("place", [0, STRIDE - 1, STRIDE, 2 * STRIDE, 3 * STRIDE - 1, 3 * STRIDE + 4])
def test_no_column_is_left_out(place: int):
    logits = torch.zeros((1, 3 * STRIDE + 5))
    logits[0, place] = 1.0
    assert argmax(logits).item() == place


@pytest.mark.parametrize("rows", [1, 7, 280, 100_000])
def test_a_block_stays_in_the_cache_and_has_columns_enough(rows: int):
    height, width = Workspace().block(rows, torch.empty(0))
    assert height <= rows
    assert width >= BLOCK_COLUMNS
    assert height * width * 4 <= BLOCK_BYTES
    assert Workspace(1).block(rows, torch.empty(0)) == (1, 1)


def test_an_accelerator_takes_all_that_there_is_room_for():
    height, width = Workspace().block(280, torch.empty(0, device="meta"))
    assert height == 280
    assert height * width * 4 > BLOCK_BYTES
