"""The state of a run: one plain dict, and the keys in it that are rnnr's own.

======================  ==================================================================
key                     what it holds
======================  ==================================================================
``batches``             the iterable whose items make an epoch
``max_epoch``           how many epochs to run
``n_iters``             batches drawn since the run began
``running``             ``False`` stops the run at the next gate
``epoch``               the number of the current epoch, from 1
``batch``               the current batch
``error``               the exception, only while ``Event.FAILED`` is being delivered
``_epoch``              memory that lives for one epoch (see `epoch_memory`)
``_counter``            `maybe_stop_early`: failures in a row (the name is its argument)
``_saved_{what}``       `checkpoint`: the files kept (the name is its argument)
======================  ==================================================================
"""

from collections.abc import Callable
from copy import copy
from typing import Any, Final, TypeAlias

from rnnr.errors import missing_key, wrong_type

__all__ = [
    "EPOCH",
    "MISSING",
    "Reader",
    "State",
    "accumulator",
    "close_epoch",
    "epoch_memory",
    "is_open",
    "n_drawn",
    "open_epoch",
    "reader",
]

State: TypeAlias = dict[str, Any]
Reader: TypeAlias = Callable[[State], Any]

MISSING: Final = object()
"""Stands for "no value yet" where ``None`` is a value."""

EPOCH: Final = "_epoch"
"""Key of the memory that lives for one epoch."""


def epoch_memory(state: State) -> dict[str, Any]:
    """Return the dict in the state that lives for one epoch.

    Reducers keep their accumulators here, a bar its position, the timer its clock. It is
    a new dict in every epoch, so nothing has to be reset, and a pickled state carries it. Keys
    that start with an underscore are rnnr's own.
    """
    memory: dict[str, Any] = state.setdefault(EPOCH, {})
    return memory


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
    if not isinstance(key, str):
        raise wrong_type(f"a key of the state for {part}", "a string", key, "write its name")

    def read(state: State) -> Any:
        try:
            return state[key]
        except KeyError:
            raise missing_key(key, part, state, cure) from None

    return read


def accumulator(
    key: str,
    function: Callable[[Any, Any], Any],
    *,
    value: str | Callable[[State], Any],
    initial: Any = MISSING,
    per_epoch: bool = False,
) -> Callable[[State], None]:
    """Make the callback that folds a value of each state into an accumulator.

    The operator `rnnr.operators.fold` applies it to a stream, and explains the arguments; a
    reducer, which has no use for a stream, is this callback.
    """
    if not isinstance(key, str):
        raise wrong_type("key", "a string", key, "name the key of the accumulator")
    if not callable(function):
        raise wrong_type("function", "callable", function, "pass for example operator.add")
    if not callable(value):
        cure = f"set state[{value!r}] in an earlier callback"
        value = reader(value, f"fold({key!r})", cure)
    read = value

    def accumulate(state: State) -> None:
        # every batch of every reducer comes here: the call is for the state that has no memory
        memory = (state.get(EPOCH) or epoch_memory(state)) if per_epoch else state
        before = memory.get(key, MISSING)
        if before is MISSING:
            if initial is MISSING:
                memory[key] = read(state)
                return
            before = copy(initial)  # the function may change it in place
        memory[key] = function(before, read(state))

    return accumulate


def open_epoch(state: State) -> None:
    """Begin an epoch: its memory is empty, no batch has been drawn."""
    state.update({"epoch": state["epoch"] + 1, EPOCH: {"_open": True}})


def close_epoch(state: State) -> None:
    """End an epoch: its batches are exhausted. Its memory stays until the next one begins."""
    epoch_memory(state)["_open"] = False


def is_open(state: State) -> bool:
    """Tell whether the epoch still has batches, or its end, to deliver."""
    return bool(epoch_memory(state).get("_open"))


def n_drawn(state: State) -> int:
    """Return how many batches the open epoch has drawn.

    It is the distance of ``n_iters`` from its value at the first draw: a counter of its own
    would cost every batch a tenth of the loop, to agree with this one.
    """
    n_iters: int = state["n_iters"]
    first: int = epoch_memory(state).get("_first_iter", n_iters)
    return max(0, n_iters - first)
