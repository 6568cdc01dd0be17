"""How each kind of source brings its items: loaded, subscribed to, awaited."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import suppress
from functools import partial
from threading import current_thread
from typing import Any, cast

from reactivex import Observable
from reactivex.disposable import Disposable
from reactivex.scheduler import CurrentThreadScheduler

from rnnr.feed import Inbox, Turn, TurnOver, tell_nobody
from rnnr.scheduling import InPlaceObservable

__all__ = [
    "Awaited",
    "Loaded",
    "Subscribed",
    "can_be_iterated",
    "is_asynchronous",
    "is_closed_by_a_pause",
    "length_of",
]


class Loaded(Turn):
    """The thread loads the items of an iterable, each when there is room for it."""

    def __init__(self, inbox: Inbox, source: Iterable[Any]) -> None:
        super().__init__(inbox)
        self._source = source
        self._is_leaving = False

    def bring(self) -> None:
        """Load, from where the turn before this one stood."""
        inbox = self.inbox
        while self._goes_on():
            if inbox.iterator is None:
                inbox.iterator = iter(self._source)
            try:
                item = next(inbox.iterator)
            except StopIteration:
                return self.end()
            with inbox.lock:
                inbox.add(item)
            del item  # not held while the next one is loaded, or waits for room
        return None

    def _goes_on(self) -> bool:
        with self.inbox.lock:
            self.inbox.changed.wait_for(lambda: self.over or self.inbox.has_room())
            self._is_leaving = self.over
            return not self.over

    def revive(self) -> bool:
        """Go on if the thread is still loading: no other may load beside it."""
        if self.thread.is_alive() and not self._is_leaving:
            self.over = False
        return not self.over

    def end(self, error: BaseException | None = None) -> None:
        """Tell how the iterator ended, after a pause too, since it tells that only once."""
        with self.inbox.lock:
            self._is_leaving = True
            self.inbox.end(error)

    def fail(self, error: BaseException) -> None:
        """Tell of an error, after a pause too."""
        self.end(error)


class Subscribed(Turn):
    """The thread subscribes to an Observable, whose items may come from any thread.

    One that begins from its beginning for each observer is made to skip what was received. A live
    one is not; what it brings when the turn is over is welcome, while there is room.
    """

    def __init__(self, inbox: Inbox, source: Observable[Any], live: bool) -> None:
        super().__init__(inbox)
        inbox.skip = 0 if live else inbox.received
        self._source = source
        self._live = live
        self._is_subscribed = False

    def bring(self) -> None:
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
        inbox = self.inbox
        with inbox.lock:
            if self.over:
                is_welcome = self._live and inbox.has_room()
            else:
                inbox.changed.wait_for(lambda: self.over or inbox.has_room())
                is_welcome = self._live or inbox.turn is self
            if is_welcome:
                inbox.add(item)
        # A loop inside subscribe cannot look whether it was disposed of; it is left by force, if it
        # is on our own thread. An exception in anybody else's would be theirs to deal with.
        if self.over and not self._is_subscribed and current_thread() is self.thread:
            raise TurnOver


class Awaited(Turn):
    """The thread runs an event loop, which asks an async iterable when there is room."""

    def __init__(self, inbox: Inbox, source: AsyncIterable[Any], live: bool) -> None:
        super().__init__(inbox)
        self._source = source
        self._live = live
        inbox.skip = 0 if live or hasattr(type(source), "__anext__") else inbox.received

    @property
    def is_closed_for_good(self) -> bool:
        """Whether it is an iterator, of which nobody knows where the cancellation left it."""
        return is_closed_by_a_pause(self._source, self._live)

    def bring(self) -> None:
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
                with self.inbox.lock:
                    if self._live or self.inbox.turn is self:
                        self.inbox.add(item)
                del item  # as above
        except StopAsyncIteration:
            pass
        finally:
            if isinstance(iterator, AsyncGenerator):
                await iterator.aclose()

    async def _goes_on(self) -> bool:
        room = asyncio.Event()
        with self.inbox.lock:
            if self.over or self.inbox.has_room():
                return not self.over
            tell = asyncio.get_running_loop().call_soon_threadsafe
            self.tell_room = partial(tell, room.set)
        try:
            await room.wait()  # without blocking the loop: the source may have other tasks in it
        finally:
            with self.inbox.lock:  # nobody tells a loop that is closed
                self.tell_room = tell_nobody
        return not self.over


def is_closed_by_a_pause(source: object, live: bool) -> bool:
    """Tell whether an async iterator is of no use any more when its iteration was cancelled."""
    return isinstance(source, AsyncGenerator) or (hasattr(type(source), "__anext__") and not live)


def can_be_iterated(thing: object) -> bool:
    """Tell whether something can be iterated, without doing it.

    ``iter()`` would tell, but it starts the workers of a loader. An Observable has
    ``__getitem__``, for slices, and would yield Observables without end.
    """
    kind = type(thing)
    if getattr(kind, "__iter__", None) is not None:
        return True
    return hasattr(kind, "__getitem__") and not isinstance(thing, Observable)


def is_asynchronous(thing: object) -> bool:
    """Tell whether something is an Observable, or can be iterated with ``async for`` alone."""
    if isinstance(thing, Observable):
        return True
    return getattr(type(thing), "__aiter__", None) is not None and not can_be_iterated(thing)


def length_of(batches: Any) -> int | None:
    """Return the length of batches, or ``None`` if they do not have one.

    PyTorch's loaders all have ``__len__``, which may raise anything; `len` itself refuses what is
    negative, infinite, or too large.
    """
    with suppress(Exception):
        return len(batches)
    return None
