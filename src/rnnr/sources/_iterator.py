"""The iterator over the items of a buffered source."""

import sys
from collections.abc import Callable, Iterator
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from rnnr.sources._buffer import Buffer
from rnnr.sources._producers import Producer

__all__ = ["BufferedIterator", "is_exhausted"]


class BufferedIterator(Iterator[Any]):
    """The items of one source, drawn on one thread while another brings them.

    The source is at work from the first draw to its end or a `pause`. What it has brought by then
    is kept, and the next draw sets it to work again.

    Args:
        buffer: Buffer of the items.
        begin: Makes the producer that fills it; called again after a pause.
    """

    def __init__(self, buffer: Buffer, begin: Callable[[Buffer], Producer]) -> None:
        self.running: Callable[[], bool] = lambda: True
        self.has_failed = False
        self._buffer = buffer
        self._begin = begin

    def __next__(self) -> Any:
        buffer = self._buffer
        producer = self._start()
        while not buffer.is_ready(producer):
            if not self.running():
                raise StopIteration
            buffer.wait()
        if not buffer.items:
            self._end(producer)
        # Nothing is called from here on: an interrupt comes after calls, and would lose the item.
        item = buffer.items[0]
        del buffer.items[0]
        return item

    def remaining(self) -> "BufferedIterator":
        """Return the iterator over what is left."""
        return self

    def push_back(self, item: Any) -> None:
        """Make an item that was drawn the next one again."""
        self._buffer.items.appendleft(item)

    def wake(self) -> None:
        """Make a draw that waits look at ``running``; for any thread, and for signal handlers."""
        self._buffer.wake()

    def pause(self) -> None:
        """Let the source rest until the next draw.

        Its thread has ended when this returns, unless it is blocked for longer than `JOIN_TIMEOUT`.

        Raises:
            BaseException: What the source raises while it is closed.
        """
        producer = self._rest()
        if producer is not None:
            producer.join()
            failure, producer.failure = producer.failure, None
            if failure is not None:
                raise failure

    def __del__(self, _is_too_late: Callable[[], bool] = sys.is_finalizing) -> None:
        # When Python ends, a thread that it froze may have the lock.
        producer = self._buffer.producer
        if producer is not None and not producer.over and not _is_too_late():
            self._rest()
        self._buffer.producer = None  # they hold each other, and with them what the source holds

    @property
    def position_lost(self) -> bool:
        """Whether the source was closed by a pause, and cannot go on where it stood."""
        producer, outcome = self._buffer.producer, self._buffer.outcome
        return (
            producer is not None
            and producer.over
            and producer.is_closed_for_good
            and outcome is None
        )

    @property
    def is_exhausted(self) -> bool:
        """Whether the source has failed, and has to be iterated anew to go on."""
        iterator = self._buffer.iterator
        return self.has_failed and (iterator is None or is_exhausted(iterator))

    def _start(self) -> Producer:
        buffer = self._buffer
        with buffer.lock:
            producer = buffer.producer
            if producer is None or (producer.over and not buffer.outcome and not producer.revive()):
                producer = buffer.producer = self._begin(buffer)
                producer.thread.start()
            return producer

    def _rest(self) -> Producer | None:
        producer = self._buffer.producer
        if producer is not None:
            with self._buffer.lock:
                producer.over = True
                self._buffer.changed.notify_all()
            producer.subscription.dispose()  # without the lock, for which its producers may wait
        return producer

    def _end(self, producer: Producer) -> None:
        buffer = self._buffer
        self._rest()
        producer.join()
        error = buffer.outcome and buffer.outcome[0]
        if error is None:
            raise StopIteration
        self.has_failed, buffer.outcome, buffer.producer = True, None, None
        if isinstance(error, StopIteration):  # it would pass for the end
            raise RuntimeError("the source of the batches raised StopIteration") from error
        raise error


def is_exhausted(iterator: object) -> bool:
    """Tell whether an iterator is a generator, maybe an async one, that can give nothing more."""
    if isinstance(iterator, AsyncGeneratorType):
        return iterator.ag_frame is None
    return isinstance(iterator, GeneratorType) and iterator.gi_frame is None
