"""How far a run is, and how long it will take."""

from math import inf
from typing import Any

from rnnr.event import BEGINNINGS, ENDS, Event
from rnnr.reporting._report import Report
from rnnr.reporting._reports import Throughput

__all__ = ["ENDLESS", "Progress"]

ENDLESS = 2**53
"""So many epochs are no end: no browser counts further."""


class Progress:
    """Follows the reports of a run, and tells what is done of it and what is left.

    Attributes:
        longest_gap (float): The most seconds from one report to the next, where none is a pause.
    """

    def __init__(self) -> None:
        self.longest_gap = 0.0
        self._began = (0.0, 0)  # the seconds and the batches from where the mean is measured
        self._throughput = Throughput()
        self._rate: float | None = None
        self._before: tuple[float, int] | None = None  # seconds and batches of the last report
        self._was_held = self._had_speed = False
        self._epoch_began: int | None = None
        self._n_epochs = 0  # that have ended
        self._learned: int | None = None  # the batches of an epoch that has no length

    def add(self, report: Report, *, is_held: bool = False) -> None:
        """Take in a report.

        Args:
            report: The newest.
            is_held: Whether the run is being paused.
        """
        if report.event in BEGINNINGS:
            self._begin(report)
        elif report.event is Event.EPOCH_STARTED:
            self._epoch_began = report.n_iters
        elif report.event is Event.EPOCH_FINISHED:
            self._n_epochs = report.epoch
            if self._epoch_began is not None and self._epoch_began <= report.n_iters:
                self._learned = report.n_iters - self._epoch_began
        self._measure(report)
        self._was_held = is_held

    def hold(self) -> None:
        """Learn that the run is held, perhaps in another one that it waits for."""
        self._was_held = True

    def of(self, report: Report) -> dict[str, Any]:
        """Return the batches done in the epoch, those it has, the part of the run, seconds left.

        And the batches a second: the mean when it is over, and of the last second or more before
        that. Pauses are in neither. Each of them is ``None`` where it is not known.
        """
        n_batches = report.n_batches if report.n_batches is not None else self._learned
        batch = self._batch(report, n_batches)
        fraction = self._fraction(report, batch, n_batches)
        return {
            "batch": batch,
            "n_batches": n_batches,
            "fraction": fraction,
            "seconds_left": self._seconds_left(report, fraction),
            "batches_per_second": self._mean(report) if report.event in ENDS else self._rate,
        }

    def _measure(self, report: Report) -> None:
        seconds, n_iters = report.seconds, report.n_iters
        before, self._before = self._before, (seconds, n_iters)
        if report.event in BEGINNINGS:
            self._throughput.begin(seconds, n_iters)
        elif before is not None and 0 <= (passed := seconds - before[0]) < inf:
            is_new = self._had_speed and report.batches_per_second is None  # as after a pause
            if self._was_held or is_new:  # the pause says nothing of its speed
                self._throughput.begin(seconds, n_iters)
                self._began = self._began[0] + passed, self._began[1] + n_iters - before[1]
            else:
                self.longest_gap = max(self.longest_gap, passed)
        self._had_speed = report.batches_per_second is not None
        self._rate = self._throughput.at(seconds, n_iters)

    def _begin(self, report: Report) -> None:
        if report.event is Event.STARTED:
            self._learned = self._epoch_began = None
            self._n_epochs = 0
            self.longest_gap = 0.0
        elif report.epoch < self._n_epochs:  # it was set back, to the middle of an epoch
            self._n_epochs = report.epoch - 1
        self._began = report.seconds, report.n_iters

    def _batch(self, report: Report, n_batches: int | None) -> int | None:
        began = self._epoch_began
        is_lost = began is None or began > report.n_iters  # not heard of, or set back since
        if is_lost and n_batches is not None:
            began = max(0, report.epoch - 1) * n_batches
        return None if began is None else max(0, report.n_iters - began)

    def _fraction(self, report: Report, batch: int | None, n_batches: int | None) -> float | None:
        if report.event is Event.FINISHED:
            return 1.0
        if not 0 < report.max_epoch < ENDLESS:
            return None
        done = report.epoch - 1.0
        if self._n_epochs == report.epoch:
            done = report.epoch
        elif n_batches:
            done += min(1.0, (batch or 0) / n_batches)
        elif report.max_epoch == 1 and n_batches is None:  # nothing tells how long it will be
            return None
        return min(1.0, max(0.0, done / report.max_epoch))

    def _seconds_left(self, report: Report, fraction: float | None) -> float | None:
        """Estimate it from the mean speed since the start, evaluations included."""
        mean = self._mean(report)
        return report.n_iters / fraction * (1 - fraction) / mean if mean and fraction else None

    def _mean(self, report: Report) -> float | None:
        """Return the batches a second since it was started or resumed, without pauses."""
        seconds, n_done = report.seconds - self._began[0], report.n_iters - self._began[1]
        return n_done / seconds if 0 < seconds < inf and n_done > 0 else None
