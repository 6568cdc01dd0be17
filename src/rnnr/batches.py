"""Where the batches of an epoch come from, and what of them is still to be drawn."""

import warnings
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any

from rnnr.errors import RnnrWarning, note_failure, shown, wrong_type
from rnnr.feed import Feed, is_dead
from rnnr.sources import Buffered, buffered
from rnnr.state import State, begin_drawing, epoch_memory, is_open, n_drawn
from rnnr.turns import can_be_iterated, is_asynchronous, is_closed_by_a_pause

__all__ = ["Batches", "judge_batches", "warn_if_spent"]


class Batches:
    """The live iterator of a runner: what its open epoch has not drawn yet.

    It is kept here, not in the state, which has to pickle. It belongs to the memory of one epoch: a
    state that was restored has another, and gets an iterator of its own.
    """

    def __init__(self) -> None:
        self._memory: State | None = None
        self._source: Feed | _Plain = _NOTHING
        self._left = iter(self._source)

    def left(self, state: State) -> Iterator[Any]:
        """Return the iterator, or make one and pass over what the epoch has drawn."""
        memory = epoch_memory(state)
        if not self._holds(memory):
            drawn = n_drawn(state)
            begin_drawing(state)
            memory["_spent"] = _is_spent(state["batches"])
            self._source = _opened(state["batches"], drawn)
            self._left = iter(self._source)
            self._memory = memory
        self._source.running = lambda: bool(state["running"])
        return self._left

    def put_back(self, batch: Any) -> None:
        """Keep a batch for the next draw: the run was stopped while it was drawn."""
        self._left = self._source.put_back(batch)

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

    def release(self) -> None:
        """Let go of the iterator: the epoch is over."""
        self._memory, self._source = None, _NOTHING
        self._left = iter(_NOTHING)

    def failed(self, state: State) -> None:
        """After an error in the batches, go on with their iterator, if it can.

        A generator that raised cannot, and would pass for exhausted: iterate anew. So it is with
        an Observable. What was interrupted while it waited for its source has not failed.
        """
        drawn = epoch_memory(state)["_failed_at"] = n_drawn(state)
        if self._source.is_dead and not _is_one_shot(state.get("batches")):
            self.release()
        elif self._source.has_failed:
            epoch_memory(state)["_broken_at"] = drawn

    def judge_resumable(self, state: State) -> None:
        """Refuse an epoch whose position in its batches is lost."""
        judge_batches(state["batches"])
        memory = epoch_memory(state)
        lost = not self._holds(memory) and (n_drawn(state) or self._memory is memory)
        if lost and is_open(state) and _is_one_shot(state["batches"]):
            raise RuntimeError(
                f"epoch {state['epoch']} cannot be resumed after {n_drawn(state)} batches: "
                "expected batches that can be iterated anew, to pass over those, got the "
                f"iterator {shown(state['batches'])}, whose position is unknown; put a list, or an "
                "object whose __iter__ or __aiter__ is a generator function, into state['batches']"
            )

    def _holds(self, memory: State) -> bool:
        """Tell whether the iterator is that of an epoch, and stands where the epoch does."""
        return self._memory is memory and not self._source.is_lost


class _Plain:
    """A plain iterator, with nothing behind it that would have to be woken or to rest.

    It has what a `Feed` has, so that nobody asks which of the two it is; the loop iterates
    over the iterator itself.
    """

    running: Callable[[], bool]
    is_lost = False
    has_failed = True  # an error that comes from it is its own

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._iterator = iterator

    def __iter__(self) -> Iterator[Any]:
        return self._iterator

    @property
    def is_dead(self) -> bool:
        """Whether it can give nothing more, after an error."""
        return is_dead(self._iterator)

    def put_back(self, batch: Any) -> Iterator[Any]:
        """Return an iterator that begins with a batch that was drawn."""
        return chain([batch], self._iterator)

    def wake(self) -> None:
        """Do nothing: who waits for it, waits in its own code."""

    def pause(self) -> None:
        """Do nothing."""


_NOTHING = _Plain(iter(()))


def judge_batches(batches: object) -> None:
    """Refuse what cannot be iterated, awaited or subscribed to."""
    if not can_be_iterated(batches) and not is_asynchronous(batches):
        cure = "pass a list, a generator or a loader of batches, an Observable or an async iterable"
        raise wrong_type("batches", "iterable", batches, cure)


def warn_if_spent(state: State, stacklevel: int) -> None:
    """Tell why an epoch may have missed batches: it had an iterator with nothing left."""
    memory, drawn = epoch_memory(state), n_drawn(state)
    if memory.get("_broken_at") == drawn:
        reason = "their iterator raised an error before and has nothing left: some may be missing"
    elif drawn or not _is_one_shot(state["batches"]):
        return
    elif state["epoch"] > 1 or memory.get("_spent"):
        reason = "an iterator gives them once, and it was exhausted before: this epoch has none"
    else:
        return
    warnings.warn(
        f"epoch {state['epoch']} needs batches that can be iterated anew, got "
        f"{shown(state['batches'])}: {reason}; pass a list, or an object whose __iter__ "
        "or __aiter__ is a generator function",
        RnnrWarning,
        stacklevel=stacklevel + 1,
    )


def _opened(batches: Any, drawn: int) -> Feed | _Plain:
    """Begin to iterate, behind what was drawn before."""
    if is_asynchronous(batches):
        batches = buffered(batches)
    if isinstance(batches, Buffered):
        return batches.feed(drawn)
    iterator = iter(batches)
    next(islice(iterator, drawn, drawn), None)
    # a Feed, if the user has made it by iter(prefetch(...))
    return iterator if isinstance(iterator, Feed) else _Plain(iterator)


def _is_one_shot(batches: object) -> bool:
    if isinstance(batches, Buffered):
        source, live = batches.source, batches.live
        return hasattr(type(source), "__next__") or is_closed_by_a_pause(source, live)
    return hasattr(type(batches), "__next__") or hasattr(type(batches), "__anext__")


def _is_spent(batches: object) -> bool:
    return is_dead(batches.source if isinstance(batches, Buffered) else batches)
