"""What a run tells those who watch: one immutable record."""

from collections.abc import Mapping
from typing import NamedTuple

from rnnr.event import Event

__all__ = ["Report"]


class Report(NamedTuple):
    """How a run stands at one moment; `reports` makes it, and it never changes.

    It pickles, and holds nothing of the state but numbers. `rnnr.recording` writes it to a file.

    Attributes:
        event (Event): What happened.
        epoch (int): Number of the current epoch, from 1; 0 before the first.
        max_epoch (int): Number of epochs to run.
        n_iters (int): Number of batches drawn since the run began.
        seconds (float): Seconds since the run began, pauses between a stop and ``resume`` too; 0
            where the clock was set back to before that.
        metrics (Mapping[str, float]): Numbers by name, in the order in which they were found.
        batches_per_second (float | None): Throughput over the last second or more, which begins
            again after a pause; ``None`` before there is any.
        n_batches (int | None): Length of the batches in this epoch; ``None`` where they have none.
        step (int): Where it belongs on the axis of a chart, in batches: ``n_iters``; for a run
            inside a callback of another one, ``n_iters`` of the outermost run.
        is_inside (bool): Whether it is of such a run.
        error (str | None): The traceback of what made the run fail; only with ``Event.FAILED``.
        results (tuple[str, ...]): Names of the metrics that are results of reducers or of the keys
            that you named, and not ``state["stats"]`` of the last batch; only at
            ``Event.EPOCH_FINISHED``.
    """

    event: Event
    epoch: int
    max_epoch: int
    n_iters: int
    seconds: float
    metrics: Mapping[str, float]
    batches_per_second: float | None = None
    n_batches: int | None = None
    step: int = 0
    is_inside: bool = False
    error: str | None = None
    results: tuple[str, ...] = ()
