"""Whether values get better."""

from collections.abc import Callable
from typing import Any, SupportsFloat

from rnnr._numbers import number_of
from rnnr._pipeline import Pipeline, passing, stateful
from rnnr.operators._improvement import improvement_rule
from rnnr.state import MISSING

__all__ = ["improved"]


def improved(
    mode: str = "min",
    min_delta: float = 0.0,
    *,
    min_delta_mode: str = "abs",
    nan: str = "no-improvement",
) -> Pipeline[SupportsFloat, bool]:
    """Turn each value into whether it is better than the best so far.

    The first value is. A NaN never becomes the best, and an infinity is a value like any other.
    The best lives as long as the subscription; `rnnr.callbacks.early_stopping` keeps
    it in the state.

    Args:
        mode: ``"min"`` if less is better, ``"max"`` if more is.
        min_delta: A value is better if it is so by more than this.
        min_delta_mode: ``"abs"`` for a difference, ``"rel"`` for a share of the best so far,
            as ``min_delta=0.01`` for 1 %.
        nan: What to make of a NaN: ``"raise"`` a ValueError, ``"ignore"`` it (nothing is passed
            on), or count it as ``"no-improvement"`` (``False`` is passed on).

    Raises:
        TypeError: If an argument has the wrong type; in the stream, if a value is not a number.
        ValueError: If ``mode``, ``min_delta_mode`` or ``nan`` is unknown, or ``min_delta`` is
            negative or not finite.

    Example:
        ::

            source:   --0.5---0.6----nan----0.4---|
                      [ improved("min") ]
            result:   --True--False--False--True--|

        >>> from rnnr import Event, Runner
        >>> from rnnr.operators import improved, select
        >>> runner = Runner()
        >>> better = runner.stream(Event.BATCH).pipe(select("batch"), improved("min"))
        >>> subscription = better.subscribe(print)
        >>> runner.run([0.5, 0.6, float("nan"), 0.4])
        True
        False
        False
        True
    """
    part = f"improved({mode!r})"
    rule = improvement_rule(part, mode, min_delta, nan, min_delta_mode=min_delta_mode)

    def comparing() -> Callable[[Any], Any]:
        best: float | None = None
        n = 0

        def compare(item: Any) -> Any:
            nonlocal best, n
            n += 1
            value = number_of(item, part)
            better = rule(best, value, n)
            if better:
                best = value
            return MISSING if better is None else better

        return compare

    return passing(stateful(comparing))
