"""Values of the state: how a part of the library reads one, and folds many."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, TypeAlias

from rnnr._numbers import own
from rnnr.errors import judge_string, missing_key, wrong_type
from rnnr.state import EPOCH, MISSING, State, epoch_memory

__all__ = ["Reader", "accumulator", "reader"]

Reader: TypeAlias = Callable[[State], Any]


def reader(key: str, part: str, cure: str) -> Reader:
    """Make the function with which a part of the library reads a key of the state.

    Args:
        key: Key to read.
        part: Who reads it, for the message if it is missing.
        cure: What to do then.

    Raises:
        TypeError: If the key is no string.
        KeyError: From the function, if a state lacks the key.
    """
    judge_string(f"a key of the state for {part}", key, "write its name")

    def read(state: State) -> Any:
        try:
            return state[key]
        except KeyError:
            raise missing_key(key, part, state, cure) from None
        except TypeError:
            if isinstance(state, Mapping):
                raise
            remedy = "after runner.observe(...) put states(Event.BATCH) before it"
            raise wrong_type(f"what comes to {part}", "a state", state, remedy) from None

    return read


def accumulator(
    key: str,
    function: Callable[[Any, Any], Any],
    *,
    value: str | Callable[[State], Any] | None = None,
    initial: Any = MISSING,
    per_epoch: bool = False,
    first: Callable[[Any], Any] = own,
) -> Callable[[State], None]:
    """Make the callback that folds a value of each state into an accumulator.

    The operator `rnnr.operators.fold` applies it to a stream, and explains the arguments; a
    reducer, which has no use for a stream, is this callback. Without ``initial`` the accumulator
    begins as what ``first`` makes of the first value: a copy, for the value may be a buffer.
    """
    judge_string("key", key, "name the key of the accumulator")
    if not callable(function):
        raise wrong_type("function", "callable", function, "pass for example operator.add")
    if value is None:
        if initial is MISSING:
            cure = "pass initial=0, say, or name the value of each state, value='batch'"
            raise wrong_type("initial", "given where value is not", None, cure)
        value = _itself
    if initial is not MISSING:
        _check_copyable(initial)
    if not callable(value):
        cure = f"set state[{value!r}] in an earlier callback"
        value = reader(value, f"fold({key!r})", cure)
    read = value
    if first is own:
        function = _kept_as_our_own(function)

    def accumulate(state: State) -> None:
        # every batch of every reducer comes here: the call is for the state that has no memory
        memory = (state.get(EPOCH) or epoch_memory(state)) if per_epoch else state
        before = memory.get(key, MISSING)
        if before is MISSING:
            if initial is MISSING:
                memory[key] = first(read(state))
                return
            before = deepcopy(initial)  # the function may change it in place
        memory[key] = function(before, read(state))

    accumulate.__qualname__ = f"accumulator({key!r})"  # which tells one from another in a table
    return accumulate


def _itself(state: State) -> State:
    return state


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
