"""What happens in a run, in which order, and by which rules."""

from enum import Enum, auto
from typing import Final, NamedTuple

from rnnr.selection import Predicates, Selectable, always

__all__ = ["Event"]


class Event(Selectable, Enum):
    """What happens in a run.

    The order of events, which everything else in rnnr refers to::

        run(batches, max_epoch):   set the documented state keys; STARTED; loop
        resume(repeat_last_batch): running = True; RESUMED; if the epoch is open,
                                   repeat_last_batch is set and this epoch has drawn a
                                   batch: BATCH once more with that batch; loop
        loop:
            while running and (an epoch is open or epoch < max_epoch):
                if no epoch is open: epoch += 1; open it; EPOCH_STARTED
                for each further batch, while running and the epoch is not ended by
                end_epoch(): n_iters += 1; BATCH
                if the batches are exhausted, or it is ended: close the epoch;
                EPOCH_FINISHED
            exactly one of FINISHED (all epochs done) | STOPPED (running was set to
            False) | FAILED (an exception left a callback or the batches, also one
            of FINISHED), then running = False

    Every event but STOPPED and FAILED has a gate: once a callback has set
    ``state["running"]`` to ``False``, the remaining callbacks of that event are skipped.

    An event is a value that can be selected from: see `every`, `first`, `once`, `where`,
    `seconds`, and ``Event.EPOCH_FINISHED | Event.STOPPED``.

    Attributes:
        STARTED: A run began.
        EPOCH_STARTED: An epoch began; none of its batches is drawn yet.
        BATCH: A batch was drawn; it is ``state["batch"]``.
        EPOCH_FINISHED: The batches of the epoch are exhausted; reducers have their results.
        FINISHED: All epochs are done.
        RESUMED: A stopped or failed run goes on.
        STOPPED: The run ended because ``state["running"]`` was set to ``False``.
        FAILED: The run ended by an exception, which is ``state["error"]`` during this event.

    Example:
        >>> from rnnr import Event, Runner
        >>> runner = Runner()
        >>> for event in Event:
        ...     subscription = runner.on(event, lambda state, name=event.name: print(name))
        >>> runner.run(["a batch", "another"])
        STARTED
        EPOCH_STARTED
        BATCH
        BATCH
        EPOCH_FINISHED
        FINISHED
    """

    STARTED = auto()
    EPOCH_STARTED = auto()
    BATCH = auto()
    EPOCH_FINISHED = auto()
    FINISHED = auto()
    RESUMED = auto()
    STOPPED = auto()
    FAILED = auto()

    __hash__ = object.__hash__  # a member is one object, and that of Enum is slow

    @property
    def counter(self) -> str | None:
        """The key of the state that counts this event, or ``None``."""
        return RULES[self].counter

    def end_of(self, whole: str) -> "Event":
        """Return the event that ends the ``"epoch"`` or the ``"run"``."""
        return Event.EPOCH_FINISHED if whole == "epoch" else Event.FINISHED

    def predicates(self) -> Predicates:
        """Return the event, of which everything is selected."""
        return {self: always}


class Rules(NamedTuple):
    """What is true of an event.

    Attributes:
        counter: Key of the state that counts it, if there is one.
        begins: Whether a run begins or goes on with it.
        closes: Whether it runs the layers inside-out.
        ends: Whether it ends a run.
        gated: Whether its handlers are skipped once ``state["running"]`` is false.
    """

    counter: str | None = None
    begins: bool = False
    closes: bool = False
    ends: bool = False
    gated: bool = True


RULES: Final = {
    Event.STARTED: Rules(begins=True),
    Event.EPOCH_STARTED: Rules(counter="epoch"),
    Event.BATCH: Rules(counter="n_iters"),
    Event.EPOCH_FINISHED: Rules(counter="epoch", closes=True),
    Event.FINISHED: Rules(closes=True, ends=True),
    Event.RESUMED: Rules(begins=True),
    Event.STOPPED: Rules(closes=True, ends=True, gated=False),
    Event.FAILED: Rules(closes=True, ends=True, gated=False),
}
"""What is true of each event."""

BEGINNINGS: Final = tuple(event for event in Event if RULES[event].begins)
"""Events with which a run begins or goes on."""

ENDS: Final = tuple(event for event in Event if RULES[event].ends)
"""Events one of which ends a run."""
