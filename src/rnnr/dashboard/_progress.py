"""The progress of a run, and the time that it will take."""

from collections.abc import Sequence
from math import inf
from operator import le, sub
from typing import Any

from rnnr.event import BEGINNINGS, ENDS, Event
from rnnr.recording._batches import Batches
from rnnr.reporting._report import Report
from rnnr.reporting._reports import Throughput

__all__ = ["ENDLESS", "Progress"]

ENDLESS = 2**53
"""Number of epochs from which a run counts as endless: browsers cannot count further."""


class Progress:
    """Computes from the reports of a run what part of it is done, and what is left.

    Attributes:
        longest_gap (float): Most seconds from one report to the next, not counting pauses.
    """

    def __init__(self) -> None:
        self.longest_gap = 0.0
        self._began = (0.0, 0)  # seconds and batches from which the mean speed is measured
        self._throughput = Throughput()
        self._rate: float | None = None
        self._latest: tuple[float, int] | None = None  # seconds and batches of the latest report
        self._was_paused = self._had_speed = False
        self._epoch_began: int | None = None
        self._finished = (0, 0)  # the latest epoch that has finished, and the batches until then
        self._learned: int | None = None  # batches of an epoch, if they have no length

    def add(self, report: Report, *, is_paused: bool = False) -> None:
        """Add the newest report.

        Args:
            report: The report.
            is_paused: Whether the run is being paused.
        """
        if report.event in BEGINNINGS:
            self._begin(report)
        elif report.event is Event.EPOCH_STARTED:
            self._epoch_began = report.n_iters
        elif report.event is Event.EPOCH_FINISHED:
            self._finished = report.epoch, report.n_iters
            if self._epoch_began is not None and self._epoch_began <= report.n_iters:
                self._learned = report.n_iters - self._epoch_began
        self._measure(report)
        self._was_paused = is_paused

    def add_batches(self, batches: Batches) -> None:
        """Add the reports of batches, which follow each other, faster than one by one."""
        self.add(batches.report(0))
        if _is_plain(batches):
            seconds, n_iters = batches.columns["seconds"], batches.columns["n_iters"]
            self.longest_gap = max(self.longest_gap, *map(sub, seconds[1:], seconds))
            self._throughput.at_each(seconds[1:], n_iters[1:])
            self._latest = seconds[-1], n_iters[-1]
            self._rate = self._throughput.at(*self._latest)
        else:
            for n in range(1, len(batches)):
                self.add(batches.report(n))

    def pause(self) -> None:
        """Remember that the run is paused, perhaps in another run that it waits for."""
        self._was_paused = True

    def of(self, report: Report) -> dict[str, Any]:
        """Return the progress at a report; each value is ``None`` if it is unknown.

        The values are the batches done in the epoch, the batches of the epoch, the fraction of the
        run, the seconds left, and the batches per second: the mean of a run that has ended, else
        over the last second or more, without pauses in both cases.
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
        previous, self._latest = self._latest, (seconds, n_iters)
        if report.event in BEGINNINGS:
            self._throughput.begin(seconds, n_iters)
        elif previous is not None and 0 <= (elapsed := seconds - previous[0]) < inf:
            is_new = self._had_speed and report.batches_per_second is None  # as after a pause
            if self._was_paused or is_new:  # a pause is not part of the speed
                self._throughput.begin(seconds, n_iters)
                self._began = self._began[0] + elapsed, self._began[1] + n_iters - previous[1]
            else:
                self.longest_gap = max(self.longest_gap, elapsed)
        self._had_speed = report.batches_per_second is not None
        self._rate = self._throughput.at(seconds, n_iters)

    def _begin(self, report: Report) -> None:
        if report.event is Event.STARTED:
            self._learned = self._epoch_began = None
            self._finished = (0, 0)
            self.longest_gap = 0.0
        elif (report.epoch, report.n_iters) < self._finished:  # it was set back into an epoch
            self._finished = report.epoch - 1, report.n_iters
        self._began = report.seconds, report.n_iters

    def _batch(self, report: Report, n_batches: int | None) -> int | None:
        began = self._epoch_began
        is_unknown = began is None or began > report.n_iters  # not reported, or set back since
        if is_unknown and n_batches is not None:
            began = max(0, report.epoch - 1) * n_batches
        return None if began is None else max(0, report.n_iters - began)

    def _fraction(self, report: Report, batch: int | None, n_batches: int | None) -> float | None:
        if report.event is Event.FINISHED:
            return 1.0
        if not 0 < report.max_epoch < ENDLESS:
            return None
        done = report.epoch - 1.0
        if self._finished[0] == report.epoch:
            done = report.epoch
        elif n_batches:
            done += min(1.0, (batch or 0) / n_batches)
        elif report.max_epoch == 1 and n_batches is None:  # nothing is known about its length
            return None
        return min(1.0, max(0.0, done / report.max_epoch))

    def _seconds_left(self, report: Report, fraction: float | None) -> float | None:
        """Estimate the seconds left from the mean speed since the start, evaluations included."""
        mean = self._mean(report)
        return report.n_iters / fraction * (1 - fraction) / mean if mean and fraction else None

    def _mean(self, report: Report) -> float | None:
        """Return the batches per second since the start or resume, without pauses."""
        seconds, n_done = report.seconds - self._began[0], report.n_iters - self._began[1]
        return n_done / seconds if 0 < seconds < inf and n_done > 0 else None


def _is_plain(batches: Batches) -> bool:
    """Return whether the times and counters only grow, and no pause is among them."""
    seconds, speeds = batches.columns["seconds"], batches.columns.get("batches_per_second", ())
    has_pause = None in speeds and any(speed is not None for speed in speeds)
    is_rising = _is_rising(seconds) and _is_rising(batches.columns["n_iters"])
    return is_rising and seconds[-1] < inf and not has_pause


def _is_rising(column: Sequence[float]) -> bool:
    return all(map(le, column, column[1:]))
