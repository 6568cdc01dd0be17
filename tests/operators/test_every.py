"""`every` passes on one item in n."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.extras import np
from rnnr import Event, Runner
from rnnr.operators import every, select
from rnnr.state import State


@given(st.lists(st.none() | st.integers()), st.integers(1, 5))
def test_it_passes_on_the_last_of_each_n(batches: list[Any], n: int) -> None:
    seen: list[Any] = []
    runner = Runner()
    runner.stream(Event.BATCH).pipe(select("batch"), every(n)).subscribe(seen.append)
    runner.run(batches)
    assert seen == batches[n - 1 :: n]


def test_the_state_itself_is_passed_on_and_counted_from_run_to_run() -> None:
    seen: list[State] = []
    runner = Runner()
    runner.stream(Event.BATCH).pipe(every(2)).subscribe(seen.append)
    runner.run([1])
    assert seen == []
    runner.run([2])
    assert seen[0] is runner.state


def test_any_integer_will_do() -> None:
    seen: list[int] = []
    runner = Runner()
    runner.stream(Event.BATCH).pipe(select("batch"), every(np.int64(3))).subscribe(seen.append)  # type: ignore[arg-type]
    runner.run([1, 2, 3])
    assert seen == [3]


@pytest.mark.parametrize("n", [0, -1])
def test_a_number_below_1_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match=r"n must be an integer of 1 or more, got .*; pass how"):
        every(n)


@pytest.mark.parametrize("n", [None, 2.0, "2", float("nan")])
def test_what_is_no_integer_is_refused(n: Any) -> None:
    with pytest.raises(TypeError, match=r"n must be an integer of 1 or more, got .*; pass how"):
        every(n)
