"""A curve keeps the least, the greatest, the mean and the count of each interval."""

import math
import pickle
from fractions import Fraction
from itertools import pairwise
from math import inf, isfinite, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnr.reporting import Curve, Interval
from rnnr.reporting._interval import interval_of, of_one

LIMITS = st.integers(3, 12)
FLOATS = st.floats() | st.sampled_from([1e308, -1e308, 1.7e308, nan, inf, 1.0])
ADDED = st.lists(st.tuples(st.integers(0, 300), FLOATS), max_size=80)
RISING = st.lists(st.tuples(st.integers(1, 40), FLOATS), max_size=80).map(
    lambda gaps: [(sum(gap for gap, _ in gaps[: i + 1]), v) for i, (_, v) in enumerate(gaps)]
)
STORIES = ADDED | RISING | st.builds(lambda a, b, c: a + b + c, RISING, ADDED, RISING)


class Everything:
    """All values of a metric, as a judge of the curve: it is told the width alone."""

    def __init__(self) -> None:
        self.values: list[tuple[int, float]] = []

    def add(self, step: int, value: float, width: int) -> None:
        if self.values and step <= self.values[-1][0]:
            self.go_back(step - 1, width)
        self.values.append((step, value))

    def go_back(self, step: int, width: int) -> None:
        groups = self.groups(width)
        kept = {number for number, each in groups.items() if each[-1][0] <= step}
        self.values = [each for number in kept for each in groups[number]]
        self.values.sort(key=lambda each: each[0])

    def groups(self, width: int) -> dict[int, list[tuple[int, float]]]:
        found: dict[int, list[tuple[int, float]]] = {}
        for step, value in self.values:
            found.setdefault((step - 1) // width, []).append((step, value))
        return found


def same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def check(curve: Curve, everything: Everything) -> None:
    groups = everything.groups(curve.width)
    intervals = curve.intervals()
    assert [step for step, _ in intervals] == [group[-1][0] for group in groups.values()]
    for (_, interval), group in zip(intervals, groups.values(), strict=True):
        finite = [value for _, value in group if isfinite(value)]
        assert interval.count == len(finite)
        if finite:
            assert (interval.least, interval.greatest) == (min(finite), max(finite))
            exact = sum(map(Fraction, finite), Fraction()) / len(finite)
            most = max(map(abs, finite))
            assert abs(Fraction(interval.mean) - exact) <= Fraction(most) * Fraction(1e-13)
            assert interval.least <= interval.mean <= interval.greatest or most < 1e-300
        else:
            assert math.isnan(interval.least)
            assert math.isnan(interval.greatest)
            assert math.isnan(interval.mean)


@given(LIMITS, STORIES)
def test_it_is_as_exact_as_a_list_of_all_values(limit: int, story: list[tuple[int, float]]) -> None:
    curve, everything = Curve(limit), Everything()
    for step, value in story:
        everything.add(step, value, curve.width)
        curve.add(step, value)
        check(curve, everything)
        assert len(curve.intervals()) <= limit
        finite = [value for _, value in everything.values if isfinite(value)]
        assert same(curve.least, min(finite, default=nan))
        assert same(curve.greatest, max(finite, default=nan))


@given(LIMITS, STORIES, st.integers(-1, 320))
def test_to_go_back_drops_what_is_beyond(
    limit: int, story: list[tuple[int, float]], to: int
) -> None:
    curve, everything = Curve(limit), Everything()
    for step, value in story:
        everything.add(step, value, curve.width)
        curve.add(step, value)
    before, n_rewritten = [step for step, _ in curve.intervals()], curve.rewritten
    everything.go_back(to, curve.width)
    curve.go_back(to)
    assert [step for step, _ in curve.intervals()] == [step for step in before if step <= to]
    assert (curve.rewritten > n_rewritten) is (before != [s for s, _ in curve.intervals()])
    check(curve, everything)


@given(LIMITS, STORIES)
def test_a_reader_that_copies_closed_intervals_has_what_there_is(
    limit: int, story: list[tuple[int, float]]
) -> None:
    curve, rewritten, version = Curve(limit), 0, 0
    copied: list[str] = []
    for step, value in story:
        curve.add(step, value)
        assert curve.version > version
        version = curve.version
        if rewritten != curve.rewritten:
            rewritten, copied = curve.rewritten, []
        columns = [curve.steps, curve.leasts, curve.greatests, curve.means, curve.counts]
        rows = [repr(row) for row in zip(*columns, strict=True)]
        assert rows[: len(copied)] == copied
        copied = rows


@given(LIMITS, STORIES, RISING)
def test_many_values_at_once_are_those_values_one_by_one(
    limit: int, story: list[tuple[int, float]], more: list[tuple[int, float]]
) -> None:
    at_once, one_by_one = Curve(limit), Curve(limit)
    for step, value in story:
        at_once.add(step, value)
        one_by_one.add(step, value)
    at_once.extend([step for step, _ in more], [value for _, value in more])
    for step, value in more:
        one_by_one.add(step, value)
    for (step, some), (other, same_ones) in zip(
        at_once.intervals(), one_by_one.intervals(), strict=True
    ):
        assert step == other
        assert repr(some._replace(sum=0)) == repr(same_ones._replace(sum=0))
        most = max(abs(some.least), abs(some.greatest))
        assert some.mean == pytest.approx(same_ones.mean, rel=1e-12, abs=1e-12 * most, nan_ok=True)
    for name in ("width", "not_finite", "rewritten", "least", "greatest"):
        assert same(getattr(at_once, name), getattr(one_by_one, name))


def test_a_spike_in_one_of_a_hundred_thousand_batches_is_kept() -> None:
    curve = Curve()
    for step in range(1, 100_001):
        curve.add(step, 1e6 if step == 70_001 else 0.5)
    assert [interval.greatest for _, interval in curve.intervals()].count(1e6) == 1
    assert (curve.least, curve.greatest, curve.width) == (0.5, 1e6, 128)
    assert {len(column) for column in curve._columns()} == {len(curve.steps)}


def test_a_metric_of_every_fiftieth_batch_is_kept() -> None:
    curve = Curve()
    for step in range(50, 100_001, 50):
        curve.add(step, float(step))
    steps = [step for step, _ in curve.intervals()]
    assert 500 <= len(steps) <= 1000
    assert all(after - before <= 256 for before, after in pairwise(steps))


def test_the_mean_of_the_largest_floats_is_finite() -> None:
    curve = Curve(3)
    for step in range(1, 101):
        curve.add(step, 1.7e308)
    assert {interval.mean for _, interval in curve.intervals()} == {1.7e308}


def test_values_that_are_not_finite_are_counted_and_have_no_other_part() -> None:
    curve = Curve(3)
    for step, value in enumerate([1.0, nan, inf, 3.0], start=1):
        curve.add(step, value)
    assert (curve.not_finite, curve.least, curve.greatest) == (2, 1.0, 3.0)
    curve.add(1, nan)
    assert curve.not_finite == 1
    assert math.isnan(curve.least)
    assert math.isnan(curve.greatest)


def test_intervals_of_many_batches_count_where_they_end() -> None:
    curve = Curve(4)
    curve.add_interval(100, interval_of((1.0, 5.0, nan)))
    curve.add_interval(200, interval_of((2.0,)))
    assert [(step, each.least, each.greatest) for step, each in curve.intervals()] == [
        (100, 1.0, 5.0),
        (200, 2.0, 2.0),
    ]
    assert curve.open is not None
    assert curve.open[0] == 200
    assert curve.not_finite == 1


def test_a_new_curve_has_nothing() -> None:
    curve = Curve()
    curve.go_back(5)
    assert (curve.intervals(), curve.open, curve.version, curve.rewritten) == ([], None, 0, 0)


def test_a_run_that_begins_again_is_kept_as_closely_as_the_first() -> None:
    curve = Curve(4)
    for step in [*range(1, 10_000), 1, 2, 3]:
        curve.add(step, 0.0)
    assert [step for step, _ in curve.intervals()] == [1, 2, 3]


@given(st.lists(FLOATS, min_size=1, max_size=9), st.lists(FLOATS, min_size=1, max_size=9))
def test_joined_intervals_are_that_of_all_values(one: list[float], other: list[float]) -> None:
    joined = interval_of((*one,)).joined(interval_of((*other,)))
    whole = interval_of((*one, *other))
    assert repr(joined._replace(sum=0)) == repr(whole._replace(sum=0))
    finite = [*filter(isfinite, one + other)]
    most = max(map(abs, finite), default=0.0)
    exact = sum(map(Fraction, finite), Fraction())
    for interval in (joined, whole):
        assert abs(Fraction(interval.sum) - exact) <= Fraction(most) * len(finite) / 2**50
        assert not finite or isfinite(interval.mean)


def test_an_interval_is_a_plain_value() -> None:
    interval = of_one(0.5)
    assert interval == Interval(0.5, 0.5, 0.5, 1, 0, 0.5)
    assert pickle.loads(pickle.dumps(interval)) == interval
    assert interval_of((1e308, 1e308)).mean == 1e308
    assert interval_of((1e308, 1e308, nan)).mean == 1e308


@pytest.mark.parametrize(
    ("limit", "error", "expected"),
    [
        (2, ValueError, "limit must be an integer of 3 or more, got 2 .*; pass for example 1000"),
        (0.5, TypeError, r"limit must be an integer of 3 or more, got 0\.5 .*; pass for example"),
    ],
)
def test_a_wrong_limit_is_an_error(limit: int, error: type[Exception], expected: str) -> None:
    with pytest.raises(error, match=expected):
        Curve(limit)
