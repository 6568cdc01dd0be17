"""Failures in a row."""

from collections.abc import Callable
from typing import Any

from rnnr._errors import wrong_type
from rnnr._pipeline import Pipeline, passing, stateful
from rnnr.operators._improvement import check_patience, failures_in_a_row
from rnnr.state import MISSING

__all__ = ["patience"]


def patience(n: float) -> Pipeline[bool, int]:
    """Turn booleans into the count of failures in a row, passed on when it exceeds n.

    ``True`` is a success, as `improved` passes it on. So ``n`` failures in a row are borne and
    one more is passed on, which is the rule of `rnnr.callbacks.maybe_stop_early`.

    Args:
        n: How many failures in a row to bear.

    Raises:
        TypeError: If ``n`` is not a number; in the stream, if an item is neither true nor false.
        ValueError: If ``n`` is negative.

    Example:
        ::

            source:   --True--False--False--False--True--|
                      [ patience(1) ]
            result:   -----------------2------3----------|

        >>> from rnnr import Event, Runner
        >>> from rnnr.operators import improved, patience, select
        >>> runner = Runner()
        >>> losses = runner.stream(Event.BATCH).pipe(select("batch"))
        >>> plateau = losses.pipe(improved("min"), patience(1))
        >>> subscription = plateau.subscribe(lambda count: runner.stop())
        >>> runner.run([0.5, 0.4, 0.6, 0.7, 0.8])
        >>> runner.state["batch"]
        0.7
    """
    check_patience("n", n)

    def counting() -> Callable[[Any], Any]:
        count = 0

        def step(better: Any) -> Any:
            nonlocal count
            if bool(better) != better:  # a metric, say, which would be a success for ever
                cure = "put improved('min') or improved('max') before it"
                raise wrong_type("an item for patience", "True or False", better, cure)
            count = failures_in_a_row(count, not better)
            return count if count > n else MISSING

        return step

    return passing(stateful(counting))
