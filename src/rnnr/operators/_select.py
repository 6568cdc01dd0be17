"""Values out of the state."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from rnnr._callbacks import check_callback
from rnnr._errors import wrong_value
from rnnr._frozen import Frozen
from rnnr._pipeline import Pipeline, passing, stateless
from rnnr.state import State, reader

__all__ = ["select"]


_B = TypeVar("_B")


@overload
def select(key: str, /) -> Pipeline[State, Any]: ...
@overload
def select(function: Callable[[Any], _B], /) -> Pipeline[Any, _B]: ...
@overload
def select(key: str, other: str, /, *more: str) -> Pipeline[State, Mapping[str, Any]]: ...
@overload
def select(*keys: str) -> Pipeline[State, Any]: ...


def select(*keys: Any) -> Pipeline[Any, Any]:
    """Turn each state into what it holds under some keys, or into what a function returns.

    The state is one dict that every event shares and changes: whatever remembers items
    (``pairwise``, ``buffer``, ``distinct_until_changed``), or looks at them from another thread,
    needs a value of its own.

    Args:
        keys: One key for its value; a function of the state, or of any other item, for what it
            returns; several keys for an immutable dict of those keys, which
            pickles and becomes JSON if its values do. The values themselves are not copied: weights
            that training changes in place change there, too. ``dict(...)`` of it takes changes.

    Raises:
        TypeError: If a key is not a string, nor one function.
        ValueError: If no key is given.
        KeyError: When a state lacks a key.

    Example:
        ::

            source:   --{a:1,b:2}--------{a:3,b:4}--|
                      [ select("a") ]
            result:   ------1----------------3------|

        >>> from rnnr import Event, Runner
        >>> from rnnr.operators import select
        >>> runner = Runner()
        >>> one = runner.stream(Event.BATCH).pipe(select("batch")).subscribe(print)
        >>> both = runner.stream(Event.BATCH).pipe(select("n_iters", "batch")).subscribe(print)
        >>> runner.run("x")
        x
        {'n_iters': 1, 'batch': 'x'}
    """
    if not keys:
        raise wrong_value("keys", "one key or more", keys, "name what to take from the state")
    if len(keys) == 1 and callable(keys[0]):
        check_callback("function", keys[0])
        return stateless(keys[0])
    part = f"select({', '.join(map(repr, keys))})"
    cure = "set it before this event, or select another key"
    readers = [(key, reader(key, part, cure)) for key in keys]

    def read_all(state: State) -> Mapping[str, Any]:
        return Frozen({key: read(state) for key, read in readers})

    step = readers[0][1] if len(readers) == 1 else read_all
    step.__qualname__ = part
    return passing(stateless(step))
