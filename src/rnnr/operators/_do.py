"""Something done with each item."""

from collections.abc import Callable
from typing import Any

from rnnr._pipeline import Pipeline, as_handler, stateless

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
    call = as_handler("action", action)

    def step(item: Any) -> Any:
        call(item)
        return item

    step.__qualname__ = f"do({getattr(action, '__qualname__', '...')})"
    return stateless(step, *getattr(action, "reservations", ()))
