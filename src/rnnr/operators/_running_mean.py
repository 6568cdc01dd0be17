"""The mean of the newest values."""

from collections.abc import Callable
from typing import Any

from rnnr._errors import as_integer, wrong_type
from rnnr._numbers import addend, quotient, result_type, rounded
from rnnr._pipeline import Pipeline, stateful

__all__ = ["running_mean"]


def running_mean(n: int) -> Pipeline[Any, Any]:
    """Turn each value into the mean of the newest n values, of fewer at the beginning.

    Values are numbers, arrays or tensors: whatever has ``+`` and ``/``. They are not
    changed, and what you change in place afterwards does not change the mean. Nothing is ever
    subtracted, so no rounding error builds up, and a NaN or an infinity is gone with its
    window. A value costs about three additions, whatever ``n`` is.

    Means are exact, whatever the type, as those of `rnnr.attachments.MeanReducer`: half precision,
    booleans and small integers are added in 64 bits. Graphs are not kept.

    Args:
        n: Number of values in the window.

    Raises:
        TypeError: If ``n`` is not an integer; in the stream, if a value cannot be averaged.
        ValueError: If ``n`` is below 1.

    Example:
        ::

            source:   --2----4----9----2--|
                      [ running_mean(2) ]
            result:   --2.0--3.0--6.5--5.5|

        >>> from rnnr import Event, Runner
        >>> from rnnr.operators import running_mean, select
        >>> runner = Runner()
        >>> means = runner.stream(Event.BATCH).pipe(select("batch"), running_mean(2))
        >>> subscription = means.subscribe(print)
        >>> runner.run([2, 4, 9, 2])
        2.0
        3.0
        6.5
        5.5
    """
    n = as_integer("n", n, 1, "pass the number of values in the window")

    def averaging() -> Callable[[Any], Any]:
        window = _Window(n)

        def mean(value: Any) -> Any:
            try:
                return rounded(window.push(value), result_type(value))
            except TypeError as error:
                cure = "select one first, for example with select('loss')"
                name, expected = f"a value for running_mean({n})", "a number, array or tensor"
                raise wrong_type(name, expected, value, cure) from error

        return mean

    return stateful(averaging)


class _Window:
    """The newest n values, and their sum without a subtraction.

    A queue of two stacks: new values are piled on one of them; when the other is empty, the
    pile is turned over into it, as sums that each reach from a value to the turning point.
    So dropping the oldest value is dropping the top sum.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._new: list[Any] = []
        self._sum_of_new: Any = None
        self._sums_of_old: list[Any] = []

    def push(self, value: Any) -> Any:
        """Take a value in, the oldest out, and return the mean."""
        value = quotient(addend(value), 1)
        if len(self._new) + len(self._sums_of_old) == self._n:
            self._drop_oldest()
        self._sum_of_new = self._sum_of_new + value if self._new else value
        self._new.append(value)
        total = self._sum_of_new
        if self._sums_of_old:
            total = self._sums_of_old[-1] + total
        return total / (len(self._new) + len(self._sums_of_old))

    def _drop_oldest(self) -> None:
        if not self._sums_of_old:
            self._sums_of_old.append(self._new.pop())
            while self._new:
                self._sums_of_old.append(self._new.pop() + self._sums_of_old[-1])
        self._sums_of_old.pop()
