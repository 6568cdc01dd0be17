"""Something done with each item."""

from collections.abc import Callable
from typing import Any

from rnnr._errors import wrong_type
from rnnr._pipeline import Pipeline, stateless

__all__ = ["do"]


def do(action: Callable[[Any], object]) -> Pipeline[Any, Any]:
    """Call a function with each item, and pass the item on.

    It is ``do_action`` of ReactiveX, which a `pipeline` cannot fuse.

    Args:
        action: Called with each item.

    Raises:
        TypeError: If ``action`` cannot be called.

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
    if not callable(action):
        raise wrong_type("action", "callable", action, "pass a function of one item, such as print")

    def step(item: Any) -> Any:
        action(item)
        return item

    step.__qualname__ = f"do({getattr(action, '__qualname__', '...')})"
    return stateless(step)
