"""Where the batches of an epoch come from, and what of them is still to be drawn."""

import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from rnnr._errors import RnnrWarning, note_failure, shown, wrong_type
from rnnr.sources._buffer import too_few
from rnnr.sources._buffered import Buffered, buffered
from rnnr.sources._iterator import BufferedIterator, is_exhausted
from rnnr.sources._kinds import can_be_iterated, is_asynchronous, is_closed_by_a_pause
from rnnr.state import State, epoch_memory, is_open, mark_epoch_start, n_batches_drawn

__all__ = ["EpochBatches", "check_batches", "warn_if_spent"]


class EpochBatches:
    """The live iterator of a runner: what its open epoch has not drawn yet.

    It is kept here, not in the state, which has to pickle. It belongs to the memory of one epoch: a
    state that was restored has another, and gets an iterator of its own.
    """

    def __init__(self) -> None:
        self._memory: State | None = None
        self._source: BufferedIterator | _Plain = _NOTHING
        self._to_skip = 0

    def remaining(self, state: State) -> Iterator[Any]:
        """Return the iterator, or make one and skip what the epoch has drawn.

        A stop is heard while it skips: then nothing is left for now, and the next call skips on.
        """
        memory = epoch_memory(state)
        if not self._holds(memory):
            drawn = n_batches_drawn(state)
            mark_epoch_start(state)
            memory["_spent"] = _is_spent(state["batches"])
            self._source, is_live = _opened(state["batches"])
            self._to_skip = 0 if is_live else drawn
        self._source.running = lambda: bool(state["running"])
        if self._to_skip:
            self._memory = None  # an error may lose one: after it, the batches are iterated again
            self._skip(self._source.remaining(), state)
        self._memory = memory
        return iter(()) if self._to_skip else self._source.remaining()

    def push_back(self, batch: Any) -> None:
        """Keep a batch for the next draw: the run was stopped while it was drawn."""
        self._source.push_back(batch)

    def wake(self) -> None:
        """Make a draw that waits for its source look whether the run was stopped."""
        self._source.wake()

    def pause(self, error: BaseException | None = None) -> None:
        """End what works for an unfinished epoch; an error there never hides the run's own."""
        try:
            self._source.pause()
        except BaseException as other:
            if error is None:
                raise
            note_failure(error, other, "the closing of the source")
        finally:
            if self._memory is None:  # nobody goes on with it
                self.close()

    def close(self) -> None:
        """Let go of the iterator: the epoch is over."""
        self._memory, self._source = None, _NOTHING

    def failed(self, state: State) -> None:
        """After an error in the batches, go on with their iterator, if it can.

        A generator that raised cannot, and would pass for exhausted: iterate anew. So it is with
        an Observable. What was interrupted while it waited for its source has not failed.
        """
        memory, drawn = epoch_memory(state), n_batches_drawn(state)
        memory["_failed_at"] = drawn
        if self._memory is not memory:  # it has not come to where the epoch stands
            return
        if self._source.is_exhausted and not _is_one_shot(state.get("batches")):
            self.close()
        elif self._source.has_failed:
            memory["_broken_at"] = drawn

    def check_resumable(self, state: State) -> None:
        """Refuse an epoch whose position in its batches is lost."""
        check_batches(state["batches"])
        memory = epoch_memory(state)
        lost = not self._holds(memory) and (n_batches_drawn(state) or self._memory is memory)
        if lost and is_open(state) and _is_one_shot(state["batches"]):
            raise RuntimeError(
                f"epoch {state['epoch']} cannot be resumed after {n_batches_drawn(state)} batches: "
                "expected batches that can be iterated again, to skip those, got the "
                f"iterator {shown(state['batches'])}, whose position is unknown; put a list, or an "
                "object whose __iter__ or __aiter__ is a generator function, into state['batches']"
            )

    def _skip(self, batches: Iterator[Any], state: State) -> None:
        """Skip what the epoch has drawn, while the run is running."""
        while self._to_skip and state["running"]:
            try:
                next(batches)
            except StopIteration:
                if not state["running"]:  # a stop that did not wait for a source that is silent
                    return
                drawn = n_batches_drawn(state)
                raise too_few(drawn, drawn - self._to_skip) from None
            self._to_skip -= 1

    def _holds(self, memory: State) -> bool:
        """Tell whether the iterator is that of an epoch, and stands where the epoch does."""
        return self._memory is memory and not self._source.position_lost


class _Plain:
    """A plain iterator, with nothing behind it that would have to be woken or to rest.

    It has the methods of a `BufferedIterator`, so that nobody asks which of the two it is. The loop
    iterates over the iterator itself, unless a batch was pushed back.
    """

    running: Callable[[], bool]
    position_lost = False
    has_failed = True  # an error that comes from it is its own

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._iterator = iterator
        self._back: list[Any] = []

    def remaining(self) -> Iterator[Any]:
        """Return the iterator over what is left; it holds no batch that it has given."""
        back = self._back
        return chain(map(back.pop, (0,)), self._iterator) if back else self._iterator

    @property
    def is_exhausted(self) -> bool:
        """Whether it can give nothing more, after an error."""
        return is_exhausted(self._iterator)

    def push_back(self, batch: Any) -> None:
        """Make a batch that was drawn the next one again."""
        self._back.append(batch)

    def wake(self) -> None:
        """Do nothing: who waits for it, waits in its own code."""

    def pause(self) -> None:
        """Do nothing."""


_NOTHING = _Plain(iter(()))


def check_batches(batches: object) -> None:
    """Refuse what cannot be iterated, awaited or subscribed to."""
    if not can_be_iterated(batches) and not is_asynchronous(batches):
        cure = "pass a list, a generator or a loader of batches, an Observable or an async iterable"
        raise wrong_type("batches", "iterable", batches, cure)


def warn_if_spent(state: State, stacklevel: int) -> None:
    """Tell why an epoch may have missed batches: it had an iterator with nothing left."""
    memory, drawn = epoch_memory(state), n_batches_drawn(state)
    if memory.get("_broken_at") == drawn:
        reason = "their iterator raised an error before and has nothing left: some may be missing"
    elif drawn or not _is_one_shot(state["batches"]):
        return
    elif state["epoch"] > 1 or memory.get("_spent"):
        reason = "an iterator gives them once, and it was exhausted before: this epoch has none"
    else:
        return
    warnings.warn(
        f"epoch {state['epoch']} needs batches that can be iterated again, got "
        f"{shown(state['batches'])}: {reason}; pass a list, or an object whose __iter__ "
        "or __aiter__ is a generator function",
        RnnrWarning,
        stacklevel=stacklevel + 1,
    )


def _opened(batches: Any) -> tuple["BufferedIterator | _Plain", bool]:
    """Begin to iterate; tell whether the batches are live, so that there is nothing to skip."""
    if is_asynchronous(batches):
        batches = buffered(batches)
    iterator = iter(batches)
    # a BufferedIterator, too, if the user has made it by iter(prefetch(...))
    source = iterator if isinstance(iterator, BufferedIterator) else _Plain(iterator)
    return source, isinstance(batches, Buffered) and batches.live


def _is_one_shot(batches: object) -> bool:
    if isinstance(batches, Buffered):
        source, live = batches.source, batches.live
        return hasattr(type(source), "__next__") or is_closed_by_a_pause(source, live)
    return hasattr(type(batches), "__next__") or hasattr(type(batches), "__anext__")


def _is_spent(batches: object) -> bool:
    return is_exhausted(batches.source if isinstance(batches, Buffered) else batches)
