"""Early stopping by a flag that another callback sets."""

import logging
from typing import Any

from reactivex.disposable import Disposable

from rnnr._pipeline import Pipeline, named
from rnnr.operators._do import do
from rnnr.operators._fold import folding
from rnnr.operators._improvement import check_patience, failures_in_a_row
from rnnr.operators._pipeline import pipeline
from rnnr.operators._stop import stop
from rnnr.operators._when import when
from rnnr.state import State, begin_key, check_key, reader

__all__ = ["maybe_stop_early"]

logger = logging.getLogger("rnnr.callbacks.early_stopping")


def maybe_stop_early(
    patience: int = 5, *, check: str = "better", counter: str = "_counter"
) -> Pipeline[State, State]:
    """Make a callback that stops the run when nothing has got better for a while.

    The callback counts the calls in a row for which ``state[check]`` is false. When the count
    exceeds ``patience`` it sets ``state["running"]`` to ``False`` and logs so on
    ``rnnr.callbacks.early_stopping``. Each `rnnr.Runner.run` begins to count again. Where a
    metric decides, `early_stopping` needs no flag.

    Args:
        patience: How many failures in a row to bear; one more stops the run.
        check: Key of the flag that is true when the metric got better.
        counter: Key under which the count is kept.

    Returns:
        The callback.

    Raises:
        TypeError: If ``patience`` is not a number or a key is not a string.
        ValueError: If ``patience`` is negative, or ``counter`` is a key that the run writes; when
            it is attached, if another part of the runner writes it.
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
    check_patience("patience", patience)
    cure = "set it to True or False in an EPOCH_FINISHED callback that is added before this one"
    better = reader(check, "maybe_stop_early", cure)

    check_key("counter", counter, check)

    owner, part = object(), f"maybe_stop_early({check!r})"

    def reserve(runner: Any) -> Disposable:
        return Disposable(runner._keys.reserve("counter", counter, part, owner))

    failures = folding(
        counter,
        failures_in_a_row,
        reserve,
        value=lambda state: not better(state),
        initial=0,
        name=part,
    )
    callback = pipeline(
        do(lambda state: begin_key(state, counter)),
        failures,
        when(lambda state: state[counter] > patience),
        do(lambda _: logger.info("Patience exceeded, stopping early")),
        stop(),
    )
    return named(callback, part)
