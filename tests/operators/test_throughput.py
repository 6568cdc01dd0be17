"""`throughput`: items a second, in a time that the tests make."""

from fractions import Fraction
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Subject

from rnnr import Event, Runner
from rnnr.operators import throughput

STEPS = st.lists(st.integers(0, 40).map(lambda n: n / 8))  # exact sums


def rates(times: list[float], seconds: Any) -> list[tuple[int, float]]:
    """Return the rates and the number of the item at which each came."""
    seen: list[tuple[int, float]] = []
    clock = enumerate(times)
    number = -1

    def now() -> float:
        nonlocal number
        number, time = next(clock)
        return time

    source = Subject[float]()
    rates = source.pipe(throughput(seconds, clock=now))
    rates.subscribe(lambda rate: seen.append((number, rate)))
    for time in times:
        source.on_next(time)
    return seen


@given(STEPS, st.integers(1, 40).map(lambda n: n / 8))
def test_each_window_ends_with_the_first_item_that_is_late_enough(
    steps: list[float], seconds: float
) -> None:
    times = [sum(steps[:i]) for i in range(len(steps))]
    expected, first = [], 0
    for i, time in enumerate(times):
        if time - times[first] >= seconds:
            expected.append((i, float(Fraction(i - first) / Fraction(time - times[first]))))
            first = i
    assert rates(times, seconds) == expected


def test_steady_items_have_their_rate_whatever_the_window() -> None:
    times = [i / 4 for i in range(100)]
    for seconds in (0.25, 1, 3.3):
        assert {rate for _, rate in rates(times, seconds)} == {4.0}


def test_time_is_measured_by_default_by_a_clock_that_goes() -> None:
    seen: list[float] = []
    runner = Runner()
    runner.stream(Event.BATCH).pipe(throughput(1e-9)).subscribe(seen.append)
    runner.run(range(100))
    assert seen
    assert all(rate > 0 for rate in seen)


@pytest.mark.parametrize("seconds", [0, -1, nan, inf, 10**400])
def test_a_window_that_is_not_finite_and_above_0_is_refused(seconds: Any) -> None:
    expected = "seconds must be a finite number of seconds above 0, got .*; pass for example 10"
    with pytest.raises(ValueError, match=expected):
        throughput(seconds)


@pytest.mark.parametrize("seconds", [None, "10", [10]])
def test_a_window_that_is_no_number_is_refused(seconds: Any) -> None:
    with pytest.raises(TypeError, match=r"seconds must be a finite number .*; pass for example"):
        throughput(seconds)


def test_a_clock_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match=r"clock must be callable, got 0 .*; pass for example time"):
        throughput(1, clock=0)  # type: ignore[arg-type]
