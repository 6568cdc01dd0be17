"""One item in so many."""

from collections.abc import Callable
from itertools import count
from typing import Any, TypeVar

from reactivex import Observable

from rnnr._errors import as_integer
from rnnr._pipeline import passing, stateful
from rnnr.state import MISSING

__all__ = ["every"]

_T = TypeVar("_T")


def every(n: int) -> Callable[[Observable[_T]], Observable[_T]]:
    """Pass on one item in n: the n-th to reach the subscription, the 2n-th, and so on.

    It counts the items of its subscription, across runs, and begins again in another process. For a
    count that stays in step with the run after a resume, listen to every n-th event instead:
    ``Event.BATCH.every(n)``.

    Args:
        n: Number of items of which one is passed on.

    Raises:
        TypeError: If ``n`` is not an integer.
        ValueError: If ``n`` is below 1.

    Example:
        ::

            source:   --1--2--3--4--5--6--7--|
                      [ every(3) ]
            result:   --------3--------6-----|

        >>> from rnnr import Event, Runner
        >>> from rnnr.operators import every, select
        >>> runner = Runner()
        >>> thirds = runner.stream(Event.BATCH).pipe(select("batch"), every(3))
        >>> subscription = thirds.subscribe(print)
        >>> runner.run("abcdefg")
        c
        f
    """
    cure = "pass how many items there are to one; 1 passes on all"
    n = as_integer("n", n, 1, cure)

    def counting() -> Callable[[Any], Any]:
        numbers = count(1)
        return lambda item: MISSING if next(numbers) % n else item

    return passing(stateful(counting))
