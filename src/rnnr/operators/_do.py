"""Something done with each item."""

from collections.abc import Callable
from typing import Any

from rnnr._callbacks import check_handler
from rnnr._pipeline import Pipeline, Step, stateful, stateless

__all__ = ["do"]


def do(action: Callable[[Any], object]) -> Pipeline[Any, Any]:
    """Call a function with each item, and pass the item on.

    It is ``do_action`` of ReactiveX, which a `pipeline` cannot fuse.

    Args:
        action: Called with each item; a pipeline, too.

    Raises:
        TypeError: If ``action`` cannot be called, or does nothing when it is.

    Example:
        ::

            source:   --1--2--3--|
                      [ do(print) ]
            result:   --1--2--3--|

        >>> from rnnr import Event, Runner
        >>> from rnnr.operators import do, pipeline, select
        >>> runner = Runner()
        >>> subscription = runner.on(Event.BATCH, pipeline(select("batch"), do(print)))
        >>> runner.run([1, 2])
        1
        2
    """
    if not isinstance(action, Pipeline):
        check_handler("action", action)
        return stateless(_step(action))
    if not action.remembers:
        return stateless(_step(action.step), *action.reservations)
    return stateful(lambda: _step(action.make()), *action.reservations)


def _step(action: Callable[[Any], object]) -> Step:
    def step(item: Any) -> Any:
        action(item)
        return item

    step.__qualname__ = f"do({getattr(action, '__qualname__', '...')})"
    return step
