"""Iterate over what an Observable emits, in an event loop."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from threading import Lock
from typing import Generic, TypeVar

from reactivex import Observable

from rnnr._errors import as_integer, wrong_type, wrong_value
from rnnr.scheduling import InPlaceObservable

__all__ = ["Items", "aiterate"]

_T = TypeVar("_T")


def aiterate(source: Observable[_T], size: int = 1000) -> "Items[_T]":
    """Return an async iterator over what an Observable emits.

    It subscribes at once, and takes items from any thread. The source never waits for the event
    loop: where ``size`` items wait to be taken, the oldest one is dropped and counted, so that a
    training is as fast as without. The iteration ends when the source completes, and raises its
    error. It unsubscribes when the iterator is gone, as after ``break``, or by ``aclose()``.

    Args:
        source: Observable, such as `rnnr.reporting.reports`.
        size: Number of items that may wait, 1 or more.

    Raises:
        TypeError: If ``source`` is not an Observable, or ``size`` is not an integer.
        ValueError: If ``size`` is less than 1, or if the source is a run that begins on subscribe,
            which would block the event loop.
        RuntimeError: If no event loop is running.

    Example:
        >>> import asyncio
        >>> from reactivex import operators as ops
        >>> from rnnr import Event, Runner
        >>> from rnnr.aio import aiterate, arun
        >>> from rnnr.reporting import reports
        >>> runner = Runner()
        >>> async def watch():
        ...     told = reports(runner, on=Event.EPOCH_FINISHED).pipe(ops.take(2))
        ...     async with asyncio.TaskGroup() as tasks:
        ...         items = aiterate(told)
        ...         tasks.create_task(arun(runner, "abc", max_epoch=2))
        ...         async for report in items:
        ...             print(report.epoch, report.n_iters)
        ...         print("dropped:", items.n_dropped)
        >>> asyncio.run(watch())
        1 3
        2 6
        dropped: 0
    """
    if not isinstance(source, Observable):
        cure = "write for example aiterate(reports(runner))"
        raise wrong_type("source", "an Observable", source, cure)
    if isinstance(source, InPlaceObservable) and source.works_in_subscribe:
        cure = "await arun(runner, batches), and iterate over reports(runner) meanwhile"
        raise wrong_value("source", "an Observable that does not run on subscribe", source, cure)
    return Items(source, as_integer("size", size, 1, "pass how many items may wait"))


class Items(AsyncIterator[_T]):
    """What an Observable emits, as an async iterator; made by `aiterate`.

    Attributes:
        n_dropped (int): Number of items that were dropped, because newer ones needed the room.

    Example:
        See `aiterate`.
    """

    def __init__(self, source: Observable[_T], size: int) -> None:
        self._inbox = _Inbox[_T](size)  # the source must not keep the iterator alive
        inbox = self._inbox
        self._subscription = source.subscribe(inbox.add, inbox.end, inbox.end)

    @property
    def n_dropped(self) -> int:
        """See the attributes of the class."""
        return self._inbox.n_dropped

    async def __anext__(self) -> _T:
        return await self._inbox.next()

    async def aclose(self) -> None:
        """Unsubscribe, and end the iteration when the items that are there are taken."""
        self._subscription.dispose()
        self._inbox.end()

    def __del__(self) -> None:
        # If the source has refused the subscription, there is nothing to dispose of.
        if "_subscription" in vars(self):
            self._subscription.dispose()


class _Inbox(Generic[_T]):
    """The items that nobody has taken yet; they come from any thread."""

    def __init__(self, size: int) -> None:
        self.n_dropped = 0
        self._items = deque[_T]()
        self._size = size
        self._outcome: tuple[BaseException | None] | None = None
        self._lock = Lock()
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._is_awaited = False

    def add(self, item: _T) -> None:
        with self._lock:
            if len(self._items) == self._size:
                self._items.popleft()
                self.n_dropped += 1
            self._items.append(item)
            self._notify()

    def end(self, error: BaseException | None = None) -> None:
        with self._lock:
            if self._outcome is None:
                self._outcome = (error,)
            self._notify()

    async def next(self) -> _T:
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(
                "items are taken in one event loop: expected that in which aiterate was called, "
                "got another one; call aiterate there"
            )
        while True:
            with self._lock:
                if self._items:
                    return self._items.popleft()
                if self._outcome is not None:
                    (error,), self._outcome = self._outcome, (None,)
                    if isinstance(error, StopIteration | StopAsyncIteration):  # taken for the end
                        name = type(error).__name__
                        raise RuntimeError(f"the source of the items raised {name}") from error
                    if error is not None:
                        raise error
                    raise StopAsyncIteration
                self._changed.clear()
                self._is_awaited = True
            await self._changed.wait()

    def _notify(self) -> None:
        """Wake the loop, if it waits: it costs more than all the rest."""
        if self._is_awaited:
            self._is_awaited = False
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._changed.set)
