"""Where the batches of an epoch come from, and what of them is still to be drawn."""

import warnings
from collections.abc import Iterator
from itertools import chain, islice
from types import GeneratorType
from typing import Any

from reactivex import Observable

from rnnr.errors import RnnrWarning, shown, wrong_type
from rnnr.state import State, begin_drawing, epoch_memory, failed_drawing, is_open, n_drawn

__all__ = ["Batches", "can_be_iterated", "judge_batches", "warn_if_spent"]


class Batches:
    """The live iterator of a runner: what its open epoch has not drawn yet.

    It is kept here, not in the state, which has to pickle. It belongs to the memory of one epoch: a
    state that was restored has another, and gets an iterator of its own.
    """

    def __init__(self) -> None:
        self._memory: State | None = None
        self._source: Iterator[Any] = iter(())
        self._left = self._source

    def left(self, state: State) -> Iterator[Any]:
        """Return the iterator, or make one and pass over what the epoch has drawn."""
        memory = epoch_memory(state)
        if self._memory is not memory:
            drawn = n_drawn(state)
            begin_drawing(state)
            memory["_spent"] = _is_dead(state["batches"])
            memory.pop("_broken_at", None)
            self._source = self._left = iter(state["batches"])
            next(islice(self._source, drawn, drawn), None)
            self._memory = memory
        return self._left

    def put_back(self, batch: Any) -> None:
        """Keep a batch for the next draw: the run was stopped while it was drawn."""
        self._left = chain([batch], self._source)

    def release(self) -> None:
        """Let go of the iterator: the epoch is over."""
        self._memory, self._source = None, iter(())
        self._left = self._source

    def failed(self, state: State) -> None:
        """After an error in the batches, go on with their iterator, if it can.

        A generator that raised cannot, and would pass for exhausted: iterate anew.
        """
        epoch_memory(state)["_broken_at"] = n_drawn(state)
        if _is_dead(self._source) and not _is_iterator(state.get("batches")):
            self.release()

    def judge_resumable(self, state: State) -> None:
        """Refuse an epoch whose position in its batches is lost."""
        judge_batches(state["batches"])
        lost = self._memory is not epoch_memory(state)
        if lost and is_open(state) and n_drawn(state) and _is_iterator(state["batches"]):
            raise RuntimeError(
                f"epoch {state['epoch']} cannot be resumed after {n_drawn(state)} batches: "
                "expected batches that can be iterated anew, to pass over those, got the "
                f"iterator {shown(state['batches'])}, whose position is unknown; put a list, or "
                "an object whose __iter__ is a generator function, into state['batches']"
            )


def judge_batches(batches: object) -> None:
    """Refuse what cannot be iterated."""
    if not can_be_iterated(batches):
        raise wrong_type(
            "batches", "iterable", batches, "pass a list, a generator or a loader of batches"
        )


def can_be_iterated(thing: object) -> bool:
    """Tell whether something can be iterated, without doing it.

    ``iter()`` would tell, but it starts the workers of a loader. An Observable has
    ``__getitem__``, for slices, and would yield Observables without end.
    """
    kind = type(thing)
    if getattr(kind, "__iter__", None) is not None:
        return True
    return hasattr(kind, "__getitem__") and not isinstance(thing, Observable)


def warn_if_spent(state: State, stacklevel: int) -> None:
    """Tell why an epoch may have missed batches: it had an iterator with nothing left."""
    memory, drawn = epoch_memory(state), n_drawn(state)
    if failed_drawing(state):
        reason = "their iterator raised an error before and has nothing left: some may be missing"
    elif drawn or not _is_iterator(state["batches"]):
        return
    elif state["epoch"] > 1 or memory.get("_spent"):
        reason = "an iterator gives them once, and it was exhausted before: this epoch has none"
    else:
        return
    warnings.warn(
        f"epoch {state['epoch']} needs batches that can be iterated anew, got "
        f"{shown(state['batches'])}: {reason}; pass a list, or an object whose __iter__ "
        "is a generator function",
        RnnrWarning,
        stacklevel=stacklevel + 1,
    )


def _is_iterator(batches: object) -> bool:
    return hasattr(type(batches), "__next__")


def _is_dead(iterator: object) -> bool:
    return isinstance(iterator, GeneratorType) and iterator.gi_frame is None
