"""The mean of the newest values."""

from collections.abc import Callable
from typing import Any

from rnnr._errors import as_integer
from rnnr._numbers import addend, quotient, result_type, rounded
from rnnr._pipeline import Pipeline, passing, stateful
from rnnr.operators._averaging import AveragingRule, Memory, not_averaged

__all__ = ["running_mean", "window_rule"]


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
    part = f"running_mean({n})"

    def averaging() -> Callable[[Any], Any]:
        memory: Memory = {}

        def mean(value: Any) -> Any:
            return _push(memory, n, value, part)

        return mean

    return passing(stateful(averaging))


def window_rule(n: int, part: str) -> AveragingRule:
    """Make the rule that averages the newest n values, with a new memory."""

    def rule(memory: Memory, value: Any) -> tuple[Memory, Any]:
        after = {key: [*one] if isinstance(one, list) else one for key, one in memory.items()}
        return after, _push(after, n, value, part)

    return rule


def _push(memory: Memory, n: int, value: Any, part: str) -> Any:
    """Take a value into a window of n, the oldest out, and return the mean.

    The window is a queue of two stacks, so nothing is ever subtracted: new values are piled on one
    of them; when the other is empty, the pile is turned over into it, as sums that each reach from
    a value to the turning point. So dropping the oldest value is dropping the top sum.
    """
    new: list[Any] = memory.setdefault("new", [])
    sums_of_old: list[Any] = memory.setdefault("sums_of_old", [])
    try:
        one = quotient(addend(value), 1)
        if len(new) + len(sums_of_old) == n:
            _drop_oldest(new, sums_of_old)
        total = memory["sum_of_new"] = memory["sum_of_new"] + one if new else one
        new.append(one)
        if sums_of_old:
            total = sums_of_old[-1] + total
        return rounded(total / (len(new) + len(sums_of_old)), result_type(value))
    except TypeError as error:
        raise not_averaged(part, value) from error


def _drop_oldest(new: list[Any], sums_of_old: list[Any]) -> None:
    if not sums_of_old:
        sums_of_old.append(new.pop())
        while new:
            sums_of_old.append(new.pop() + sums_of_old[-1])
    sums_of_old.pop()
