"""A bounded buffer between the run that draws batches and a source that brings them."""

import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Condition, RLock, Thread, current_thread, get_ident
from types import AsyncGeneratorType, GeneratorType
from typing import Any, Final

from reactivex.disposable import SingleAssignmentDisposable

from rnnr._context import as_owner

__all__ = ["Feed", "Inbox", "Turn", "TurnOver", "is_dead", "tell_nobody", "too_few"]

GRACE: Final = 1.0
"""Seconds that a paused source gets to end its thread; one that is blocked is left to itself."""


class Inbox:
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
        self.turn: Turn | None = None
        self.iterator: Iterator[Any] | None = None  # of an iterable: it outlives the turn
        self.received = 0
        self.skip = 0  # items that a source which begins again brings a second time
        self._granted = 0  # items that were drawn, or are just about to be
        self._size = size
        self._drawer = 0  # the thread that draws
        # Not the condition: what rings before somebody waits is not lost, and a signal handler
        # may ring it at any moment.
        self._bell = SimpleQueue[None]()
        self._is_awaited = False

    def has_room(self) -> bool:
        """Tell whether there is room; the thread that draws cannot wait for itself to draw."""
        return self.received - self._granted < self._size or get_ident() == self._drawer

    def add(self, item: Any) -> None:
        """Take an item in, unless it is one to skip. Needs the lock."""
        if self.skip:
            self.skip -= 1
            return
        self.items.append(item)
        self.received += 1
        self._ring_if_awaited()

    def end(self, error: BaseException | None) -> None:
        """Remember how the source ended, to be told when the items are drawn. Needs the lock."""
        if self.outcome is None:
            if error is None and self.skip:
                error = too_few(self.received, self.received - self.skip)
            self.outcome = (error,)
            self._ring_if_awaited()

    def is_ready(self, turn: "Turn") -> bool:
        """Tell whether there is something to draw, and make room for the item that goes."""
        with self.lock:
            self._drawer = get_ident()
            self._is_awaited = not self.items and self.outcome is None
            if self.items:  # computed, not counted: an interrupted draw is made again
                self._granted = self.received - len(self.items) + 1
                self.changed.notify_all()
                turn.tell_room()
            return not self._is_awaited

    def wait(self) -> None:
        """Wait for something to draw, or for `ring`."""
        self._bell.get()

    def ring(self) -> None:
        """End a wait, or the next one."""
        self._bell.put(None)

    def _ring_if_awaited(self) -> None:
        if self._is_awaited:
            self._is_awaited = False
            self.ring()


class Turn(ABC):
    """One stay of a source at work, on a thread of its own: to its end, or to a pause.

    The thread sees what the one sees that makes the turn, in order to draw.

    Args:
        inbox: Where to bring the items.
    """

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self.over = False
        self.failure: BaseException | None = None  # what was raised when the turn was over
        self.subscription = SingleAssignmentDisposable()
        self.tell_room: Callable[[], object] = tell_nobody
        self.thread = Thread(target=as_owner(self._work), name="rnnr source", daemon=True)

    @abstractmethod
    def bring(self) -> None:
        """Bring items until the source ends, or the turn is over."""

    @property
    def is_closed_for_good(self) -> bool:
        """Whether another turn cannot go on with the source."""
        return False

    def revive(self) -> bool:
        """Go on, if that is possible although the turn was over. Needs the lock."""
        return False

    def end(self, error: BaseException | None = None) -> None:
        """Tell how the source ended. That of a turn that is over is no end of the source."""
        with self.inbox.lock:
            if not self.over:
                self.inbox.end(error)

    def fail(self, error: BaseException) -> None:
        """Tell of an error that left `bring`; when the turn is over, to who paused it."""
        if self.over:
            self.failure = error
        else:
            self.end(error)

    def join(self) -> None:
        """Wait for the end of the thread, unless something blocks it for longer than `GRACE`."""
        if self.thread.is_alive() and self.thread is not current_thread():
            self.thread.join(GRACE)

    def _work(self) -> None:
        try:
            self.bring()
        except TurnOver:
            pass
        except BaseException as error:  # noqa: BLE001  (told to who draws, or pauses)
            self.fail(error)


class TurnOver(BaseException):
    """Takes a loop inside ``subscribe`` off our own thread; seen by that source alone."""


class Feed(Iterator[Any]):
    """The items of one source, drawn on one thread while another brings them.

    The source is at work from the first draw to its end or a `pause`. What it has brought by then
    is kept, and the next draw sets it to work again.

    Args:
        inbox: Buffer of the items.
        begin: Makes the turn that fills it; called again after a pause.
    """

    def __init__(self, inbox: Inbox, begin: Callable[[Inbox], Turn]) -> None:
        self.running: Callable[[], bool] = lambda: True
        self.has_failed = False
        self._inbox = inbox
        self._begin = begin

    def __next__(self) -> Any:
        inbox = self._inbox
        turn = self._set_to_work()
        while not inbox.is_ready(turn):
            if not self.running():
                raise StopIteration
            inbox.wait()
        if not inbox.items:
            self._end(turn)
        # Nothing is called from here on: an interrupt comes after calls, and would lose the item.
        item = inbox.items[0]
        del inbox.items[0]
        return item

    def left(self) -> "Feed":
        """Return the iterator over what is left."""
        return self

    def put_back(self, item: Any) -> None:
        """Make an item that was drawn the next one again."""
        self._inbox.items.appendleft(item)

    def wake(self) -> None:
        """Make a draw that waits look at ``running``; for any thread, and for signal handlers."""
        self._inbox.ring()

    def pause(self) -> None:
        """Let the source rest until the next draw.

        Its thread has ended when this returns, unless something blocks it for longer than `GRACE`.

        Raises:
            BaseException: What the source raises while it is closed.
        """
        turn = self._rest()
        if turn is not None:
            turn.join()
            failure, turn.failure = turn.failure, None
            if failure is not None:
                raise failure

    def __del__(self, _is_too_late: Callable[[], bool] = sys.is_finalizing) -> None:
        # When Python ends, a thread that it froze may have the lock.
        turn = self._inbox.turn
        if turn is not None and not turn.over and not _is_too_late():
            self._rest()
        self._inbox.turn = None  # they hold each other, and with them what the source holds

    @property
    def is_lost(self) -> bool:
        """Whether the source was closed by a pause, and cannot go on where it stood."""
        turn, outcome = self._inbox.turn, self._inbox.outcome
        return turn is not None and turn.over and turn.is_closed_for_good and outcome is None

    @property
    def is_dead(self) -> bool:
        """Whether the source has failed, and has to be iterated anew to go on."""
        iterator = self._inbox.iterator
        return self.has_failed and (iterator is None or is_dead(iterator))

    def _set_to_work(self) -> Turn:
        inbox = self._inbox
        with inbox.lock:
            turn = inbox.turn
            if turn is None or (turn.over and not inbox.outcome and not turn.revive()):
                turn = inbox.turn = self._begin(inbox)
                turn.thread.start()
            return turn

    def _rest(self) -> Turn | None:
        turn = self._inbox.turn
        if turn is not None:
            with self._inbox.lock:
                turn.over = True
                self._inbox.changed.notify_all()
            turn.subscription.dispose()  # without the lock, for which its producers may wait
        return turn

    def _end(self, turn: Turn) -> None:
        inbox = self._inbox
        self._rest()
        turn.join()
        error = inbox.outcome and inbox.outcome[0]
        if error is None:
            raise StopIteration
        self.has_failed, inbox.outcome, inbox.turn = True, None, None
        if isinstance(error, StopIteration):  # it would pass for the end
            raise RuntimeError("the source of the batches raised StopIteration") from error
        raise error


def is_dead(iterator: object) -> bool:
    """Tell whether an iterator is a generator, maybe an async one, that can give nothing more."""
    if isinstance(iterator, AsyncGeneratorType):
        return iterator.ag_frame is None
    return isinstance(iterator, GeneratorType) and iterator.gi_frame is None


def too_few(drawn: int, given: int) -> RuntimeError:
    """Return the error for batches that end before those that an epoch has drawn."""
    return RuntimeError(
        f"the epoch has drawn {drawn} batches, by n_iters: expected state['batches'] to begin with "
        f"those, to skip them, got only {given}; put the batches there that the epoch began with, "
        "or write buffered(source, live=True) of a source that goes on by itself"
    )


def tell_nobody() -> None:
    """Do nothing: nobody waits for room."""
