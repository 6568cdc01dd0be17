"""Where in an event a handler runs."""

from enum import IntEnum

from rnnr.event import RULES, Event

__all__ = ["Layer", "last_layer"]


class Layer(IntEnum):
    """Where in an event a handler runs, from the outermost layer to the innermost.

    Opening events and ``BATCH`` run the layers outside-in, closing events inside-out. Within
    a layer the order is that of subscription. `rnnr.Runner.on` and ``subscribe`` use ``USER``.

    Attributes:
        CLOCK: What measures: its time contains everything else.
        USER: The callbacks of the user.
        REDUCE: What computes from what the callbacks wrote.
        DISPLAY: What shows what was computed from a batch. At the end of an epoch it comes
            first, to close; the reducers have the epoch's results after it.

    Example:
        >>> from rnnr import Event, Layer, Runner
        >>> runner = Runner()
        >>> batches = runner.stream(Event.BATCH)
        >>> shown = batches.add(lambda state: print("shown"), layer=Layer.DISPLAY)
        >>> trained = runner.on(Event.BATCH, lambda state: print("trained"))
        >>> runner.run([1])
        trained
        shown
    """

    CLOCK = 0
    USER = 1
    REDUCE = 2
    DISPLAY = 3


def last_layer(event: Event) -> Layer:
    """Return the layer that runs last: closing events go outwards, the others inwards."""
    return Layer.CLOCK if RULES[event].closes else Layer.DISPLAY
