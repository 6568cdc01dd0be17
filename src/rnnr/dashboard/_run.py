"""The model of one runner's runs on the page, built from their reports alone."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from secrets import token_hex
from threading import Lock
from typing import Any, TypeAlias

from rnnr._numbers import as_json
from rnnr.attachments._control import ControlStatus
from rnnr.dashboard._progress import ENDLESS, Progress
from rnnr.event import BEGINNINGS, Event
from rnnr.reporting._history import History
from rnnr.reporting._report import Report
from rnnr.state import State

__all__ = ["Cursor", "RunModel"]

Cursor: TypeAlias = list[list[int]]
"""What a page has: for each series the number of rewrites and the number of points."""

_Point: TypeAlias = tuple[int, Mapping[str, float]]

_N_EVENTS = 50
_N_METRICS = 1000  # metrics of which to keep the latest value
_N_FIRST = 100  # number of first points after which batches are reported less often
_LEAST_SECONDS = 0.05  # between two of the later reports

_SILENT = 30.0  # seconds without a line after which the process of a recording may be dead
_LATE = 1.0  # seconds without a requested report after which no speed is shown
_STALE = 10.0  # seconds without any report after which no speed is shown
_USUAL = 3.0  # up to so many times the usual interval, a report is not late

_STATUS = {Event.FINISHED: "finished", Event.STOPPED: "stopped", Event.FAILED: "failed"}
_OVER = frozenset(_STATUS.values())


class RunModel:
    """Keeps the reports of one runner, in bounded memory, for the pages.

    Reports come from the training thread, requests from another one.

    Args:
        name: Name of the runner on the page.
        control_status: Returns the status of the control, or false if it does nothing; ``None`` for
            a recorded run.
        clock: Returns a time in seconds that never goes back.

    Attributes:
        key: Distinguishes it from an earlier model of the same name.
        heard_at: Time of the latest report, in seconds since 1970.
        read: Part of a recording that was read so far; ``None`` after all of it.
    """

    def __init__(
        self,
        name: str,
        *,
        control_status: Callable[[], ControlStatus | bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.key = token_hex(4)
        self.part_of: str | None = None
        self.part = "training"
        self.events: deque[tuple[float, str, str]] = deque(maxlen=_N_EVENTS)
        self._is_live = control_status is not None
        self._control_status = control_status or _no_status
        self.n_events = 0
        self.heard_at = 0.0
        self.read: float | None = None
        self._clock = clock
        self._lock = Lock()
        self._series: tuple[History[Mapping[str, float]], ...] = (History(), History())
        self.clear()

    def clear(self) -> None:
        """Drop all reports, also from the pages."""
        with self._lock:
            for series in self._series:
                series.go_back(-1)
            self._report: Report | None = None
            self._metrics: dict[str, float] = {}
            self._status = "waiting"
            self._error: str | None = None
            self._progress = Progress()
            self._of_batches: set[str] = set()  # names of the metrics of batches
            self._is_asked = self._is_inner = self._has_place = False
            self._due = self._not_before = 0.0
            self._asked_at = self._heard_at = 0.0

    def note(self, text: str) -> None:
        """Add a text to the events, with the time of day; for a recording, since its run began."""
        now, report = time.time(), self._report
        seconds = _plausible(report.seconds) if report else 0.0
        clock = time.strftime("%H:%M:%S", time.localtime(now))
        since = "" if seconds is None else f"+{seconds:.1f} s"
        self.n_events += 1
        self.events.append((now, clock if self._is_live else since, text))

    def wants(self, state: State) -> bool:
        """Return whether to report a batch: it is a point to keep, or a page has asked.

        After the first batches, which show at once whether a run begins well, the number of reports
        per second is limited: a report takes ten times as long when all else sleeps. During a pause
        the page must be exact.
        """
        if state["n_iters"] >= self._due and self._clock() >= self._not_before:
            return True
        return self._is_asked or bool(self._control_status())

    def ask(self) -> None:
        """Request a report of the next batch, whether or not it is a point to keep."""
        if not self._is_asked:
            self._asked_at = self._clock()
            self._is_asked = True

    def leave(self) -> None:
        """Expect no more reports, and keep those that there are; the control is gone, too."""
        self._control_status, self.read = _no_status, None
        self.ask()

    def add(self, report: Report) -> None:
        """Add a report."""
        with self._lock:
            self._is_asked = False
            self._heard_at = self._clock()
            self.heard_at = time.time()
            self._find_axis(report)
            if report.event in BEGINNINGS:
                self._begin(report)
            elif report.event is Event.EPOCH_FINISHED and self._has_place:
                self._series[1].add(report.step, self._of_epoch(report))
            elif report.event is Event.BATCH and not self._is_inner:  # inside, the step stays
                self._series[0].add(report.step, report.metrics)
                self._of_batches.update(report.metrics)
            self._progress.add(report, is_paused=bool(self._control_status()))
            self._status = _STATUS.get(report.event, "running")
            self._report = report
            self._error = report.error
            self._metrics.update(report.metrics)
            while len(self._metrics) > _N_METRICS:  # a run may use ever new names
                del self._metrics[next(iter(self._metrics))]
            self._due = math.inf if self._is_inner else self._series[0].due
            if len(self._series[0].points) > _N_FIRST:
                self._not_before = self._clock() + _LEAST_SECONDS
            if report.event is not Event.BATCH:
                self.note(_text(report))

    def since(self, cursor: Cursor | None) -> tuple[dict[str, Any], Cursor]:
        """Return what a page does not have yet, and its new cursor.

        Args:
            cursor: What the page has already; ``None`` for nothing.
        """
        with self._lock:
            is_valid = cursor is not None and len(cursor) == len(self._series)
            has = cursor if cursor is not None and is_valid else [[-1, 0]] * len(self._series)
            new = [_new(series, *had) for series, had in zip(self._series, has, strict=True)]
            now = [[series.n_rewritten, len(series.points)] for series in self._series]
            summary = self._summary()
        return {**summary, "series": [_columns(*each) for each in new]}, now

    def _find_axis(self, report: Report) -> None:
        """Choose the axis: once a run is seen inside another run, the batches of that run."""
        if report.is_inside and not self._is_inner:
            self._is_inner = True
            for series in self._series:
                series.go_back(-1)
        self._has_place = report.is_inside == self._is_inner  # false for a test after the training

    def _begin(self, report: Report) -> None:
        if self._has_place:
            for series in self._series:
                series.go_back(report.step)
        if report.event is Event.STARTED and not report.is_inside:
            self._metrics = {}

    def _of_epoch(self, report: Report) -> Mapping[str, float]:
        """Return the metrics of an epoch, without those that only its last batch has left."""
        if self._is_inner:
            return report.metrics
        of_batches = self._of_batches.difference(report.results)
        return {name: value for name, value in report.metrics.items() if name not in of_batches}

    def _summary(self) -> dict[str, Any]:
        report = self._report
        if report is None:
            status = "waiting" if self.read is None else "reading"
            return {"name": self.name, "status": status, "fraction": self.read, "latest": {}}
        is_endless = report.max_epoch >= ENDLESS
        progress = self._progress.of(report)
        speed, silent = progress["batches_per_second"], self._silent()
        status = self._status_after(silent, report)
        if status == "paused":
            self._progress.pause()
            self._asked_at = self._clock()  # a paused run is not silent
        is_on = status == "running" and not self._is_late(silent, speed)
        if status == "reading":
            progress["fraction"] = self.read
        return {
            "name": self.name,
            "status": status,
            "inside": report.is_inside,
            "event": report.event.name,
            "epoch": report.epoch,
            "max_epoch": None if is_endless else report.max_epoch,
            "n_iters": report.n_iters,
            **progress,
            "seconds": _plausible(report.seconds),
            "seconds_left": _plausible(progress["seconds_left"]) if is_on else None,
            "batches_per_second": _plausible(speed) if is_on or status in _OVER else None,
            "silent": silent if status in ("running", "silent") else 0.0,
            "latest": {name: as_json(value) for name, value in self._metrics.items()},
            "error": self._error,
        }

    def _silent(self) -> float:
        """Return the seconds without a report; for a live run, since a page has requested one."""
        if not self._is_live:
            return max(0.0, time.time() - self.heard_at)
        return max(0.0, self._clock() - self._asked_at) if self._is_asked else 0.0

    def _status_after(self, silent: float, report: Report) -> str:
        if self.read is not None:
            return "reading"
        if self._status != "running":
            return self._status
        if not self._is_live:
            is_dead = silent > max(_SILENT, _USUAL * self._progress.longest_gap)
            return "silent" if is_dead else "running"
        control = self._control_status()
        if control is ControlStatus.STOPPING and not report.is_inside:  # an inner run is finished
            return "stopping"
        return "paused" if control is ControlStatus.PAUSED else "running"

    def _is_late(self, silent: float, speed: float | None) -> bool:
        """Return whether a live run has slowed down, or its last report is too old to know."""
        usual = _USUAL / speed if speed else 0.0
        since = self._clock() - self._heard_at
        return self._is_live and (silent > max(_LATE, usual) or since > _STALE + usual)


def _new(
    series: History[Mapping[str, float]], n_rewritten: int, n_points: int
) -> tuple[int, list[_Point], _Point | None]:
    start = n_points if n_rewritten == series.n_rewritten else 0
    return start, series.points[start:], series.last


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


def _plausible(number: float | None) -> float | None:
    """Return a time or a speed, or ``None`` for an impossible one: a clock may be wrong."""
    return number if number is not None and 0 <= number < math.inf else None


def _value(metrics: Mapping[str, float], name: str) -> float | str | None:
    return as_json(metrics[name]) if name in metrics else None


def _text(report: Report) -> str:
    of = "" if report.max_epoch >= ENDLESS else f" of {report.max_epoch}"
    return f"{report.event.name} · epoch {report.epoch}{of}, {report.n_iters} batches"


def _no_status() -> bool:
    return False
