"""Items for which something is true."""

from collections.abc import Callable
from typing import Any, overload

from rnnr._callbacks import check_callback
from rnnr._errors import wrong_type
from rnnr._pipeline import Pipeline, passing, stateless
from rnnr.state import MISSING, State, reader

__all__ = ["when"]


@overload
def when(condition: str) -> Pipeline[State, State]: ...
@overload
def when(condition: Callable[[Any], object]) -> Pipeline[Any, Any]: ...


def when(condition: str | Callable[[Any], object]) -> Pipeline[Any, Any]:
    """Pass on the items for which a condition is true.

    Args:
        condition: Key of the state, or a function of the item, which may be a state.

    Raises:
        TypeError: If ``condition`` is neither a string nor callable.
        KeyError: When a state lacks the key.

    Example:
        ::

            source:   --{ok:1}--{ok:0}--{ok:1}--|
                      [ when("ok") ]
            result:   --{ok:1}----------{ok:1}--|

        >>> from rnnr import Event, Runner
        >>> from rnnr.operators import select, when
        >>> runner = Runner()
        >>> @runner.on(Event.BATCH)
        ... def compare(state):
        ...     state["large"] = state["batch"] > 10
        >>> large = runner.stream(Event.BATCH).pipe(when("large"), select("batch"))
        >>> subscription = large.subscribe(print)
        >>> runner.run([3, 30, 4, 40])
        30
        40
    """
    if callable(condition):
        check_callback("condition", condition)
        name, is_true = getattr(condition, "__qualname__", "..."), condition
    elif not isinstance(condition, str):
        expected, cure = "a key of the state or a function", "write for example when('better')"
        raise wrong_type("condition", expected, condition, cure)
    else:
        name = repr(condition)
        cure = f"set state[{condition!r}] to True or False in an earlier callback"
        is_true = reader(condition, f"when({name})", cure)

    def step(item: Any) -> Any:
        return item if is_true(item) else MISSING

    step.__qualname__ = f"when({name})"
    return passing(stateless(step))
