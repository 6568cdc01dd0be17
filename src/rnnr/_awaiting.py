"""Await what works while it is subscribed to: on a thread, and the event loop goes on."""

import asyncio
import threading
from collections import deque
from contextlib import suppress
from typing import Generic, TypeVar

from reactivex import Observable
from reactivex.disposable import SingleAssignmentDisposable
from reactivex.internal import SequenceContainsNoElementsError
from reactivex.scheduler import CurrentThreadScheduler

from rnnr._context import as_owner
from rnnr._errors import note_failure

__all__ = ["last_item"]

_T = TypeVar("_T")


async def last_item(source: Observable[_T]) -> _T:
    """Subscribe on a thread of our own, wait for the end, and return the last item.

    When it is cancelled it disposes of the subscription and is cancelled after the end of it,
    for which it waits however often it is cancelled meanwhile.

    Args:
        source: What to subscribe to.

    Raises:
        SequenceContainsNoElementsError: If there was no item.
        BaseException: What the source fails with.
    """
    work = _Work(source)
    cancelled: asyncio.CancelledError | None = None
    work.thread.start()
    try:
        while not work.ended.is_set():
            try:
                await work.ended.wait()
            except asyncio.CancelledError as error:
                cancelled = cancelled or error
                work.dispose()
        work.thread.join()  # it has done all but its end
        if work.errors:
            raise work.error()
        if cancelled is not None:
            raise cancelled
        if not work.items:
            raise SequenceContainsNoElementsError
        return work.items[0]
    finally:  # an event loop that is closed before the end closes the coroutine
        work.dispose()
        del work, cancelled  # a traceback that holds its own exception keeps the state alive


class _Work(Generic[_T]):
    """A subscription on a thread of its own, and what comes of it.

    The thread is not a daemon: a process that ends waits for the end of what it has stopped.
    """

    def __init__(self, source: Observable[_T]) -> None:
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._subscription = SingleAssignmentDisposable()
        self._over = threading.Event()  # told of its end, or disposed of
        self.ended = asyncio.Event()  # and the thread has nothing more to do
        self.items: deque[_T] = deque(maxlen=1)
        self.errors: list[BaseException] = []
        self.thread = threading.Thread(target=as_owner(self._run), name="rnnr run")

    def dispose(self) -> None:
        """End what has not ended."""
        self._subscription.dispose()
        self._over.set()

    def error(self) -> BaseException:
        """Hand over the first error, with the others as notes."""
        first, *others = self.errors
        self.errors.clear()  # it leads to this through its traceback
        for other in others:
            note_failure(first, other, "the end of the run")
        return first

    def _run(self) -> None:
        try:
            # On the trampoline it begins when it can be disposed of, as a run in a source does.
            CurrentThreadScheduler.singleton().schedule(self._subscribe)
            self._over.wait()  # `delay`, say, tells of the end later and elsewhere
        except BaseException as error:  # noqa: BLE001  (raised where it is awaited)
            self.errors.append(error)
        finally:
            with suppress(RuntimeError):  # the loop is closed, and nobody waits
                self._loop.call_soon_threadsafe(self.ended.set)

    def _subscribe(self, *_: object) -> None:
        self._subscription.disposable = self._source.subscribe(
            self.items.append, self._fail, self._over.set
        )

    def _fail(self, error: Exception) -> None:
        self.errors.append(error)
        self._over.set()
