"""Where in an event a handler runs."""

from enum import IntEnum

from rnnr._errors import wrong_type
from rnnr.event import RULES, Event

__all__ = ["Layer", "check_layer", "place_of", "view_layer"]


class Layer(IntEnum):
    """Where in an event a handler runs, from the outermost layer to the innermost.

    Opening events and ``BATCH`` run the layers outside-in, closing events inside-out, but ``SAVE``
    and ``STOP`` come last in both. Within a layer the order is that of subscription.
    `rnnr.Runner.on` and ``subscribe`` use ``USER``.

    Attributes:
        CLOCK: What measures: its time contains everything else.
        USER: The callbacks of the user.
        REDUCE: What computes from what the callbacks wrote.
        DISPLAY: What shows what was computed from a batch. At the end of an epoch it comes
            first, to close; the reducers have the epoch's results after it.
        SAVE: What saves the run: every other handler of the event has run.
        STOP: What stops the run after the whole event, which is saved by then.

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
    SAVE = 4
    STOP = 5


def check_layer(layer: object) -> None:
    """Raise unless it is a layer."""
    if not isinstance(layer, Layer):
        raise wrong_type("layer", "a Layer", layer, "write for example Layer.REDUCE")


def place_of(layer: Layer, *, inside_out: bool) -> int:
    """Return the place of a layer in the order of an event."""
    return -layer if inside_out and layer < Layer.SAVE else layer


def view_layer(event: Event) -> Layer:
    """Return the layer of what watches: the last one before the run is saved.

    Closing events go outwards, the others inwards.
    """
    return Layer.CLOCK if RULES[event].closes else Layer.DISPLAY
