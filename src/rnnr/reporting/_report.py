"""An immutable record of a run at one moment."""

from collections.abc import Mapping
from typing import NamedTuple

from rnnr._frozen import Frozen
from rnnr.event import Event
from rnnr.reporting._interval import Interval

__all__ = ["Report"]


class Report(NamedTuple):
    """The progress and the metrics of a run at one moment; made by `reports`.

    It pickles, and holds only numbers of the state. `rnnr.recording` writes it to a file.

    Attributes:
        event (Event): Event that is reported.
        epoch (int): Number of the current epoch, from 1; 0 before the first.
        max_epoch (int): Number of epochs to run.
        n_iters (int): Number of batches drawn since the run began.
        seconds (float): Seconds since the run began, including pauses between a stop and
            ``resume``; 0 if the clock was set back to before the beginning.
        metrics (Mapping[str, float]): Numbers by name, in the order in which they were found.
        batches_per_second (float | None): Throughput over the last second or more, measured again
            after a pause; ``None`` while it is unknown.
        n_batches (int | None): Length of the batches in this epoch; ``None`` if they have none.
        step (int): Position on the axis of a chart, in batches: ``n_iters``; for a run inside a
            callback of another run, ``n_iters`` of the outermost run.
        is_inside (bool): Whether the run is inside a callback of another run.
        error (str | None): Traceback of the exception; only at ``Event.FAILED``.
        results (tuple[str, ...]): Names of the metrics from reducers, from evaluations and from the
            keys that you named, not from ``state["stats"]`` of the last batch; only at
            ``Event.EPOCH_FINISHED``.
        began (float | None): When the run began, in seconds since 1970; only at ``Event.STARTED``
            and ``Event.RESUMED``.
        config (Mapping[str, float | str | None]): Configuration of the run, flat; only at
            ``Event.STARTED`` and ``Event.RESUMED``, and only if `reports` was given one, or a
            `RunInfo` is attached.
        stopped_by (str | None): Who has stopped the run after a whole event, as in
            ``state["stopped_by"]``, such as ``"SIGTERM"``; only at ``Event.STOPPED``, and ``None``
            after `rnnr.Runner.stop`.
        intervals (Mapping[str, tuple[tuple[int, Interval], ...]]): Values of each metric that is
            a float or an integer of Python, of all batches since the report before, as intervals
            of some batches, each with the number of its last one; only if `reports` was asked for
            them. They are not recorded.
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
    began: float | None = None
    config: Mapping[str, float | str | None] = Frozen()
    stopped_by: str | None = None
    intervals: Mapping[str, tuple[tuple[int, Interval], ...]] = Frozen()
