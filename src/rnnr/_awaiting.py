"""Await what blocks: it runs on its own thread, and the event loop goes on."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import deque
from contextlib import suppress
from typing import Generic, TypeVar

from reactivex import Observable
from reactivex.disposable import SingleAssignmentDisposable
from reactivex.internal import SequenceContainsNoElementsError
from reactivex.scheduler import CurrentThreadScheduler

from rnnr._context import as_owner
from rnnr._errors import note_failure

__all__ = ["Work", "done", "last_item"]

_T = TypeVar("_T")


class Work(ABC):
    """What blocks, on its own thread.

    The thread has the context variables and settings of the thread that makes it. It is not a
    daemon: at exit, the process waits until the stopped run has ended.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.ended = asyncio.Event()  # the thread has nothing more to do
        self.errors: list[BaseException] = []
        self.thread = threading.Thread(target=as_owner(self._run), name="rnnr run")

    @abstractmethod
    def do(self) -> None:
        """Do the work."""

    @abstractmethod
    def cancel(self) -> None:
        """Let the work end soon, if it has not ended yet; called on the thread of the loop."""

    def error(self) -> BaseException:
        """Return the first error, with the others as notes."""
        first, *others = self.errors
        self.errors.clear()  # the traceback of the error refers to this list
        for other in others:
            note_failure(first, other, "the end of the run")
        return first

    def _run(self) -> None:
        try:
            self.do()
        except BaseException as error:  # noqa: BLE001  (raised where it is awaited)
            self.errors.append(error)
        finally:
            with suppress(RuntimeError):  # the loop is closed, so nothing awaits the result
                self._loop.call_soon_threadsafe(self.ended.set)


async def done(work: Work) -> None:
    """Start the work, and wait for its end.

    A cancellation is passed on to the work, and raised when that has ended. Further cancellations
    do not shorten this wait.

    Raises:
        BaseException: Whatever the work raises.
    """
    cancelled: asyncio.CancelledError | None = None
    work.thread.start()
    try:
        while not work.ended.is_set():
            try:
                await work.ended.wait()
            except asyncio.CancelledError as error:
                cancelled = cancelled or error
                work.cancel()
        work.thread.join()  # it has only to exit
        if work.errors:
            raise work.error()
        if cancelled is not None:
            raise cancelled
    finally:  # an event loop that is closed too early closes this coroutine
        work.cancel()
        del work, cancelled  # a traceback that holds its own exception keeps the state alive


async def last_item(source: Observable[_T]) -> _T:
    """Subscribe on a new thread, wait for the end, and return the last item.

    A cancellation disposes of the subscription.

    Args:
        source: Observable to subscribe to.

    Raises:
        SequenceContainsNoElementsError: If the source emits no item.
        BaseException: Whatever the source fails with.
    """
    work = _Subscription(source)
    items = work.items
    try:
        await done(work)
    finally:
        del work  # as above
    if not items:
        raise SequenceContainsNoElementsError
    return items[0]


class _Subscription(Work, Generic[_T]):
    """A subscription, and its last item."""

    def __init__(self, source: Observable[_T]) -> None:
        super().__init__()
        self._source = source
        self._subscription = SingleAssignmentDisposable()
        self._is_over = threading.Event()  # the source has ended, or was disposed of
        self.items: deque[_T] = deque(maxlen=1)

    def do(self) -> None:
        """Subscribe, and wait for the end: `delay`, say, ends later, on another thread."""
        # On the trampoline it begins once it can be disposed of, like a run inside a source.
        CurrentThreadScheduler.singleton().schedule(self._subscribe)
        self._is_over.wait()

    def cancel(self) -> None:
        """Dispose of the subscription, and let the thread end."""
        self._subscription.dispose()
        self._is_over.set()

    def _subscribe(self, *_: object) -> None:
        self._subscription.disposable = self._source.subscribe(
            self.items.append, self._fail, self._is_over.set
        )

    def _fail(self, error: Exception) -> None:
        self.errors.append(error)
        self._is_over.set()
