"""Items in lists."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from reactivex import Observable, abc

from rnnr._errors import as_integer, warn_user

__all__ = ["chunk"]

_T = TypeVar("_T")

_REUSED: Final = (
    "chunk needs items of their own, got one dict again and again, so that its lists hold the "
    "newest values alone; put select('batch') before it, say, or take every n-th state by every(n)"
)


def chunk(n: int) -> Callable[[Observable[_T]], Observable[list[_T]]]:
    """Collect items into lists of n.

    A stream that completes passes on the rest as a last, shorter list; the stream of an
    event never does, so the rest waits for the next run. It does what ``buffer_with_count(n)`` of
    ReactiveX does, without the window around each list, which makes that one many times dearer.

    States are one dict over and over: `select` first what the list is to hold. A list that holds
    one dict several times is warned of once.

    Args:
        n: Number of items in a list.

    Raises:
        TypeError: If ``n`` is not an integer.
        ValueError: If ``n`` is below 1.

    Example:
        ::

            source:   --1--2--3--4--5--6--7-------|
                      [ chunk(3) ]
            result:   --------[1,2,3]--[4,5,6]-[7]|

        >>> from rnnr import Event, Runner
        >>> from rnnr.operators import chunk, select
        >>> runner = Runner()
        >>> threes = runner.stream(Event.BATCH).pipe(select("batch"), chunk(3))
        >>> subscription = threes.subscribe(print)
        >>> runner.run(range(7))
        [0, 1, 2]
        [3, 4, 5]
    """
    n = as_integer("n", n, 1, "pass how many items make a list")

    def operator(source: Observable[_T]) -> Observable[list[_T]]:
        def subscribe(
            observer: abc.ObserverBase[list[_T]], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            items: list[_T] = []
            is_warned = False

            def on_next(item: _T) -> None:
                nonlocal items, is_warned
                items.append(item)
                if len(items) == n:
                    full, items = items, []
                    if not is_warned and full[0] is full[-1] and _is_reused(full):
                        is_warned = True
                        warn_user(_REUSED)
                    observer.on_next(full)

            def on_completed() -> None:
                if items:
                    observer.on_next(items)
                observer.on_completed()

            return source.subscribe(on_next, observer.on_error, on_completed, scheduler=scheduler)

        return Observable(subscribe)

    return operator


def _is_reused(items: list[Any]) -> bool:
    """Return whether a list of several holds one dict, such as the state, in all places."""
    return len(items) > 1 and isinstance(items[0], dict)
