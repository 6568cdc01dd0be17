"""Await an Observable that blocks: it runs on its own thread, and the event loop goes on."""

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
    """Subscribe on a new thread, wait for the end, and return the last item.

    A cancellation disposes of the subscription, waits for its end, and is raised then. Further
    cancellations do not shorten this wait.

    Args:
        source: Observable to subscribe to.

    Raises:
        SequenceContainsNoElementsError: If the source emits no item.
        BaseException: Whatever the source fails with.
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
        work.thread.join()  # it has only to exit
        if work.errors:
            raise work.error()
        if cancelled is not None:
            raise cancelled
        if not work.items:
            raise SequenceContainsNoElementsError
        return work.items[0]
    finally:  # an event loop that is closed too early closes this coroutine
        work.dispose()
        del work, cancelled  # a traceback that holds its own exception keeps the state alive


class _Work(Generic[_T]):
    """A subscription on its own thread, and its result.

    The thread is not a daemon: at exit, the process waits until the stopped run has ended.
    """

    def __init__(self, source: Observable[_T]) -> None:
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._subscription = SingleAssignmentDisposable()
        self._is_over = threading.Event()  # the source has ended, or was disposed of
        self.ended = asyncio.Event()  # the thread has nothing more to do
        self.items: deque[_T] = deque(maxlen=1)
        self.errors: list[BaseException] = []
        self.thread = threading.Thread(target=as_owner(self._run), name="rnnr run")

    def dispose(self) -> None:
        """Dispose of the subscription, and let the thread end."""
        self._subscription.dispose()
        self._is_over.set()

    def error(self) -> BaseException:
        """Return the first error, with the others as notes."""
        first, *others = self.errors
        self.errors.clear()  # the traceback of the error refers to this list
        for other in others:
            note_failure(first, other, "the end of the run")
        return first

    def _run(self) -> None:
        try:
            # On the trampoline it begins once it can be disposed of, like a run inside a source.
            CurrentThreadScheduler.singleton().schedule(self._subscribe)
            self._is_over.wait()  # `delay`, say, ends later, on another thread
        except BaseException as error:  # noqa: BLE001  (raised where it is awaited)
            self.errors.append(error)
        finally:
            with suppress(RuntimeError):  # the loop is closed, so nothing awaits the result
                self._loop.call_soon_threadsafe(self.ended.set)

    def _subscribe(self, *_: object) -> None:
        self._subscription.disposable = self._source.subscribe(
            self.items.append, self._fail, self._is_over.set
        )

    def _fail(self, error: Exception) -> None:
        self.errors.append(error)
        self._is_over.set()
