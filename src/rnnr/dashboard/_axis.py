"""What turns the batches of a run into seconds and epochs: pairs along its axis."""

from bisect import bisect_left
from collections.abc import Sequence
from math import inf

__all__ = ["Pairs"]

_LIMIT = 200


class Pairs:
    """A limited number of pairs of a step and a value, the steps ascending.

    When it is full, every second pair is dropped, and later ones are kept as far apart. The first
    and the newest are always there.

    Args:
        limit: Number of pairs to keep, an even one.
    """

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._pairs: list[tuple[int, float]] = []
        self._newest: tuple[int, float] | None = None
        self._gap = 0.0

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
        return step - last >= self._gap

    def go_back(self, step: int) -> None:
        """Drop the pairs beyond a step."""
        if self._newest is None or self._newest[0] <= step:
            return
        self._newest = None
        while self._pairs and self._pairs[-1][0] > step:
            self._pairs.pop()
        if self._pairs:
            self._newest = self._pairs.pop()

    def all(self) -> list[list[float]]:
        """Return the pairs."""
        return [[*pair] for pair in (*self._pairs, *([self._newest] if self._newest else []))]

    def _keep_newest(self) -> None:
        if self._newest is None:
            return
        if self._is_far(self._newest[0]):
            self._pairs.append(self._newest)
        if len(self._pairs) >= self._limit:
            self._gap = 2 * (self._pairs[-1][0] - self._pairs[0][0]) / self._limit
            del self._pairs[1::2]
