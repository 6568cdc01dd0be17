"""Clocks that tests set by hand, so that no test has to wait."""

from collections.abc import Callable
from itertools import count

__all__ = ["Clock", "ticking"]


class Clock:
    """A clock that moves when it is told to; calling it reads it."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def take(self, seconds: float) -> None:
        self.now += seconds

    def work(self, _: object) -> None:
        """Take a second, as a callback."""
        self.now += 1


def ticking(step: float = 0.001) -> Callable[[], float]:
    """Make a clock on which every look is a moment later."""
    return count(0.0, step).__next__
