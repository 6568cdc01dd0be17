"""A reduction whose accumulator lives in the state."""

from collections.abc import Callable
from typing import Any

from reactivex import Observable
from reactivex import operators as ops
from reactivex.disposable import Disposable

from rnnr.errors import wrong_value
from rnnr.state import MISSING, State, check_key
from rnnr.values import accumulator

__all__ = ["fold"]


def fold(
    key: str,
    function: Callable[[Any, Any], Any],
    *,
    value: str | Callable[[State], Any] | None = None,
    initial: Any = MISSING,
    per_epoch: bool = False,
) -> Callable[[Observable[State]], Observable[State]]:
    """Accumulate a value of each state in ``state[key]``, and pass the state on.

    It is ``scan`` with its memory in the state, so that the accumulator survives a pickle and
    a resume, and can be read by everybody.

    Args:
        key: Key of the accumulator.
        function: Called as ``function(accumulator, value)``; returns the new accumulator.
        value: Key of the value in the state, or a function that computes it from the state. If
            not given, ``function`` gets the state itself, and ``initial`` is needed.
        initial: First accumulator, of which each fold takes a deep copy. If not given, the first
            value is (of arrays, tensors and containers a copy, since they may be filled again),
            and ``function`` is not called for it: no neutral element is needed. The values go to
            the function as they are; `rnnr.attachments.SumReducer` sums exactly, whatever the type.
        per_epoch: Keep the accumulator in the memory that is emptied when an epoch begins (see
            `rnnr.state.epoch_memory`), instead of in the state itself.

    Raises:
        TypeError: If a key is not a string, a function cannot be called, ``initial`` cannot be
            copied, or neither ``value`` nor ``initial`` is given.
        ValueError: If ``key`` is one that the run writes or, with ``per_epoch``, starts with an
            underscore; when a pipeline is attached, if another part of the runner writes it.
        KeyError: When a state lacks the value.

    Example:
        ::

            source:   --2------3------4--|      state["batch"]
                      [ fold("total", add, value="batch") ]
            result:   --2------5------9--|      state["total"]

        >>> from operator import add
        >>> from rnnr import Event, Runner
        >>> from rnnr.operators import fold, select
        >>> runner = Runner()
        >>> totals = runner.stream(Event.BATCH).pipe(
        ...     fold("total", add, value="batch"), select("total")
        ... )
        >>> subscription = totals.subscribe(print)
        >>> runner.run([2, 3, 4])
        2
        5
        9
    """
    if per_epoch and str(key).startswith("_"):
        cure = "call it for example 'total'"
        raise wrong_value("key", "a name without a leading underscore, rnnr's own", key, cure)
    operator = ops.do_action(
        accumulator(key, function, value=value, initial=initial, per_epoch=per_epoch)
    )
    if not per_epoch:
        check_key("key", key, *([value] if isinstance(value, str) else []))
    owner, part = object(), f"fold({key!r})"
    claimed = f"{key} in the memory of an epoch" if per_epoch else key
    vars(operator)["claim_on"] = lambda runner: Disposable(
        runner._claims.claim_key("key", claimed, part, owner)
    )
    return operator
