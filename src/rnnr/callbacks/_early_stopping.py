"""Early stopping by a flag that another callback sets."""

import logging
from numbers import Real

from reactivex import operators as ops

from rnnr.errors import wrong_type, wrong_value
from rnnr.operators import Pipeline, fold, pipeline, stop
from rnnr.values import reader

__all__ = ["maybe_stop_early"]

logger = logging.getLogger("rnnr.callbacks.early_stopping")


def maybe_stop_early(
    patience: int = 5, *, check: str = "better", counter: str = "_counter"
) -> Pipeline:
    """Make a callback that stops the run when nothing has got better for a while.

    The callback counts the calls in a row for which ``state[check]`` is false. When the count
    exceeds ``patience`` it sets ``state["running"]`` to ``False`` and logs so on
    ``rnnr.callbacks.early_stopping``.

    Args:
        patience: How many failures in a row to bear; one more stops the run.
        check: Key of the flag that tells whether things got better.
        counter: Key under which the count is kept.

    Returns:
        The callback.

    Raises:
        TypeError: If ``patience`` is no number or a key is no string.
        ValueError: If ``patience`` is negative.
        KeyError: When the callback is called and ``state[check]`` is not set.

    Example:
        >>> from rnnr import Event, Runner
        >>> from rnnr.callbacks import maybe_stop_early
        >>> losses = iter([0.5, 0.4, 0.6, 0.7, 0.8, 0.3])
        >>> runner = Runner()
        >>> @runner.on(Event.EPOCH_FINISHED)
        ... def evaluate(state):
        ...     loss = next(losses)
        ...     state["better"] = loss < state.get("best", float("inf"))
        ...     state["best"] = min(loss, state.get("best", loss))
        ...     print(state["epoch"], loss)
        >>> subscription = runner.on(Event.EPOCH_FINISHED, maybe_stop_early(patience=2))
        >>> runner.run([], max_epoch=6)
        1 0.5
        2 0.4
        3 0.6
        4 0.7
        5 0.8
    """
    expected = "a number of 0 or more"
    if not isinstance(patience, Real):
        raise wrong_type("patience", expected, patience, "pass a number of failures to bear")
    if not patience >= 0:
        raise wrong_value("patience", expected, patience, "pass 0 to stop at the first failure")
    cure = "set it to True or False in an EPOCH_FINISHED callback that is added before this one"
    better = reader(check, "maybe_stop_early", cure)

    return pipeline(
        fold(counter, failures_in_a_row, value=lambda state: not better(state), initial=0),
        ops.filter(lambda state: state[counter] > patience),
        ops.do_action(lambda _: logger.info("Patience exceeded, stopping early")),
        stop(),
    )


def failures_in_a_row(count: int, failed: bool) -> int:
    """Return the count of failures in a row after one more outcome."""
    return count + 1 if failed else 0
