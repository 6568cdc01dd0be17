"""The values of one metric over some batches, as their least, greatest, sum and count."""

from collections.abc import Iterable, Sequence
from math import fsum, isfinite, nan
from typing import NamedTuple

__all__ = ["Interval", "interval_of", "of_one"]


class Interval(NamedTuple):
    """The values of one metric over some batches.

    Values that are not finite are counted, and have no part in the others.

    Attributes:
        least (float): Least value; NaN if none is finite.
        greatest (float): Greatest value; NaN if none is finite.
        sum (float): Sum of the finite values; an ``int`` if it is beyond the largest float.
        count (int): Number of the finite values.
        not_finite (int): Number of the other values.
        last (float): Latest value, finite or not.
    """

    least: float
    greatest: float
    sum: float
    count: int  # type: ignore[assignment]  # the method of a tuple is of no use here
    not_finite: int = 0
    last: float = nan

    @property
    def mean(self) -> float:
        """Mean of the finite values; NaN if there are none."""
        if not self.count:
            return nan
        return min(max(self.sum / self.count, self.least), self.greatest)  # a sum is rounded

    def joined(self, later: "Interval") -> "Interval":
        """Return the interval of these values and later ones."""
        not_finite = self.not_finite + later.not_finite
        if not later.count:
            return self._replace(not_finite=not_finite, last=later.last)
        if not self.count:
            return later._replace(not_finite=not_finite)
        return Interval(
            min(self.least, later.least),
            max(self.greatest, later.greatest),
            _added(self.sum, later.sum),
            self.count + later.count,
            not_finite,
            later.last,
        )


def of_one(value: float) -> Interval:
    """Return the interval of one value."""
    if isfinite(value):
        return Interval(value, value, value, 1, 0, value)
    return Interval(nan, nan, 0.0, 0, 1, value)


def interval_of(values: Sequence[float]) -> Interval:
    """Return the interval of one value or more."""
    total = sum(values)
    if isfinite(total):  # then each value is, which a sum finds out at the speed of C
        least, greatest, last = map(float, (min(values), max(values), values[-1]))
        return Interval(least, greatest, float(total), len(values), 0, last)
    finite = [*filter(isfinite, values)]
    n_others, last = len(values) - len(finite), values[-1]
    if not finite:
        return Interval(nan, nan, 0.0, 0, n_others, last)
    return Interval(min(finite), max(finite), _sum(finite), len(finite), n_others, last)


def _added(total: float, value: float) -> float:
    """Return a sum with one more finite value: as an integer if no float is as large."""
    try:
        more = total + value
        return more if isfinite(more) else int(total) + int(value)
    except OverflowError:  # it is such an integer
        return int(total) + int(value)


def _sum(values: Iterable[float]) -> float:
    try:
        return fsum(values)
    except OverflowError:
        return sum(map(int, values))
