"""What a bar spans: an epoch, or a run."""

import re
import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from rnnr.attachments._display import one_line, plain_number
from rnnr.sources._kinds import length_of
from rnnr.state import State, epoch_memory, n_batches_drawn, run_memory

__all__ = ["EPOCH_SPAN", "RUN_SPAN", "RUN_SPAN_WITH_TOTAL", "Bounds", "Span", "with_fields"]


class Bounds(NamedTuple):
    """Where a bar begins, and where it ends.

    Attributes:
        initial: Its position now.
        arguments: Arguments for the bar, if the user has not given others.
        counts_epochs: Whether it advances by one for each epoch, and not by the items of a batch.
    """

    initial: Any
    arguments: dict[str, Any]
    counts_epochs: bool = False


class Span(NamedTuple):
    """What one bar spans.

    Attributes:
        memory: Returns the memory in the state that keeps its position, in items.
        bounds: Returns its bounds, given the state and its position in items.
        is_run: Whether it spans a run, and not an epoch.
    """

    memory: Callable[[State], dict[str, Any]]
    bounds: Callable[[State, Any], Bounds]
    is_run: bool


def _bounds_of_run(state: State, position: Any) -> Bounds:
    """Return the bounds of a run in an open epoch: in batches, if the length of an epoch is known.

    The batches of later epochs are taken to be as many as those of this one.
    """
    length, max_epoch = length_of(state["batches"]), state["max_epoch"]
    is_endless = max_epoch >= sys.maxsize
    n_before = state["epoch"] - 1
    if length is None:
        total = None if is_endless else max_epoch
        return Bounds(n_before, {"total": total, "unit": "epoch"}, counts_epochs=True)
    left = (max_epoch - n_before) * length
    total = None if is_endless else position - n_batches_drawn(state) + left
    return Bounds(position, {"total": total})


def _bounds_of_the_user(_: State, position: Any) -> Bounds:
    """Return the position alone: the user gives the total, or tqdm asks the batches."""
    return Bounds(position, {})


EPOCH_SPAN: Final = Span(epoch_memory, _bounds_of_the_user, is_run=False)
RUN_SPAN: Final = Span(run_memory, _bounds_of_run, is_run=True)
RUN_SPAN_WITH_TOTAL: Final = Span(run_memory, _bounds_of_the_user, is_run=True)


def with_fields(text: str, state: State) -> str:
    """Return a text with the values of keys of the state in the place of ``{key}``.

    What is not a key of the state stays as it is: braces were no fields in 0.4.0.
    """

    def value(match: re.Match[str]) -> str:
        key = match[1]
        return one_line(plain_number(state[key])) if key in state else match[0]

    return re.sub(r"\{(\w+)\}", value, text)
