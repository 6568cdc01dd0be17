"""The iterator over the items of a buffered source."""

import sys
from collections.abc import Callable, Iterator
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from rnnr.sources._buffer import Buffer
from rnnr.sources._producers import Producer

__all__ = ["BufferedIterator", "is_exhausted"]


class BufferedIterator(Iterator[Any]):
    """The items of one source, consumed on one thread while another produces them.

    A producer works from the first draw to the end of the source or to a `pause`. The items that it
    has added by then are kept, and the next draw continues with the source.

    Args:
        buffer: Buffer of the items.
        new_producer: Makes the producer that fills the buffer; called again after a pause.
    """

    def __init__(self, buffer: Buffer, new_producer: Callable[[Buffer], Producer]) -> None:
        self.running: Callable[[], bool] = lambda: True
        self.has_failed = False
        self._buffer = buffer
        self._new_producer = new_producer

    def __next__(self) -> Any:
        buffer = self._buffer
        producer = self._working_producer()
        while not buffer.is_ready(producer):
            if not self.running():
                raise StopIteration
            buffer.wait()
        if not buffer.items:
            self._raise_outcome(producer)
        if buffer.drop is not None:  # a producer may drop the first item at any moment
            with buffer.lock:
                return buffer.items.popleft()
        # No calls from here on: an interrupt is raised after a call, and would lose the item.
        item = buffer.items[0]
        del buffer.items[0]
        return item

    def remaining(self) -> "BufferedIterator":
        """Return the iterator over the remaining items."""
        return self

    def push_back(self, item: Any) -> None:
        """Make an item that was drawn the next one again."""
        with self._buffer.lock:
            self._buffer.items.appendleft(item)

    def wake(self) -> None:
        """Make a waiting draw check ``running``; for any thread, and for signal handlers."""
        self._buffer.wake()

    def pause(self) -> None:
        """Pause the producer until the next draw.

        Its thread has ended when this returns, unless it is blocked for longer than `JOIN_TIMEOUT`.

        Raises:
            BaseException: Whatever the source raises while it is closed.
        """
        producer = self._pause()
        if producer is not None:
            producer.join()
            failure, producer.failure = producer.failure, None
            if failure is not None:
                raise failure

    def __del__(self, _is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        # When Python exits, a thread that it has frozen may hold the lock.
        producer: Producer | None = self._buffer.producer
        if producer is not None and not producer.is_paused and not _is_finalizing():
            self._pause()
        self._buffer.producer = None  # they refer to each other, and keep the source alive

    @property
    def position_lost(self) -> bool:
        """Whether a pause has closed the source, so that it cannot go on from its position."""
        producer, outcome = self._buffer.producer, self._buffer.outcome
        return (
            producer is not None
            and producer.is_paused
            and producer.is_closed_for_good
            and outcome is None
        )

    @property
    def is_exhausted(self) -> bool:
        """Whether the source has failed, and has to be iterated again."""
        iterator = self._buffer.iterator
        return self.has_failed and (iterator is None or is_exhausted(iterator))

    def _working_producer(self) -> Producer:
        """Return the producer; resume it or start another one, unless it works or has ended."""
        buffer = self._buffer
        with buffer.lock:
            producer: Producer | None = buffer.producer
            if producer is None or (
                producer.is_paused and not buffer.outcome and not producer.try_resume()
            ):
                producer = buffer.producer = self._new_producer(buffer)
                producer.thread.start()
            return producer

    def _pause(self) -> Producer | None:
        producer: Producer | None = self._buffer.producer
        if producer is not None:
            with self._buffer.lock:
                producer.is_paused = True
                self._buffer.changed.notify_all()
            producer.subscription.dispose()  # without the lock, for which the source may wait
        return producer

    def _raise_outcome(self, producer: Producer) -> None:
        buffer = self._buffer
        self._pause()
        producer.join()
        error = buffer.outcome and buffer.outcome[0]
        if error is None:
            raise StopIteration
        self.has_failed, buffer.outcome, buffer.producer = True, None, None
        if isinstance(error, StopIteration):  # it would be taken for the end
            raise RuntimeError("the source of the batches raised StopIteration") from error
        raise error


def is_exhausted(iterator: object) -> bool:
    """Return whether an iterator is a generator, maybe an async one, that has ended."""
    if isinstance(iterator, AsyncGeneratorType):
        return iterator.ag_frame is None
    return isinstance(iterator, GeneratorType) and iterator.gi_frame is None
