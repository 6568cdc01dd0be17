"""The seconds and epochs along the axis of a run, in bounded memory."""

from itertools import pairwise

import pytest

from rnnr.dashboard._axis import Pairs


def at(pairs: Pairs, step: int) -> float:
    """Return the value of a step, on a straight line between its neighbours, as a page does."""
    for (first, low), (last, high) in pairwise(pairs.all()):
        if first <= step <= last:
            return low + (high - low) * (step - first) / (last - first)
    raise ValueError(f"{step} is not in {pairs.all()}")


@pytest.mark.parametrize("back", [7, 400, 900])
def test_what_was_before_a_run_was_set_back_stays_in_its_place(back: int) -> None:
    pairs = Pairs()
    for step in range(1000):
        pairs.add(step, float(step))
    pairs.go_back(back)
    for step in range(back, 2000):  # from there on an hour later
        pairs.add(step, step + 3600.0)
    for step in range(back + 1):
        assert at(pairs, step) == pytest.approx(step)
    for step in range(back + 20, 2000):
        assert at(pairs, step) == pytest.approx(step + 3600)
    assert len(pairs.all()) <= 201


def test_a_pause_stays_between_the_batches_that_it_was_between() -> None:
    pairs = Pairs(20)
    for step in range(500):
        pairs.add(step, step + (3600.0 if step > 5 else 0.0))
    assert at(pairs, 5) == pytest.approx(5)
    assert at(pairs, 6) == pytest.approx(3606)
    assert len(pairs.all()) <= 21


def test_a_run_that_is_set_back_before_all_pairs_has_none() -> None:
    pairs = Pairs()
    pairs.add(5, 1.0)
    pairs.go_back(4)
    assert pairs.all() == []
