"""Two hundred damaged inputs: each ends in 0, 1 or 2, without a traceback and with nothing half-written."""

from fuzz.driver import fuzz


def test_damaged_inputs_end_in_messages():
    ends = fuzz(seed=7, cases=200)
    assert len(ends) == 200
    assert len({one["family"] for one in ends}) == 10
    bad = [one for one in ends if one["trouble"] or one["left"]]
    assert not bad, "\n".join(f"{one['number']} {one['name']} {one['left']} {one['trouble'][-400:]}" for one in bad)
