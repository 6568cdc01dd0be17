"""Where the batches of an epoch come from, and what of them is still to be drawn."""

import warnings
from collections.abc import Iterator
from itertools import islice
from typing import Any

from reactivex import Observable

from rnnr.errors import RnnrWarning, wrong_type
from rnnr.state import State, epoch_memory, is_open, n_drawn

__all__ = ["Batches", "can_be_iterated", "judge_batches", "warn_if_spent"]


class Batches:
    """The live iterator of a runner: what its open epoch has not drawn yet.

    It is kept here, not in the state, which has to pickle. It belongs to the memory of one epoch: a
    state that was restored has another, and gets an iterator of its own.
    """

    def __init__(self) -> None:
        self._memory: State | None = None
        self._iterator: Iterator[Any] = iter(())

    def left(self, state: State) -> Iterator[Any]:
        """Return the iterator, or make one and pass over what the epoch has drawn."""
        memory = epoch_memory(state)
        if self._memory is not memory:
            drawn = n_drawn(state)
            memory.setdefault("first_iter", state["n_iters"])
            self._iterator = iter(state["batches"])
            next(islice(self._iterator, drawn, drawn), None)
            self._memory = memory
        return self._iterator

    def release(self) -> None:
        """Let go of the iterator: the epoch is over."""
        self._memory, self._iterator = None, iter(())

    def failed(self, state: State) -> None:
        """After an error in the batches, iterate anew: a generator that raised is dead."""
        if not _is_iterator(state.get("batches")):
            self.release()
        epoch_memory(state)["broken"] = True

    def judge_resumable(self, state: State) -> None:
        """Refuse an epoch whose position in its batches is lost."""
        judge_batches(state["batches"])
        lost = self._memory is not epoch_memory(state)
        if lost and is_open(state) and n_drawn(state) and _is_iterator(state["batches"]):
            raise RuntimeError(
                f"epoch {state['epoch']} cannot be resumed after {n_drawn(state)} batches: "
                "expected batches that can be iterated anew, to pass over those, got the "
                f"iterator {state['batches']!r}, whose position is unknown; put a list, or "
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
    if not _is_iterator(state["batches"]):
        return
    if epoch_memory(state).get("broken"):
        reason = "it raised an error before and has nothing left, so batches may be missing"
    elif state["epoch"] > 1 and not n_drawn(state):
        reason = "an earlier epoch has exhausted it, so this epoch has no batches"
    else:
        return
    warnings.warn(
        f"epoch {state['epoch']} needs batches that can be iterated anew, got the iterator "
        f"{state['batches']!r}: {reason}; pass a list, or an object whose __iter__ "
        "is a generator function",
        RnnrWarning,
        stacklevel=stacklevel + 1,
    )


def _is_iterator(batches: object) -> bool:
    return hasattr(type(batches), "__next__")
