"""A reduction whose accumulator lives in the state."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from reactivex.disposable import Disposable

from rnnr._errors import check_string, wrong_type, wrong_value
from rnnr._numbers import own
from rnnr._pipeline import Pipeline, Reservation, stateless
from rnnr.state import EPOCH, MISSING, State, check_key, epoch_memory, reader, wrong_item

__all__ = ["fold", "folding"]


def fold(
    key: str,
    function: Callable[[Any, Any], Any],
    *,
    value: str | Callable[[State], Any] | None = None,
    initial: Any = MISSING,
    per_epoch: bool = False,
) -> Pipeline[State, State]:
    """Accumulate a value of each state in ``state[key]``, and pass the state on.

    It is ``scan`` with its memory in the state, so that the accumulator survives a pickle and
    a resume, and can be read by everybody. So two subscriptions of one stream fold twice: put
    ``ops.share()`` after it, or attach it once and read the key. A second `rnnr.Runner.run` goes on
    from the accumulator that is there, unless you delete it.

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
    if not per_epoch:
        check_key("key", key, *([value] if isinstance(value, str) else []))
    owner, part = object(), f"fold({key!r})"
    reserved = f"{key} in the memory of an epoch" if per_epoch else key

    def reserve(runner: Any) -> Disposable:
        return Disposable(runner._keys.reserve("key", reserved, part, owner))

    return folding(
        key, function, reserve, value=value, initial=initial, per_epoch=per_epoch, name=part
    )


def folding(
    key: str,
    function: Callable[[Any, Any], Any],
    *reservations: Reservation,
    value: str | Callable[[State], Any] | None = None,
    initial: Any = MISSING,
    per_epoch: bool = False,
    first: Callable[[Any], Any] = own,
    latest: str | None = None,
    name: str,
) -> Pipeline[State, State]:
    """Make a `fold` for a part of rnnr: its key is not checked.

    Args:
        key: As for `fold`, and so for what is not listed here.
        function: As for `fold`.
        reservations: What it reserves on a runner.
        value: As for `fold`.
        initial: As for `fold`.
        per_epoch: As for `fold`.
        first: Without ``initial``, makes the first accumulator of the first value. By default it
            is a copy, since the value may be a buffer.
        latest: With ``per_epoch``, key of the number of the batch that was accumulated last.
        name: What it is called in messages and in a table of handlers.
    """
    check_string("key", key, "name the key of the accumulator")
    if not callable(function):
        raise wrong_type("function", "callable", function, "pass for example operator.add")
    if value is None and initial is MISSING and first is own:
        cure = "pass initial=0, say, or name the value of each state, value='batch'"
        raise wrong_type("initial", "given where value is not", None, cure)
    if initial is not MISSING:
        _check_copyable(initial)
    if value is not None and not callable(value):
        cure = f"set state[{value!r}] in an earlier callback"
        value = reader(value, name, cure)
    read = value  # None: the function gets the state itself
    if first is own:
        function = _kept_as_our_own(function)

    def begin(memory: dict[str, Any], state: State) -> State:
        if initial is MISSING:
            memory[key] = first(read(state) if read else state)
        else:  # a copy, since the function may change it in place
            memory[key] = function(deepcopy(initial), read(state) if read else state)
        if latest:
            memory[latest] = state["n_iters"]
        return state

    # Each batch of each fold and reducer comes here: two functions, since a question costs time.
    def fold_in_the_state(state: State) -> State:
        try:
            before = state.get(key, MISSING)  # not state[key], which a defaultdict would make
        except AttributeError:
            raise wrong_item(name, state) from None
        if before is MISSING:
            return begin(state, state)
        state[key] = function(before, read(state) if read else state)
        return state

    def fold_in_the_epoch(state: State) -> State:
        try:
            memory = state[EPOCH]
            before = memory[key]
        except KeyError:
            before = MISSING
        except TypeError:
            raise wrong_item(name, state) from None
        if before is MISSING:
            return begin(epoch_memory(state), state)
        memory[key] = function(before, read(state) if read else state)
        if latest:
            memory[latest] = state["n_iters"]
        return state

    accumulate = fold_in_the_epoch if per_epoch else fold_in_the_state
    accumulate.__qualname__ = name
    return stateless(accumulate, *reservations)


def _kept_as_our_own(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Copy what a function returns where that is the value itself, as `max` does: a buffer."""

    def step(before: Any, value: Any) -> Any:
        after = function(before, value)
        return own(after) if after is value else after

    return step


def _check_copyable(initial: object) -> None:
    """Raise unless each fold can begin with a copy of its own."""
    try:
        deepcopy(initial)
    except Exception as error:
        cure = "pass plain values, or make the first accumulator in the function"
        raise wrong_type("initial", "one that can be copied", initial, cure) from error
