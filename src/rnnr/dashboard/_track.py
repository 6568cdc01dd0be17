"""What the page knows of the runs of one runner, from their reports alone."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from secrets import token_hex
from threading import Lock
from typing import Any, TypeAlias

from rnnr.event import Event
from rnnr.history import History
from rnnr.reporting import Report
from rnnr.state import State
from rnnr.values import as_json

__all__ = ["Cursor", "Track"]

Cursor: TypeAlias = list[list[int]]
"""What a page has: for each lane how often it was rewritten, and how many points it has."""

_Point: TypeAlias = tuple[int, Mapping[str, float]]

_ENDLESS = 2**53  # no browser counts further
_N_EVENTS = 50
_N_FIRST = 100  # batches of a run that are all reported
_LEAST_SECONDS = 0.05  # between two of the others

_STATUS = {Event.FINISHED: "finished", Event.STOPPED: "stopped", Event.FAILED: "failed"}


class Track:
    """Keeps what the reports of one runner tell, in bounded memory, for pages that ask.

    Reports come from the training thread, questions from another one.

    Args:
        name: Name of the runner on the page.
        clock: Returns a time in seconds that never goes back.

    Attributes:
        key: What tells it from another of the same name.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.key = token_hex(4)
        self.events: deque[tuple[float, str]] = deque(maxlen=_N_EVENTS)
        self.n_events = 0
        self.heard_at = 0.0  # when the latest report was made, in seconds since 1970
        self._clock = clock
        self._lock = Lock()
        self._lanes: tuple[History[Mapping[str, float]], ...] = (History(), History())
        self.clear()

    def clear(self) -> None:
        """Forget all reports, those that pages have already, too."""
        with self._lock:
            for lane in self._lanes:
                lane.go_back(-1)
            self._report: Report | None = None
            self._metrics: dict[str, float] = {}
            self._status = "waiting"
            self._error: str | None = None
            self._began = (0.0, 0)  # the seconds and the batches at the latest start or resume
            self._epoch_began: int | None = None
            self._n_epochs = 0  # that have ended
            self._learned: int | None = None  # the batches of an epoch that has no length
            self._is_asked = self._is_inner = self._has_place = False
            self._due = self._not_before = 0.0

    def note(self, text: str) -> None:
        """Tell something among the events."""
        self.n_events += 1
        self.events.append((time.time(), text))

    def wants(self, state: State) -> bool:
        """Tell whether a batch is worth a report: it is a point to keep, or a page has asked.

        After the first batches, which show at once whether a run begins well, at most so many
        are reported a second: a report takes a hundred times as long when all else sleeps.
        """
        if state["n_iters"] < self._due:
            return self._is_asked
        return self._is_asked or self._clock() >= self._not_before

    def ask(self) -> None:
        """Ask for a report of the next batch, whichever it is."""
        self._is_asked = True

    def add(self, report: Report) -> None:
        """Take in a report."""
        with self._lock:
            self._is_asked = False
            self.heard_at = time.time()
            self._find_axis(report)
            if report.event in (Event.STARTED, Event.RESUMED):
                self._begin(report)
            elif report.event is Event.EPOCH_STARTED:
                self._epoch_began = report.n_iters
            elif report.event is Event.EPOCH_FINISHED:
                self._end_epoch(report)
            elif report.event is Event.BATCH and not self._is_inner:  # else it does not move on
                self._lanes[0].add(report.step, report.metrics)
            self._status = _STATUS.get(report.event, "running")
            self._report = report
            self._error = report.error
            self._metrics.update(report.metrics)
            self._due = math.inf if self._is_inner else self._lanes[0].due
            if len(self._lanes[0].points) > _N_FIRST:
                self._not_before = self._clock() + _LEAST_SECONDS
            if report.event is not Event.BATCH:
                self.note(_told(report))

    def since(self, cursor: Cursor | None) -> tuple[dict[str, Any], Cursor]:
        """Return what a page has to know, and what it has then.

        Args:
            cursor: What it has already; ``None`` for nothing.
        """
        with self._lock:
            is_whole = cursor is not None and len(cursor) == len(self._lanes)
            has = cursor if cursor is not None and is_whole else [[-1, 0]] * len(self._lanes)
            new = [_new(lane, *each) for lane, each in zip(self._lanes, has, strict=True)]
            now = [[lane.n_rewritten, len(lane.points)] for lane in self._lanes]
            summary = self._summary()
        return {**summary, "lanes": [_columns(*each) for each in new]}, now

    def _find_axis(self, report: Report) -> None:
        """Once it is seen inside of another run, its curves are along that one's batches."""
        if report.is_inside and not self._is_inner:
            self._is_inner = True
            for lane in self._lanes:
                lane.go_back(-1)
        self._has_place = report.is_inside == self._is_inner  # not a test set at the end

    def _begin(self, report: Report) -> None:
        if self._has_place:
            for lane in self._lanes:
                lane.go_back(report.step)
        if report.event is Event.STARTED:
            self._learned = self._epoch_began = None
            self._n_epochs = 0
        elif report.epoch < self._n_epochs:  # it was set back, to the middle of an epoch
            self._n_epochs = report.epoch - 1
        if report.event is Event.STARTED and not report.is_inside:
            self._metrics = {}
        self._began = report.seconds, report.n_iters

    def _end_epoch(self, report: Report) -> None:
        if self._has_place:
            self._lanes[1].add(report.step, report.metrics)
        self._n_epochs = report.epoch
        if self._epoch_began is not None:
            self._learned = report.n_iters - self._epoch_began

    def _summary(self) -> dict[str, Any]:
        report = self._report
        if report is None:
            return {"name": self.name, "status": "waiting", "latest": {}}
        is_endless = report.max_epoch >= _ENDLESS
        n_batches = report.n_batches if report.n_batches is not None else self._learned
        batch = self._batch(report, n_batches)
        fraction = self._fraction(report, batch, n_batches)
        return {
            "name": self.name,
            "status": self._status,
            "inside": report.is_inside,
            "event": report.event.name,
            "epoch": report.epoch,
            "max_epoch": None if is_endless else report.max_epoch,
            "n_iters": report.n_iters,
            "batch": batch,
            "n_batches": n_batches,
            "fraction": fraction,
            "seconds": _as_json(report.seconds),
            "seconds_left": _as_json(self._seconds_left(report, fraction)),
            "batches_per_second": _as_json(report.batches_per_second),
            "silent": max(0.0, time.time() - self.heard_at),
            "latest": {name: as_json(value) for name, value in self._metrics.items()},
            "error": self._error,
        }

    def _batch(self, report: Report, n_batches: int | None) -> int | None:
        """Return how many batches of its epoch are done."""
        began = self._epoch_began
        is_lost = began is None or began > report.n_iters  # not heard of, or set back since
        if is_lost and n_batches is not None:
            began = max(0, report.epoch - 1) * n_batches
        return None if began is None else max(0, report.n_iters - began)

    def _fraction(self, report: Report, batch: int | None, n_batches: int | None) -> float | None:
        if report.event is Event.FINISHED:
            return 1.0
        if not 0 < report.max_epoch < _ENDLESS:
            return None
        done = report.epoch - 1.0
        if self._n_epochs == report.epoch:
            done = report.epoch
        elif batch and n_batches:
            done += min(1.0, batch / n_batches)
        return min(1.0, max(0.0, done / report.max_epoch))

    def _seconds_left(self, report: Report, fraction: float | None) -> float | None:
        """Estimate it from the mean speed since the start, evaluations included."""
        seconds = report.seconds - self._began[0]
        n_done = report.n_iters - self._began[1]
        if not fraction or self._status != "running" or seconds <= 0 or n_done <= 0:
            return None
        return report.n_iters / fraction * (1 - fraction) * seconds / n_done


def _new(
    lane: History[Mapping[str, float]], n_rewritten: int, n_points: int
) -> tuple[int, list[_Point], _Point | None]:
    start = n_points if n_rewritten == lane.n_rewritten else 0
    return start, lane.points[start:], lane.last


def _columns(start: int, points: list[_Point], last: _Point | None) -> dict[str, Any]:
    names = _names(metrics for _, metrics in points)
    return {
        "from": start,
        "steps": [step for step, _ in points],
        "metrics": {name: [_value(metrics, name) for _, metrics in points] for name in names},
        "last": last
        and {
            "step": last[0],
            "metrics": {name: as_json(value) for name, value in last[1].items()},
        },
    }


def _names(many: Iterable[Mapping[str, float]]) -> list[str]:
    return list(dict.fromkeys(name for metrics in many for name in metrics))


def _as_json(number: float | None) -> float | str | None:
    return None if number is None else as_json(number)


def _value(metrics: Mapping[str, float], name: str) -> float | str | None:
    return as_json(metrics[name]) if name in metrics else None


def _told(report: Report) -> str:
    of = "" if report.max_epoch >= _ENDLESS else f" of {report.max_epoch}"
    return f"{report.event.name} · epoch {report.epoch}{of}, {report.n_iters} batches"
