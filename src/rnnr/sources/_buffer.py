"""A bounded buffer between a run, which consumes batches, and their producer."""

from collections import deque
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Condition, RLock, get_ident
from typing import Any, Protocol

__all__ = ["Buffer", "Notified", "too_few"]


class Notified(Protocol):
    """What hears that there is room.

    Attributes:
        notify_room: Called when an item is drawn.
    """

    @property
    def notify_room(self) -> Callable[[], object]: ...


class Buffer:
    """The items that were produced and not yet consumed, and how the source ended.

    Args:
        size: Number of items that the buffer holds.
        drop: Called for each item that is dropped where there is no room; if not given, producers
            wait for room.
    """

    def __init__(self, size: int, drop: Callable[[], object] | None = None) -> None:
        # Re-entrant: the garbage collector may end an iterator on a thread that holds the lock.
        # Used by itself, not through the condition, which an interrupt would leave locked.
        self.lock = RLock()
        self.changed = Condition(self.lock)
        self.items: deque[Any] = deque()
        self.outcome: tuple[BaseException | None] | None = None  # an error, or an end without one
        self.producer: Any = None  # the `Producer` that fills it
        self.iterator: Iterator[Any] | None = None  # of an iterable: it outlives the producer
        self.received = 0
        self.skip = 0  # items to skip, which a source that begins again produces a second time
        self._granted = 0  # items that were consumed, or are about to be
        self._size = size
        self.drop = drop
        self._consumer = 0  # the thread that consumes
        # Not the condition: a wake-up before the wait is not lost, and a signal handler may wake
        # at any moment.
        self._wakeups = SimpleQueue[None]()
        self._is_awaited = False

    def has_room(self) -> bool:
        """Return whether there is room; the consumer always has room, or it would block itself."""
        is_there = self.drop is not None or self.received - self._granted < self._size
        return is_there or get_ident() == self._consumer

    def add(self, item: Any) -> None:
        """Add an item, unless it has to be skipped. Needs the lock."""
        if self.skip:
            self.skip -= 1
            return
        while self.drop is not None and len(self.items) >= self._size:
            del self.items[0]
            self.drop()
        self.items.append(item)
        self.received += 1
        self._wake_if_awaited()

    def end(self, error: BaseException | None) -> None:
        """Remember how the source ended, until the items are consumed. Needs the lock."""
        if self.outcome is None:
            if error is None and self.skip:
                error = too_few(self.received, self.received - self.skip)
            self.outcome = (error,)
            self._wake_if_awaited()

    def is_ready(self, producer: "Notified") -> bool:
        """Return whether an item or the end is there, and make room if an item will be taken."""
        with self.lock:
            self._consumer = get_ident()
            self._is_awaited = not self.items and self.outcome is None
            if self.items:  # computed, not counted: an interrupted draw is repeated
                self._granted = self.received - len(self.items) + 1
                self.changed.notify_all()
                producer.notify_room()
            return not self._is_awaited

    def wait(self) -> None:
        """Wait for an item or the end, or for `wake`."""
        self._wakeups.get()

    def wake(self) -> None:
        """End the present wait, or else the next one."""
        self._wakeups.put(None)

    def _wake_if_awaited(self) -> None:
        if self._is_awaited:
            self._is_awaited = False
            self.wake()


def too_few(drawn: int, found: int) -> RuntimeError:
    """Return the error for batches of which there are fewer than an epoch has drawn already."""
    return RuntimeError(
        f"the epoch has drawn {drawn} batches, by n_iters: expected state['batches'] to begin with "
        f"those, to skip them, got only {found}; put the batches there that the epoch began with, "
        "or write buffered(source, live=True) if the source goes on by itself"
    )
