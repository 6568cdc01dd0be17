"""A bounded buffer between the run that draws batches and a source that brings them."""

from collections import deque
from collections.abc import Iterator
from queue import SimpleQueue
from threading import Condition, RLock, get_ident
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnr.sources._producers import Producer

__all__ = ["Buffer", "too_few"]


class Buffer:
    """What a source has brought and nobody has drawn, and how the source ended.

    Args:
        size: Number of items for which there is room.
    """

    def __init__(self, size: int) -> None:
        # Re-entrant: the garbage collector may end a feed on a thread that is in here. Used by
        # itself, not through the condition, which an interrupt would leave locked.
        self.lock = RLock()
        self.changed = Condition(self.lock)
        self.items: deque[Any] = deque()
        self.outcome: tuple[BaseException | None] | None = None  # an error, or an end without one
        self.producer: Producer | None = None
        self.iterator: Iterator[Any] | None = None  # of an iterable: it outlives the producer
        self.received = 0
        self.skip = 0  # items that a source which begins again brings a second time
        self._granted = 0  # items that were drawn, or are just about to be
        self._size = size
        self._consumer = 0  # the thread that draws
        # Not the condition: what rings before somebody waits is not lost, and a signal handler
        # may ring it at any moment.
        self._wakeups = SimpleQueue[None]()
        self._is_awaited = False

    def has_room(self) -> bool:
        """Tell whether there is room; the thread that draws cannot wait for itself to draw."""
        return self.received - self._granted < self._size or get_ident() == self._consumer

    def add(self, item: Any) -> None:
        """Take an item in, unless it is one to skip. Needs the lock."""
        if self.skip:
            self.skip -= 1
            return
        self.items.append(item)
        self.received += 1
        self._wake_if_awaited()

    def end(self, error: BaseException | None) -> None:
        """Remember how the source ended, to be told when the items are drawn. Needs the lock."""
        if self.outcome is None:
            if error is None and self.skip:
                error = too_few(self.received, self.received - self.skip)
            self.outcome = (error,)
            self._wake_if_awaited()

    def is_ready(self, producer: "Producer") -> bool:
        """Tell whether there is something to draw, and make room for the item that goes."""
        with self.lock:
            self._consumer = get_ident()
            self._is_awaited = not self.items and self.outcome is None
            if self.items:  # computed, not counted: an interrupted draw is made again
                self._granted = self.received - len(self.items) + 1
                self.changed.notify_all()
                producer.notify_room()
            return not self._is_awaited

    def wait(self) -> None:
        """Wait for something to draw, or for `ring`."""
        self._wakeups.get()

    def wake(self) -> None:
        """End a wait, or the next one."""
        self._wakeups.put(None)

    def _wake_if_awaited(self) -> None:
        if self._is_awaited:
            self._is_awaited = False
            self.wake()


def too_few(drawn: int, given: int) -> RuntimeError:
    """Return the error for batches that end before those that an epoch has drawn."""
    return RuntimeError(
        f"the epoch has drawn {drawn} batches, by n_iters: expected state['batches'] to begin with "
        f"those, to skip them, got only {given}; put the batches there that the epoch began with, "
        "or write buffered(source, live=True) of a source that goes on by itself"
    )
