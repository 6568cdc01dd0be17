"""Producers: each kind of source fills the buffer, by iterating, subscribing or awaiting."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextlib import suppress
from functools import partial
from threading import Thread, current_thread
from typing import Any, Final, cast

from reactivex import Observable
from reactivex.disposable import Disposable, SingleAssignmentDisposable
from reactivex.scheduler import CurrentThreadScheduler

from rnnr._context import as_owner
from rnnr.scheduling import InPlaceObservable
from rnnr.sources._buffer import Buffer
from rnnr.sources._kinds import is_closed_by_a_pause

__all__ = ["AsyncProducer", "IterableProducer", "ObservableProducer"]


JOIN_TIMEOUT: Final = 1.0
"""Seconds to wait for the thread of a paused producer; a blocked thread is left to itself."""


class Producer(ABC):
    """One run of a producer on its own thread: to the end of the source, or to a pause.

    The thread has the context variables and settings of the thread that makes the producer.

    Args:
        buffer: Buffer to fill.
    """

    def __init__(self, buffer: Buffer) -> None:
        self.buffer = buffer
        self.is_paused = False
        self.failure: BaseException | None = None  # raised after the pause
        self.subscription = SingleAssignmentDisposable()
        self.notify_room: Callable[[], object] = _no_op
        self.thread = Thread(target=as_owner(self._run), name="rnnr source", daemon=True)

    @abstractmethod
    def produce(self) -> None:
        """Add items until the source ends, or the producer is paused."""

    @property
    def is_closed_for_good(self) -> bool:
        """Whether no other producer can continue with the source after a pause."""
        return False

    def try_resume(self) -> bool:
        """Continue after a pause if the thread can; return whether it does. Needs the lock."""
        return False

    def end(self, error: BaseException | None = None) -> None:
        """Store how the source ended, unless a pause has made it end."""
        with self.buffer.lock:
            if not self.is_paused:
                self.buffer.end(error)

    def fail(self, error: BaseException) -> None:
        """Store an error that left `produce`; after a pause, for the caller of ``pause``."""
        if self.is_paused:
            self.failure = error
        else:
            self.end(error)

    def join(self) -> None:
        """Wait for the end of the thread, unless it is blocked for longer than `JOIN_TIMEOUT`."""
        if self.thread.is_alive() and self.thread is not current_thread():
            self.thread.join(JOIN_TIMEOUT)

    def _run(self) -> None:
        try:
            self.produce()
        except ProducerPaused:
            pass
        except BaseException as error:  # noqa: BLE001  (the consumer raises it)
            self.fail(error)


class ProducerPaused(BaseException):
    """Ends a loop inside ``subscribe`` on our own thread; only that source sees it."""


def _no_op() -> None:
    """Do nothing: the producer is not waiting for room."""


class IterableProducer(Producer):
    """Loads the items of an iterable, each as soon as there is room for it."""

    def __init__(self, buffer: Buffer, source: Iterable[Any]) -> None:
        super().__init__(buffer)
        self._source = source
        self._is_ending = False

    def produce(self) -> None:
        """Load items, from the position of the previous producer."""
        buffer = self.buffer
        while self._should_continue():
            if buffer.iterator is None:
                buffer.iterator = iter(self._source)
            try:
                item = next(buffer.iterator)
            except StopIteration:
                return self.end()
            with buffer.lock:
                buffer.add(item)
            del item  # not kept alive while the next one is loaded, or waits for room
        return None

    def _should_continue(self) -> bool:
        with self.buffer.lock:
            self.buffer.changed.wait_for(lambda: self.is_paused or self.buffer.has_room())
            self._is_ending = self.is_paused
            return not self.is_paused

    def try_resume(self) -> bool:
        """Continue if the thread is still loading: no other thread may load at the same time."""
        if self.thread.is_alive() and not self._is_ending:
            self.is_paused = False
        return not self.is_paused

    def end(self, error: BaseException | None = None) -> None:
        """Store how the iterator ended, also after a pause, since it ends only once."""
        with self.buffer.lock:
            self._is_ending = True
            self.buffer.end(error)

    def fail(self, error: BaseException) -> None:
        """Store an error, also after a pause."""
        self.end(error)


class ObservableProducer(Producer):
    """Subscribes to an Observable, whose items may come from any thread.

    An Observable that begins from its beginning for each observer has to skip the items that were
    received before. A live one has not; its items are accepted after a pause, too, while there is
    room.
    """

    def __init__(self, buffer: Buffer, source: Observable[Any], live: bool) -> None:
        super().__init__(buffer)
        buffer.skip = 0 if live else buffer.received
        self._source = source
        self._live = live
        self._is_subscribed = False

    def produce(self) -> None:
        """Subscribe; a source that emits inside ``subscribe`` occupies the thread to its end.

        After a pause an exception ends it. A run that is the source of this one needs none: it
        begins once it can be disposed of, and is stopped.
        """
        if isinstance(self._source, InPlaceObservable):
            CurrentThreadScheduler.singleton().schedule(self._subscribe)
        else:
            self._subscribe()

    def _subscribe(self, *_: object) -> None:
        self.subscription.disposable = self._source.subscribe(self._add, self.end, self.end)
        self._is_subscribed = True

    def _add(self, item: Any) -> None:
        buffer = self.buffer
        with buffer.lock:
            if self.is_paused:
                is_accepted = self._live and buffer.has_room()
            else:
                buffer.changed.wait_for(lambda: self.is_paused or buffer.has_room())
                is_accepted = self._live or buffer.producer is self
            if is_accepted:
                buffer.add(item)
        # A loop inside subscribe cannot check whether it was disposed of, so an exception ends it,
        # but only on our own thread: on another thread its owner would have to handle it.
        if self.is_paused and not self._is_subscribed and current_thread() is self.thread:
            raise ProducerPaused


class AsyncProducer(Producer):
    """Runs an event loop, which draws from an async iterable while there is room."""

    def __init__(self, buffer: Buffer, source: AsyncIterable[Any], live: bool) -> None:
        super().__init__(buffer)
        self._source = source
        self._live = live
        buffer.skip = 0 if live or hasattr(type(source), "__anext__") else buffer.received

    @property
    def is_closed_for_good(self) -> bool:
        """Whether it is an iterator, whose position after a cancellation is unknown."""
        return is_closed_by_a_pause(self._source, self._live)

    def produce(self) -> None:
        """Run the loop; a pause cancels the task in it."""
        try:
            asyncio.run(self._iterate())
        except asyncio.CancelledError:
            if not self.is_paused:
                raise
        else:
            self.end()

    async def _iterate(self) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def cancel() -> None:
            with suppress(RuntimeError):  # the loop is closed: the source has just ended
                loop.call_soon_threadsafe(cast("asyncio.Task[None]", task).cancel)

        self.subscription.disposable = Disposable(cancel)
        iterator = aiter(self._source)
        try:
            while await self._should_continue():
                item = await anext(iterator)
                with self.buffer.lock:
                    if self._live or self.buffer.producer is self:
                        self.buffer.add(item)
                del item  # as above
        except StopAsyncIteration:
            pass
        finally:
            if isinstance(iterator, AsyncGenerator):
                await iterator.aclose()

    async def _should_continue(self) -> bool:
        room = asyncio.Event()
        with self.buffer.lock:
            if self.is_paused or self.buffer.has_room():
                return not self.is_paused
            call_soon = asyncio.get_running_loop().call_soon_threadsafe
            self.notify_room = partial(call_soon, room.set)
        try:
            await room.wait()  # without blocking the loop: the source may have other tasks in it
        finally:
            with self.buffer.lock:  # a closed loop must not be notified
                self.notify_room = _no_op
        return not self.is_paused
