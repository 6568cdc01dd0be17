"""How each kind of source brings its items: loaded, subscribed to, awaited."""

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
"""Seconds that a paused source gets to end its thread; one that is blocked is left to itself."""


class Producer(ABC):
    """One stay of a source at work, on a thread of its own: to its end, or to a pause.

    The thread sees what the one sees that makes the producer, in order to draw.

    Args:
        buffer: Where to bring the items.
    """

    def __init__(self, buffer: Buffer) -> None:
        self.buffer = buffer
        self.over = False
        self.failure: BaseException | None = None  # what was raised when the producer was over
        self.subscription = SingleAssignmentDisposable()
        self.notify_room: Callable[[], object] = _no_op
        self.thread = Thread(target=as_owner(self._work), name="rnnr source", daemon=True)

    @abstractmethod
    def produce(self) -> None:
        """Bring items until the source ends, or the turn is over."""

    @property
    def is_closed_for_good(self) -> bool:
        """Whether another producer cannot go on with the source."""
        return False

    def revive(self) -> bool:
        """Go on, if that is possible although the producer was over. Needs the lock."""
        return False

    def end(self, error: BaseException | None = None) -> None:
        """Tell how the source ended. That of a producer that is over is no end of the source."""
        with self.buffer.lock:
            if not self.over:
                self.buffer.end(error)

    def fail(self, error: BaseException) -> None:
        """Tell of an error that left `bring`; when the turn is over, to who paused it."""
        if self.over:
            self.failure = error
        else:
            self.end(error)

    def join(self) -> None:
        """Wait for the end of the thread, unless it is blocked for longer than `JOIN_TIMEOUT`."""
        if self.thread.is_alive() and self.thread is not current_thread():
            self.thread.join(JOIN_TIMEOUT)

    def _work(self) -> None:
        try:
            self.produce()
        except ProducerPaused:
            pass
        except BaseException as error:  # noqa: BLE001  (told to who draws, or pauses)
            self.fail(error)


class ProducerPaused(BaseException):
    """Takes a loop inside ``subscribe`` off our own thread; seen by that source alone."""


def _no_op() -> None:
    """Do nothing: nobody waits for room."""


class IterableProducer(Producer):
    """The thread loads the items of an iterable, each when there is room for it."""

    def __init__(self, buffer: Buffer, source: Iterable[Any]) -> None:
        super().__init__(buffer)
        self._source = source
        self._is_leaving = False

    def produce(self) -> None:
        """Load, from where the producer before this one stood."""
        buffer = self.buffer
        while self._goes_on():
            if buffer.iterator is None:
                buffer.iterator = iter(self._source)
            try:
                item = next(buffer.iterator)
            except StopIteration:
                return self.end()
            with buffer.lock:
                buffer.add(item)
            del item  # not held while the next one is loaded, or waits for room
        return None

    def _goes_on(self) -> bool:
        with self.buffer.lock:
            self.buffer.changed.wait_for(lambda: self.over or self.buffer.has_room())
            self._is_leaving = self.over
            return not self.over

    def revive(self) -> bool:
        """Go on if the thread is still loading: no other may load beside it."""
        if self.thread.is_alive() and not self._is_leaving:
            self.over = False
        return not self.over

    def end(self, error: BaseException | None = None) -> None:
        """Tell how the iterator ended, after a pause too, since it tells that only once."""
        with self.buffer.lock:
            self._is_leaving = True
            self.buffer.end(error)

    def fail(self, error: BaseException) -> None:
        """Tell of an error, after a pause too."""
        self.end(error)


class ObservableProducer(Producer):
    """The thread subscribes to an Observable, whose items may come from any thread.

    One that begins from its beginning for each observer is made to skip what was received. A live
    one is not; what it brings when the turn is over is welcome, while there is room.
    """

    def __init__(self, buffer: Buffer, source: Observable[Any], live: bool) -> None:
        super().__init__(buffer)
        buffer.skip = 0 if live else buffer.received
        self._source = source
        self._live = live
        self._is_subscribed = False

    def produce(self) -> None:
        """Subscribe; a source that emits at once keeps the thread until it is through.

        It is left by force then, if its turn is over. Not so a run that feeds this one: it
        begins when it can be disposed of, and is stopped.
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
            if self.over:
                is_welcome = self._live and buffer.has_room()
            else:
                buffer.changed.wait_for(lambda: self.over or buffer.has_room())
                is_welcome = self._live or buffer.producer is self
            if is_welcome:
                buffer.add(item)
        # A loop inside subscribe cannot look whether it was disposed of; it is left by force, if it
        # is on our own thread. An exception in anybody else's would be theirs to deal with.
        if self.over and not self._is_subscribed and current_thread() is self.thread:
            raise ProducerPaused


class AsyncProducer(Producer):
    """The thread runs an event loop, which asks an async iterable when there is room."""

    def __init__(self, buffer: Buffer, source: AsyncIterable[Any], live: bool) -> None:
        super().__init__(buffer)
        self._source = source
        self._live = live
        buffer.skip = 0 if live or hasattr(type(source), "__anext__") else buffer.received

    @property
    def is_closed_for_good(self) -> bool:
        """Whether it is an iterator, of which nobody knows where the cancellation left it."""
        return is_closed_by_a_pause(self._source, self._live)

    def produce(self) -> None:
        """Run the loop; a pause cancels the task in it."""
        try:
            asyncio.run(self._ask())
        except asyncio.CancelledError:
            if not self.over:
                raise
        else:
            self.end()

    async def _ask(self) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def cancel() -> None:
            with suppress(RuntimeError):  # the loop is closed: the source has just ended
                loop.call_soon_threadsafe(cast("asyncio.Task[None]", task).cancel)

        self.subscription.disposable = Disposable(cancel)
        iterator = aiter(self._source)
        try:
            while await self._goes_on():
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

    async def _goes_on(self) -> bool:
        room = asyncio.Event()
        with self.buffer.lock:
            if self.over or self.buffer.has_room():
                return not self.over
            tell = asyncio.get_running_loop().call_soon_threadsafe
            self.notify_room = partial(tell, room.set)
        try:
            await room.wait()  # without blocking the loop: the source may have other tasks in it
        finally:
            with self.buffer.lock:  # nobody tells a loop that is closed
                self.notify_room = _no_op
        return not self.over
