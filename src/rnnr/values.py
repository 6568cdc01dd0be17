"""Values of the state: how a part of the library reads one, and folds many."""

from collections.abc import Callable, Mapping
from copy import copy
from math import isfinite, isnan
from typing import Any, TypeAlias

from rnnr.errors import judge_string, missing_key, wrong_type
from rnnr.state import EPOCH, MISSING, State, epoch_memory

__all__ = ["Reader", "accumulator", "as_json", "number_of", "numbers_in", "reader"]

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


def number_of(value: Any, part: str) -> float:
    """Return a metric as a float, whether it is a float, a NumPy scalar or a tensor of one item.

    ``__float__`` and not ``float()``, which would take a text for the number that it spells.

    Raises:
        TypeError: If it is no number.
    """
    try:
        return _float_of(value)
    except (ArithmeticError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        cure = "give it one number: a float, a NumPy scalar, a tensor of one item"
        raise wrong_type(f"a value for {part}", "a number", value, cure) from error


def numbers_in(values: Mapping[Any, Any]) -> dict[str, float]:
    """Return those of many values that are numbers, as floats, under their names as text."""
    found = {}
    for name, value in values.items():
        try:
            found[str(name)] = value if type(value) is float else _float_of(value)
        except Exception:  # noqa: BLE001, S112  (whatever it is, it is no number)
            continue
    return found


def as_json(number: float) -> float | str:
    """Return a number as strict JSON can hold it: what is not finite as a text."""
    if isfinite(number):
        return number
    return "NaN" if isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _float_of(value: Any) -> float:
    item = getattr(value, "item", None)  # of arrays and tensors, whose __float__ may warn
    return float((item() if item else value).__float__())


def accumulator(
    key: str,
    function: Callable[[Any, Any], Any],
    *,
    value: str | Callable[[State], Any] | None = None,
    initial: Any = MISSING,
    per_epoch: bool = False,
) -> Callable[[State], None]:
    """Make the callback that folds a value of each state into an accumulator.

    The operator `rnnr.operators.fold` applies it to a stream, and explains the arguments; a
    reducer, which has no use for a stream, is this callback.
    """
    judge_string("key", key, "name the key of the accumulator")
    if not callable(function):
        raise wrong_type("function", "callable", function, "pass for example operator.add")
    if value is None:
        if initial is MISSING:
            cure = "pass initial=0, say, or name the value of each state, value='batch'"
            raise wrong_type("initial", "given where value is not", None, cure)
        value = _itself
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

    accumulate.__qualname__ = f"accumulator({key!r})"  # which tells one from another in a table
    return accumulate


def _itself(state: State) -> State:
    return state
