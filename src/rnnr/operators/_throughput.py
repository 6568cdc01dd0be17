"""Items a second."""

import time
from collections.abc import Callable
from math import inf
from typing import Any

from rnnr._errors import as_number, wrong_type
from rnnr._pipeline import Pipeline, passing, stateful
from rnnr.state import MISSING

__all__ = ["throughput"]


def throughput(
    seconds: float, *, clock: Callable[[], float] = time.perf_counter
) -> Pipeline[object, float]:
    """Turn items into how many of them came a second, at most once in so many seconds.

    The first item starts a window; the first that comes ``seconds`` later or more ends it, and
    starts the next. So there is no timer, and nothing comes while no item does. A
    pause between two runs counts as time.

    Args:
        seconds: Least length of a window, in seconds.
        clock: Returns the time in seconds; it must not go backwards.

    Raises:
        TypeError: If ``seconds`` is not a number or ``clock`` cannot be called.
        ValueError: If ``seconds`` is not a finite number above 0.

    Example:
        ::

            seconds:  0    1    2    3    4    5
            source:   a----b-c--d----e-f--g----h|
                      [ throughput(2) ]
            result:   ----------1.5-------1.5---|

        >>> from rnnr import Event, Runner
        >>> from rnnr.operators import throughput
        >>> seconds = iter([0.0, 1.0, 1.5, 2.0, 3.0, 3.5, 4.0, 5.0])
        >>> runner = Runner()
        >>> rates = runner.stream(Event.BATCH).pipe(throughput(2, clock=lambda: next(seconds)))
        >>> subscription = rates.subscribe(print)
        >>> runner.run("abcdefgh")
        1.5
        1.5
    """
    expected = "a finite number of seconds above 0"
    cure = "pass for example 10"
    least = as_number("seconds", seconds, expected, lambda x: 0 < x < inf, cure)
    if not callable(clock):
        raise wrong_type("clock", "callable", clock, "pass for example time.perf_counter")

    def counting() -> Callable[[Any], Any]:
        began: float | None = None
        count = 0

        def step(_: Any) -> Any:
            nonlocal began, count
            now = clock()
            if began is None:
                began = now
                return MISSING
            count += 1
            elapsed = now - began
            if elapsed < least:
                return MISSING
            rate = count / elapsed
            began, count = now, 0
            return rate

        return step

    return passing(stateful(counting))
