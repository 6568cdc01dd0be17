"""The exponential moving average."""

from collections.abc import Callable
from typing import Any

from rnnr._errors import as_number
from rnnr._numbers import addend, quotient, result_type, rounded
from rnnr._pipeline import Pipeline, passing, stateful
from rnnr.operators._averaging import AveragingRule, Memory, not_averaged

__all__ = ["check_decay", "ema", "ema_rule"]


def ema(decay: float) -> Pipeline[Any, Any]:
    """Turn each value into the exponential moving average of the values so far.

    A value that came k items ago has the weight ``decay ** k``; the weights are divided by their
    sum, so the average is not drawn towards zero at the beginning. That is the bias correction of
    Kingma and Ba, `Adam: A Method for Stochastic Optimization
    <https://arxiv.org/abs/1412.6980>`_ (2015), and the same as
    ``ewm(alpha=1 - decay, adjust=True).mean()`` of pandas for values without NaN.

    Values are numbers, arrays or tensors, of any precision: it averages in 64 bits. They are not
    changed, and what you change in place afterwards does not change the average. Graphs are not
    kept. A NaN stays in it for good: put ``ops.filter`` before it where one may come.

    Args:
        decay: Weight of a value relative to the one after it, between 0 and 1: 0.9 averages
            over about ten values, 0.99 over a hundred.

    Raises:
        TypeError: If ``decay`` is not a number; in the stream, if a value cannot be averaged.
        ValueError: If ``decay`` is not strictly between 0 and 1.

    Example:
        ::

            source:   --4----1----1-----|
                      [ ema(0.5) ]
            result:   --4.0--2.0--1.43--|

        >>> from rnnr import Event, Runner
        >>> from rnnr.operators import ema, select
        >>> runner = Runner()
        >>> smooth = runner.stream(Event.BATCH).pipe(select("batch"), ema(0.5))
        >>> subscription = smooth.subscribe(lambda value: print(round(value, 2)))
        >>> runner.run([4, 1, 1])
        4.0
        2.0
        1.43
    """
    decay = check_decay(decay)
    rule = ema_rule(decay, f"ema({decay})")

    def averaging() -> Callable[[Any], Any]:
        memory: Memory = {}

        def average(value: Any) -> Any:
            nonlocal memory
            memory, result = rule(memory, value)
            return result

        return average

    return passing(stateful(averaging))


def check_decay(decay: float) -> float:
    """Return a decay as a float; raise unless it is one."""
    expected = "a number between 0 and 1, neither of them included"
    cure = "pass for example 0.9, which averages over about ten values"
    return as_number("decay", decay, expected, lambda x: 0 < x < 1, cure)


def ema_rule(decay: float, part: str) -> AveragingRule:
    """Make the rule that averages one more value, with a new memory."""

    def rule(memory: Memory, value: Any) -> tuple[Memory, Any]:
        try:
            one = quotient(addend(value), 1)  # an object of our own: it may be filled again
            total = memory["total"] * decay + one if memory else one
            weight = memory["weight"] * decay + 1.0 if memory else 1.0
            average = rounded(total / weight, result_type(value))
        except TypeError as error:
            raise not_averaged(part, value) from error
        return {"total": total, "weight": weight}, average

    return rule
