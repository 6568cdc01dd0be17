"""The batches of an epoch that are still to be drawn."""

import warnings
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any, Final

from rnnr._errors import RnnrWarning, note_failure, shown, wrong_type
from rnnr.sources._buffer import too_few
from rnnr.sources._buffered import Buffered, buffered
from rnnr.sources._epochs import Epochs, loader_of
from rnnr.sources._iterator import BufferedIterator, is_exhausted
from rnnr.sources._kinds import can_be_iterated, is_asynchronous, is_closed_by_a_pause
from rnnr.state import (
    State,
    StopRequest,
    begin_pass,
    epoch_memory,
    forget_pass,
    is_pass_open,
    mark_epoch_start,
    n_batches_drawn,
    n_drawn_in_pass,
    pass_memory,
)

__all__ = ["EpochBatches", "Opening", "check_batches", "is_one_shot", "warn_if_spent"]


class Opening:
    """What is to be done where an epoch's iterator is made: nothing.

    A part that restores random states does more.
    """

    def before(self, state: State) -> bool:  # noqa: ARG002  (for those that do more)
        """Prepare for ``iter(batches)``.

        Returns:
            Whether the batches go on by themselves where the epoch was: nothing is skipped.
        """
        return False

    def after(self) -> None:
        """Follow ``iter(batches)``, and the skipping of the batches that the epoch had drawn."""


_UNKNOWN: Final = object()
"""Stands for the batches before the first draw: another process may have left a pass."""


class EpochBatches:
    """The iterator of a runner over the batches that its open epoch has not drawn yet.

    It is kept here, not in the state, which has to pickle. It belongs to the memory of one epoch: a
    restored state has another memory, and gets its own iterator.

    Attributes:
        opening: What is to be done where an iterator is made.
        request: A request to stop the run.
    """

    def __init__(self) -> None:
        self.opening = Opening()
        self.request = StopRequest()
        self._memory: State | None = None
        self._source: BufferedIterator | _PlainIterator = _NOTHING
        self._to_skip = 0
        self._cut: object = _UNKNOWN  # what the iterator is of: None if it is not cut

    def remaining(self, state: State) -> Iterator[Any]:
        """Return the iterator, or make one and skip the batches that the epoch has drawn.

        A stop ends the skipping: this call returns an empty iterator, and the next one skips on.
        So does the iterator of an epoch that was ended; it is made only if it was drawn from.
        """
        epoch, batches = epoch_memory(state), state["batches"]
        drawn = n_batches_drawn(state)
        if "_ended" in epoch and not drawn:
            return iter(())
        mark_epoch_start(state)
        cut = batches if isinstance(batches, Epochs) else None
        if cut is not self._cut or cut is not None:
            self._begin_pass(state, cut)
        if not drawn:
            epoch["_spent"] = _is_spent(cut.source if cut else batches)
        if cut is None:
            self._open(state, epoch, batches, drawn)
        else:
            self._open(state, pass_memory(state), cut.source, n_drawn_in_pass(state))
            if not drawn and not self._to_skip:
                self._begin_again_at_end(state, cut.source)
        request = self.request  # not self, which has the source
        self._source.running = lambda: request.goes_on(state) and "_ended" not in epoch
        if self._to_skip or "_ended" in epoch or not self.request.goes_on(state):
            return iter(())
        rest = self._source.remaining()
        return rest if cut is None else islice(rest, cut.n - drawn)

    def _begin_pass(self, state: State, cut: Epochs | None) -> None:
        """Have a memory for the pass, if it has several epochs."""
        is_other = isinstance(self._cut, Epochs) and self._cut is not cut
        if cut is None or is_other:
            forget_pass(state)
        if cut is not None:
            begin_pass(state)
        self._cut = cut

    def _open(self, state: State, memory: State, source: Any, drawn: int) -> None:
        """Make the iterator, unless it is there, and skip what the pass has drawn."""
        if not self._serves(memory):
            goes_on = self.opening.before(state)
            self._source, is_live = _opened(source)
            self._to_skip = 0 if is_live or goes_on else drawn
            if not self._to_skip:
                self.opening.after()
        if self._to_skip:
            request = self.request  # not self, which has the source
            self._source.running = lambda: request.goes_on(state)
            self._memory = None  # an error may lose a batch: then the batches are iterated again
            self._skip(self._source.remaining(), state)
            if not self._to_skip:
                self.opening.after()
        self._memory = memory

    def _begin_again_at_end(self, state: State, source: Any) -> None:
        """Begin another pass if the present one, of earlier epochs, has no batch left."""
        if not n_drawn_in_pass(state):
            return
        request = self.request  # not self, which has the source
        self._source.running = lambda: request.goes_on(state)
        try:
            batch = next(self._source.remaining())
        except StopIteration:
            if self.request.goes_on(state):
                forget_pass(state)
                begin_pass(state)
                self._open(state, pass_memory(state), source, 0)
        else:
            self._source.push_back(batch)

    def push_back(self, batch: Any) -> None:
        """Keep a batch for the next draw: the run was stopped while drawing it."""
        self._source.push_back(batch)

    def wake(self) -> None:
        """Make a draw that waits for its source check whether the run was stopped."""
        self._source.wake()

    def pause(self, error: BaseException | None = None) -> None:
        """Pause the source of an unfinished epoch; its error never hides the error of the run."""
        try:
            self._source.pause()
        except BaseException as other:
            if error is None:
                raise
            note_failure(error, other, "the closing of the source")
        finally:
            if self._memory is None:  # it will not be continued
                self.close()

    def finish_epoch(self, state: State) -> None:
        """Drop the iterator when the epoch is over, unless the next one goes on with it."""
        batches = state.get("batches")
        if not isinstance(batches, Epochs):
            if "_ended" in epoch_memory(state):  # no two threads may load from one loader
                self._source.pause()
            self.close()
        elif n_batches_drawn(state) < batches.n and "_ended" not in epoch_memory(state):
            forget_pass(state)
            self.close()

    def close(self) -> None:
        """Drop the iterator."""
        self._memory, self._source, self._cut = None, _NOTHING, None

    def failed(self, state: State) -> None:
        """After an error in the batches, keep their iterator, if it can continue.

        A generator that has raised cannot, and would look exhausted, so the batches are iterated
        again; likewise an Observable. A draw that was interrupted while waiting has not failed.
        """
        if "n_iters" not in state:  # a callback has removed it, which is the error
            return
        memory, drawn = epoch_memory(state), n_batches_drawn(state)
        memory["_failed_at"] = drawn
        if self._memory is not pass_memory(state):  # it has not reached the position of the epoch
            return
        if self._source.is_exhausted and not is_one_shot(state.get("batches")):
            self.close()
        elif self._source.has_failed:
            memory["_broken_at"] = drawn

    def check_resumable(self, state: State) -> None:
        """Raise if the position of the epoch in its batches is lost."""
        check_batches(state["batches"])
        memory, drawn = pass_memory(state), n_drawn_in_pass(state)
        is_lost = not self._serves(memory) and (drawn or self._memory is memory)
        if is_lost and is_pass_open(state) and is_one_shot(state["batches"]):
            raise RuntimeError(
                f"epoch {state['epoch']} cannot be resumed after {drawn} batches: "
                "expected batches that can be iterated again, to skip those, got the "
                f"iterator {shown(state['batches'])}, whose position is unknown; put a list, or an "
                "object whose __iter__ or __aiter__ is a generator function, into state['batches']"
            )

    def _skip(self, batches: Iterator[Any], state: State) -> None:
        """Skip the batches that the epoch has drawn, while the run is running."""
        while self._to_skip and self.request.goes_on(state):
            try:
                batch = next(batches)
            except StopIteration:
                if not self.request.goes_on(state):  # a stop waits for no silent source
                    return
                drawn = n_drawn_in_pass(state)
                raise too_few(drawn, drawn - self._to_skip) from None
            self._to_skip -= 1
            if not self._to_skip:
                state.setdefault("batch", batch)  # a state that was saved may be without it

    def _serves(self, memory: State) -> bool:
        """Return whether the iterator belongs to an epoch, and is at its position."""
        return self._memory is memory and not self._source.position_lost


class _PlainIterator:
    """A plain iterator with the methods of a `BufferedIterator`, without a thread behind it.

    The loop iterates over the iterator itself, unless a batch was pushed back.
    """

    running: Callable[[], bool]
    position_lost = False
    has_failed = True  # an error while drawing is always its own

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._iterator = iterator
        self._back: list[Any] = []

    def remaining(self) -> Iterator[Any]:
        """Return the iterator over the remaining batches; it does not keep those it has yielded."""
        back = self._back
        return chain(map(back.pop, (0,)), self._iterator) if back else self._iterator

    @property
    def is_exhausted(self) -> bool:
        """Whether it is a generator that has ended, as after an error."""
        return is_exhausted(self._iterator)

    def push_back(self, batch: Any) -> None:
        """Make a batch that was drawn the next one again."""
        self._back.append(batch)

    def wake(self) -> None:
        """Do nothing: a plain iterator blocks in user code, where we cannot wake it."""

    def pause(self) -> None:
        """Do nothing: there is no thread."""


_NOTHING = _PlainIterator(iter(()))


def check_batches(batches: object) -> None:
    """Raise unless it can be iterated, awaited or subscribed to."""
    source = loader_of(batches)
    if not can_be_iterated(source) and not is_asynchronous(source):
        cure = "pass a list, a generator or a loader of batches, an Observable or an async iterable"
        raise wrong_type("batches", "iterable", batches, cure)


def warn_if_spent(state: State, stacklevel: int) -> None:
    """Warn if an epoch may have missed batches, because its iterator was exhausted before."""
    memory, drawn = epoch_memory(state), n_batches_drawn(state)
    if memory.get("_broken_at") == drawn:
        reason = "their iterator raised an error before and has nothing left: some may be missing"
    elif drawn or "_ended" in memory or not is_one_shot(state["batches"]):
        return
    elif state["epoch"] > 1 or memory.get("_spent"):
        reason = "an iterator yields them once, and it was exhausted before: this epoch has none"
    else:
        return
    warnings.warn(
        f"epoch {state['epoch']} needs batches that can be iterated again, got "
        f"{shown(state['batches'])}: {reason}; pass a list, or an object whose __iter__ "
        "or __aiter__ is a generator function",
        RnnrWarning,
        stacklevel=stacklevel + 1,
    )


def _opened(batches: Any) -> tuple["BufferedIterator | _PlainIterator", bool]:
    """Begin to iterate; return the iterator, and whether the batches are live (nothing to skip)."""
    if is_asynchronous(batches):
        batches = buffered(batches)
    iterator = iter(batches)
    # batches may be a BufferedIterator already, if the user has called iter(prefetch(...))
    source = iterator if isinstance(iterator, BufferedIterator) else _PlainIterator(iterator)
    return source, isinstance(batches, Buffered) and batches.live


def is_one_shot(batches: object) -> bool:
    """Return whether the batches can be iterated only once."""
    batches = loader_of(batches)
    if isinstance(batches, Buffered):
        source, live = batches.source, batches.live
        return hasattr(type(source), "__next__") or is_closed_by_a_pause(source, live)
    return hasattr(type(batches), "__next__") or hasattr(type(batches), "__anext__")


def _is_spent(batches: object) -> bool:
    return is_exhausted(batches.source if isinstance(batches, Buffered) else batches)
