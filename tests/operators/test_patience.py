"""`patience` counts failures in a row, and tells when they are too many."""

from itertools import takewhile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Subject

from helpers.extras import np, torch
from rnnr import Event, Runner
from rnnr.callbacks import maybe_stop_early
from rnnr.operators import improved, patience, pipeline, select
from rnnr.state import State

OUTCOMES = st.lists(st.booleans())


def counts(outcomes: list[Any], n: Any) -> list[int]:
    seen: list[int] = []
    source = Subject[Any]()
    source.pipe(patience(n)).subscribe(seen.append)
    for better in outcomes:
        source.on_next(better)
    return seen


@given(OUTCOMES, st.integers(0, 3))
def test_it_passes_on_the_failures_in_a_row_that_are_more_than_n(
    outcomes: list[bool], n: int
) -> None:
    before = [outcomes[: i + 1][::-1] for i in range(len(outcomes))]
    in_a_row = [len([*takewhile(lambda better: not better, ends)]) for ends in before]
    assert counts(outcomes, n) == [count for count in in_a_row if count > n]


@given(OUTCOMES, st.integers(0, 3))
def test_it_stops_where_maybe_stop_early_does(outcomes: list[bool], n: int) -> None:
    one, other = Runner(), Runner()
    one.stream(Event.BATCH).pipe(select("batch"), patience(n)).subscribe(lambda _: one.stop())
    other.on(Event.BATCH, maybe_stop_early(n, check="batch"))
    for runner in (one, other):
        runner.run(outcomes)
    assert one.state["n_iters"] == other.state["n_iters"]


def test_a_run_is_stopped_on_a_plateau_in_one_line() -> None:
    runner = Runner()
    losses = runner.stream(Event.BATCH).pipe(select("batch"))
    losses.pipe(improved("min"), patience(2)).subscribe(lambda _: runner.stop())
    runner.run([5, 4, 4, 3, 3, 3, 3, 2])
    assert runner.state["n_iters"] == 7


@pytest.mark.parametrize("no", [False, 0, np.False_, torch.tensor(False)])
def test_any_false_is_a_failure(no: Any) -> None:
    assert counts([no, no], 0) == [1, 2]


@pytest.mark.parametrize("wrong", [0.5, None, "yes", [], float("nan"), 2])
def test_a_metric_without_improved_is_refused_with_the_cure(wrong: Any) -> None:
    callback = pipeline(select("loss"), patience(1))
    state: State = {"loss": wrong}
    expected = r"an item for patience must be True or False, got .*; put improved\('min'\) or"
    with pytest.raises(TypeError, match=expected):
        callback(state)


@pytest.mark.parametrize("n", [-1, -0.5, float("nan")])
def test_a_negative_number_is_refused(n: Any) -> None:
    with pytest.raises(ValueError, match=r"n must be a number of 0 or more, got .*; pass a number"):
        patience(n)


@pytest.mark.parametrize("n", [None, "5", [5]])
def test_what_is_no_number_is_refused(n: Any) -> None:
    with pytest.raises(TypeError, match=r"n must be a number of 0 or more, got .*; pass a number"):
        patience(n)


@pytest.mark.parametrize("n", [1, 1.5, np.int64(1), True])
def test_any_number_will_do(n: Any) -> None:
    assert counts([False] * 3, n) == [2, 3]
    assert counts([False] * 3, float("inf")) == []
