"""The values of one metric in bounded memory, however long the run is."""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from math import ceil, inf, isfinite, nan

from rnnr._errors import as_integer
from rnnr.reporting._interval import Interval, interval_of, of_one

__all__ = ["Curve"]

_N_BAD = 100  # steps of values that are not finite
_make = tuple.__new__
_NONE = Interval(nan, nan, 0.0, 0)


class Curve:
    """The least, the greatest and the mean value of a metric in each interval of a run.

    An interval is ``width`` batches wide, and has a row if the metric had a value there: a batch
    ``step`` belongs to the interval number ``(step - 1) // width``. At first the width is 1. When
    there are ``limit`` intervals, neighbours are merged and the width doubles. So ten million
    batches take no more memory than a thousand, and the one batch with a high loss stays visible.

    A value at or before the last step sets the curve back: what is at its step and beyond is
    dropped. An interval that is beyond only in part is dropped whole, since its values are not kept
    one by one.

    Values that are not finite are counted, and have no part in the least, the greatest and the
    mean. An interval that has no finite value has NaN.

    Args:
        limit: Number of intervals to keep, 3 or more.

    Attributes:
        width (int): Batches in an interval.
        steps: Last step of each closed interval. Closed intervals do not change while
            ``rewritten`` stays the same.
        leasts: Least value of each closed interval.
        greatests: Greatest value of each closed interval.
        means: Mean of each closed interval.
        counts: Number of finite values of each closed interval.
        bad: The first hundred steps at which values came that are not finite, alone or with others.
        not_finite (int): Number of values that are not finite, also of those that were dropped,
            unless all were.
        rewritten (int): How often closed intervals were dropped or merged.
        version (int): Grows with each change.

    Raises:
        TypeError: If ``limit`` is not an integer.
        ValueError: If ``limit`` is below 3.

    Example:
        >>> from rnnr.reporting import Curve
        >>> curve = Curve(limit=4)
        >>> for step in range(1, 9):
        ...     curve.add(step, 100.0 if step == 3 else 1.0)
        >>> curve.width
        2
        >>> for step, interval in curve.intervals():
        ...     print(step, interval.least, interval.greatest, interval.mean)
        2 1.0 1.0 1.0
        4 1.0 100.0 50.5
        6 1.0 1.0 1.0
        8 1.0 1.0 1.0
    """

    def __init__(self, limit: int = 1000) -> None:
        self._limit = as_integer("limit", limit, 3, "pass for example 1000")
        self.width = 1
        self.steps, self.leasts, self.greatests, self.means, self.counts = (
            array("d") for _ in range(5)
        )
        self.bad: list[int] = []
        self.not_finite = self.rewritten = self.version = 0
        self._least, self._greatest = inf, -inf
        self._open: Interval | None = None
        self._step = self._until = -1  # last batch so far of the open interval, and its end

    @property
    def least(self) -> float:
        """Least value of all; NaN if none is finite."""
        return self._least if self._least < inf else nan

    @property
    def greatest(self) -> float:
        """Greatest value of all; NaN if none is finite."""
        return self._greatest if self._greatest > -inf else nan

    @property
    def open(self) -> tuple[int, Interval] | None:
        """The interval after the closed ones, which may still change, and its last step."""
        return None if self._open is None else (self._step, self._open)

    def intervals(self) -> list[tuple[int, Interval]]:
        """Return all intervals with a value, each with its last step.

        Of closed intervals, the values that are not finite and the last value are not known.
        """
        closed = [self._row(i) for i in range(len(self.steps))]
        return closed if self._open is None else [*closed, (self._step, self._open)]

    def add(self, step: int, value: float) -> None:
        """Add the value of a batch.

        Args:
            step: Number of the batch.
            value: Value of the metric.
        """
        if self._step < step <= self._until and self._widen(value):
            self.version += 1
            self._step = step
        else:
            self.add_interval(step, of_one(value))

    def extend(self, steps: Sequence[int], values: Sequence[float]) -> None:
        """Add the values of many batches, faster than one by one.

        Args:
            steps: Numbers of the batches, each greater than the one before.
            values: Values of the metric.
        """
        if steps and steps[0] <= self._step:
            self.go_back(steps[0] - 1)
        begin = 0
        while begin < len(steps):
            until = -(-steps[begin] // self.width) * self.width
            end = bisect_right(steps, until, begin)
            is_one = end == begin + 1
            some = of_one(values[begin]) if is_one else interval_of(values[begin:end])
            self.add_interval(steps[end - 1], some)
            begin = end

    def add_interval(self, step: int, interval: Interval) -> None:
        """Add the values of some batches at once.

        If they are more batches than an interval is wide, they all count where they end.

        Args:
            step: Number of the last of the batches.
            interval: Their values.
        """
        self.version += 1
        if step <= self._step:
            self.go_back(step - 1)
        if step > self._until and self._open is not None:
            self._close(self._open)
            self._merge_while_full(step)
        before = self._open
        if before is None:
            self._open = interval
            self._until = -(-step // self.width) * self.width
        else:
            self._open = before.joined(interval)
        self._step = step
        if interval.not_finite:
            self.not_finite += interval.not_finite
            if len(self.bad) < _N_BAD:
                self.bad.append(step)
        if interval.count:
            self._extend(interval.least, interval.greatest)

    def go_back(self, step: int) -> None:
        """Drop each interval that has a batch beyond a step, to which a run was set back.

        Args:
            step: The last step to keep.
        """
        if self._open is None or self._step <= step:
            return
        n_kept = len(self.steps)
        while n_kept and self.steps[n_kept - 1] > step:
            n_kept -= 1
        for column in self._columns():
            del column[n_kept:]
        while self.bad and self.bad[-1] > step:
            self.bad.pop()
        self._least, self._greatest = inf, -inf
        if n_kept:
            self._reopen()
            for _, interval in self.intervals():
                if interval.count:
                    self._extend(interval.least, interval.greatest)
        else:
            self._open, self._step, self._until = None, -1, -1
            self.width, self.not_finite = 1, 0
        self.version += 1
        self.rewritten += 1

    def _widen(self, value: float) -> bool:
        """Add a value to the open interval, at once if all is finite; return whether it is."""
        least, greatest, total, count, not_finite, _ = self._open or _NONE
        more = total + value if count and type(total) is float else nan
        if not isfinite(more):
            return False
        if value < least:
            least = value
            self._least = min(self._least, value)
        elif value > greatest:
            greatest = value
            self._greatest = max(self._greatest, value)
        # as Interval(...) does in twice the time
        self._open = _make(Interval, (least, greatest, more, count + 1, not_finite, value))
        return True

    def _columns(self) -> "tuple[array[float], ...]":
        return self.steps, self.leasts, self.greatests, self.means, self.counts

    def _extend(self, least: float, greatest: float) -> None:
        self._least = min(self._least, least)
        self._greatest = max(self._greatest, greatest)

    def _row(self, i: int) -> tuple[int, Interval]:
        count = int(self.counts[i])
        total = _times(self.means[i], count) if count else 0.0
        return int(self.steps[i]), Interval(self.leasts[i], self.greatests[i], total, count)

    def _close(self, interval: Interval) -> None:
        self.steps.append(self._step)
        self.leasts.append(interval.least)
        self.greatests.append(interval.greatest)
        self.means.append(interval.mean)
        self.counts.append(interval.count)
        self._open = None

    def _reopen(self) -> None:
        """Take the last closed interval as the open one, which goes on."""
        self._step, self._open = self._row(-1)
        self._until = -(-self._step // self.width) * self.width
        for column in self._columns():
            column.pop()

    def _merge_while_full(self, step: int) -> None:
        """Merge neighbours if there is no room; the last one may go on with the next step."""
        if len(self.steps) < self._limit:
            return
        while len(self.steps) >= self._limit:
            self.width *= 2
            self._merge()
        self.rewritten += 1
        if -(-int(self.steps[-1]) // self.width) == -(-step // self.width):
            self._reopen()

    def _merge(self) -> None:
        """Merge the intervals that are one in the present width."""
        merged: list[list[float]] = []
        number = None
        for row in zip(*self._columns(), strict=True):
            before, number = number, ceil(row[0] / self.width)
            if number == before:
                merged[-1] = _joined(merged[-1], row)
            else:
                merged.append([*row])
        for column, values in zip(self._columns(), zip(*merged, strict=True), strict=True):
            column[:] = array("d", values)


def _joined(row: list[float], later: Sequence[float]) -> list[float]:
    """Return one row for two neighbours, each of step, least, greatest, mean and count."""
    count = row[4] + later[4]
    if not later[4]:
        return [later[0], *row[1:]]
    if not row[4]:
        return [*later]
    least, greatest = min(row[1], later[1]), max(row[2], later[2])
    mean = row[3] * (row[4] / count) + later[3] * (later[4] / count)
    return [later[0], least, greatest, min(max(mean, least), greatest), count]


def _times(mean: float, count: int) -> float:
    """Return the sum of some values with a mean: an integer if no float is as large."""
    total = mean * count
    return total if isfinite(total) else int(mean) * count
