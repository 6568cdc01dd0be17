"""States for which a key holds something true."""

from collections.abc import Callable

from reactivex import Observable
from reactivex import operators as ops

from rnnr.state import State, reader

__all__ = ["when"]


def when(key: str) -> Callable[[Observable[State]], Observable[State]]:
    """Pass the states on whose ``state[key]`` is true.

    Args:
        key: Key of the condition.

    Raises:
        TypeError: If ``key`` is no string.
        KeyError: When a state lacks the key.

    Example:
        ::

            source:   --{ok:1}--{ok:0}--{ok:1}--|
                      [ when("ok") ]
            result:   --{ok:1}----------{ok:1}--|

        >>> from rnnr import Event, Runner
        >>> from rnnr.operators._select import select
        >>> from rnnr.operators._when import when
        >>> runner = Runner()
        >>> @runner.on(Event.BATCH)
        ... def judge(state):
        ...     state["large"] = state["batch"] > 10
        >>> large = runner.stream(Event.BATCH).pipe(when("large"), select("batch"))
        >>> subscription = large.subscribe(print)
        >>> runner.run([3, 30, 4, 40])
        30
        40
    """
    cure = f"set state[{key!r}] to True or False in an earlier callback"
    return ops.filter(reader(key, f"when({key!r})", cure))
