"""What turns the batches of a run into seconds and epochs: pairs along its axis."""

from bisect import bisect_left
from collections.abc import Sequence
from heapq import nlargest
from math import inf

__all__ = ["Pairs"]

_LIMIT = 200
_BENDS = 10  # of so many pairs one may be kept for its bend


class Pairs:
    """A limited number of pairs of a step and a value, the steps ascending.

    When it is full, every second pair is dropped, but for a few that are far from a straight line,
    as where a run has paused; later ones are kept as far apart. The first and the newest are always
    there.

    Args:
        limit: Number of pairs to keep, an even one.
    """

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._pairs: list[tuple[int, float]] = []
        self._newest: tuple[int, float] | None = None
        self._gap = 0.0
        self._is_bend = False  # whether the newest is kept in any case

    def add(self, step: int, value: float) -> None:
        """Add the newest pair; where there is one with its step, that one stays."""
        self.go_back(step)
        if self._newest is None or self._newest[0] < step:
            self._keep_newest()
            self._newest = step, value

    def extend(self, steps: Sequence[int], values: Sequence[float]) -> None:
        """Add pairs, of which each step is greater than the one before, faster than one by one."""
        self.add(steps[0], values[0])
        begin, n = 0, len(steps) - 1
        while True:
            begin = bisect_left(steps, True, begin, n, key=self._is_far)
            if begin == n:
                break
            if begin:
                self._newest = steps[begin], values[begin]
            self._keep_newest()
            begin += 1
        if n:
            self._newest = steps[-1], values[-1]

    def _is_far(self, step: int) -> bool:
        last = self._pairs[-1][0] if self._pairs else -inf
        return self._is_bend or step - last >= self._gap

    def go_back(self, step: int) -> None:
        """Drop the pairs beyond a step, which gets one if there are earlier ones, and keeps it.

        What the step had is found between its neighbours: its own pair may have been dropped.
        """
        if self._newest is None or self._newest[0] <= step:
            return
        beyond, self._newest = self._newest, None
        while self._pairs and self._pairs[-1][0] > step:
            beyond = self._pairs.pop()
        if self._pairs and self._pairs[-1][0] < step:
            self._newest = step, _between(self._pairs[-1], beyond, step)
        elif self._pairs:
            self._newest = self._pairs.pop()
        self._gap = self._usual_gap()  # there is room again
        self._is_bend = True

    def all(self) -> list[list[float]]:
        """Return the pairs."""
        return [[*pair] for pair in (*self._pairs, *([self._newest] if self._newest else []))]

    def _keep_newest(self) -> None:
        if self._newest is None:
            return
        if self._is_far(self._newest[0]):
            self._pairs.append(self._newest)
            self._is_bend = False
        if len(self._pairs) >= self._limit:
            self._gap = self._usual_gap()
            self._thin()

    def _thin(self) -> None:
        pairs = self._pairs
        places = range(1, len(pairs) - 1, 2)
        bends = {
            i: abs(pairs[i][1] - _between(pairs[i - 1], pairs[i + 1], pairs[i][0])) for i in places
        }
        kept = {*nlargest(self._limit // _BENDS, places, key=bends.__getitem__)}
        self._pairs = [pair for i, pair in enumerate(pairs) if i % 2 == 0 or i in kept]

    def _usual_gap(self) -> float:
        pairs = self._pairs
        return 2 * (pairs[-1][0] - pairs[0][0]) / self._limit if pairs else 0.0


def _between(before: tuple[int, float], after: tuple[int, float], step: int) -> float:
    """Return the value of a step between two pairs, on a straight line."""
    (first, low), (last, high) = before, after
    return low + (high - low) * (step - first) / (last - first)
