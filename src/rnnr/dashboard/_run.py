"""The model of one runner's runs on the page, built from their reports alone."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from secrets import token_hex
from threading import Lock
from typing import Any

from rnnr._runs import Slot
from rnnr.attachments._control import Control, ControlStatus
from rnnr.dashboard._axis import Pairs
from rnnr.dashboard._metrics import BATCH, EPOCH, Metrics
from rnnr.dashboard._progress import ENDLESS, Progress
from rnnr.event import BEGINNINGS, ENDS, Event
from rnnr.recording._batches import Batches
from rnnr.reporting._report import Report
from rnnr.reporting._system import SYSTEM
from rnnr.state import State

__all__ = ["RunModel"]

_N_EVENTS = 50
_N_FIRST = 100  # number of first batches after which batches are reported less often
_LEAST_SECONDS = 0.1  # between two of the later reports
_REST = 100  # times as long as it takes to add a report, until the next one

_SILENT = 30.0  # seconds without a line after which the process of a recording may be dead
_LATE = 1.0  # seconds without a requested report after which no speed is shown
_STALE = 10.0  # seconds without any report after which no speed is shown
_USUAL = 3.0  # up to so many times the usual interval, a report is not late

_NO_CONTROL = Control()  # of a recorded run, and of one that was detached
_NOTHING = ControlStatus.NONE  # its lookup would double the cost of `wants` at each batch

_STATUS = {Event.FINISHED: "finished", Event.STOPPED: "stopped", Event.FAILED: "failed"}
_OVER = frozenset(_STATUS.values())


class RunModel:
    """Keeps the reports of one runner, in bounded memory, for the pages.

    Reports come from the training thread, requests from another one.

    Args:
        name: Name of the runner on the page.
        control: What controls the run; ``None`` for a recorded run.
        clock: Returns a time in seconds that never goes back.

    Attributes:
        key: Distinguishes the run from an earlier one of the same runner or name.
        around: Slot of the runner whose run was around this one; ``None`` while there was none.
        heard_at: Time of the latest report, in seconds since 1970.
        read: Part of a recording that was read so far; ``None`` after all of it.
    """

    def __init__(
        self,
        name: str,
        *,
        control: Control | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.around: Slot | None = None
        self.events: deque[tuple[float, str, str]] = deque(maxlen=_N_EVENTS)
        self._is_live = control is not None
        self._control = control or _NO_CONTROL
        self.n_events = 0
        self.heard_at = 0.0
        self.read: float | None = None
        self._clock = clock
        self._lock = Lock()
        self._version = 0
        self._told: object = None
        self.clear()

    def clear(self) -> None:
        """Drop all reports, also from the pages."""
        with self._lock:
            self._begin_again()
            self._report: Report | None = None
            self._status = "waiting"
            self._error: str | None = None
            self._progress = Progress()
            self._is_asked = self._is_inner = self._has_place = False
            self._not_before = 0.0
            self._asked_at = self._heard_at = 0.0

    @property
    def is_inside(self) -> bool:
        """Whether a run inside another run was seen."""
        return self._is_inner

    def note(self, text: str) -> None:
        """Add a text to the events, with the time of day; for a recording, since its run began."""
        now, report = time.time(), self._report
        seconds = _plausible(report.seconds) if report else 0.0
        clock = time.strftime("%H:%M:%S", time.localtime(now))
        since = "" if seconds is None else f"+{seconds:.1f} s"
        self.events.append((now, clock if self._is_live else since, text))
        self.n_events += 1  # last: who has read it finds the event

    def wants(self, state: State) -> bool:  # noqa: ARG002  (a test of states)
        """Return whether to report a batch: it is time, or a page has asked.

        After the first batches, which show at once whether a run begins well, the number of reports
        per second is limited: a report takes ten times as long when all else sleeps. During a pause
        the page must be exact. No batch of a run inside another run has a place on a chart.
        """
        if self._is_asked or (self._clock() >= self._not_before and not self._is_inner):
            return True
        return self._control.status is not _NOTHING

    def ask(self) -> None:
        """Request a report of the next batch, whether or not it is time."""
        if not self._is_asked:
            self._asked_at = self._clock()
            self._is_asked = True

    def leave(self) -> None:
        """Expect no more reports, and keep those that there are; the control is gone, too."""
        self._control, self.read = _NO_CONTROL, None
        self.ask()

    def add(self, report: Report) -> None:
        """Add a report."""
        with self._lock:
            self._is_asked = False
            self._heard_at = now = self._clock()
            self.heard_at = time.time()
            self._version += 1
            self._find_axis(report)
            if report.event in BEGINNINGS:
                self._begin(report)
            self._add_metrics(report)
            if not self._is_inner:
                self._add_to_axis(report)
            self._progress.add(report, is_paused=self._control.status is not _NOTHING)
            self._status = _STATUS.get(report.event, "running")
            self._report = report
            self._error = report.error
            self._n_batches += report.event is Event.BATCH
            if self._n_batches > _N_FIRST:
                rest = max(_LEAST_SECONDS, _REST * (self._clock() - now))
                self._not_before = now + rest
            if report.event is not Event.BATCH:
                self.note(_text(report))
            self._note_full()

    def add_batches(self, batches: Batches) -> None:
        """Add reports of batches that follow each other, faster than one by one."""
        with self._lock:
            seconds = batches.columns["seconds"]
            is_plain = batches.is_rising and all(map(_is_plausible, seconds))
            is_plain = is_plain and not any(name.startswith(SYSTEM) for name in batches.names)
            if is_plain and not self._is_inner:
                self._add_batches_at_once(batches)
                return
        for n in range(len(batches)):
            self.add(batches.report(n))

    def since(self, version: int | None, **others: Any) -> tuple[dict[str, Any] | None, int]:
        """Return the run if it has changed, else ``None``; and its version.

        Args:
            version: Version that the page has; ``None`` for none.
            others: What else to tell of the run.
        """
        with self._lock:
            told = {"key": self.key, "name": self.name, **others, **self._summary()}
            silent = told.get("silent", 0.0)  # minutes will do after a while, for an old recording
            coarse = told | {"silent": round(silent if silent < 60 else silent / 60)}
            if coarse != self._told:
                self._told = coarse
                self._version += 1
            if version == self._version:
                return None, version
            return {**told, **self._whole()}, self._version

    def metrics_at(self, places: Iterable[int]) -> dict[int, tuple[str, str]]:
        """Return the kinds and the names of some metrics by their numbers, of those that exist."""
        with self._lock:
            found = {place: self._metrics.at(place) for place in places}
        return {place: metric for place, metric in found.items() if metric is not None}

    def names_of_batches(self) -> set[str]:
        """Return the names of the metrics of batches."""
        with self._lock:
            return {name for of, name in self._metrics if of == BATCH}

    def curve(self, place: int, rewritten: int, closed: int) -> tuple[dict[str, Any], bytes] | None:
        """Return the rows of a curve that a page lacks, as `Metrics.rows` does."""
        with self._lock:
            found = self._metrics.rows(place, rewritten, closed)
            return found and ({"key": self.key, **found[0]}, found[1])

    def _add_batches_at_once(self, batches: Batches) -> None:
        self._is_asked = False
        self._heard_at = self._clock()
        self.heard_at = time.time()
        self._version += 1
        self._has_place = True
        for name, values in zip(batches.names, batches.values, strict=True):
            self._metrics.extend(name, batches.steps, values)
        self._seconds.extend(batches.steps, batches.columns["seconds"])
        self._progress.add_batches(batches)
        self._status = "running"
        self._report = batches.report(len(batches) - 1)
        self._error = None
        self._n_batches += len(batches)
        self._note_full()

    def _begin_again(self) -> None:
        """Begin to collect the metrics of a new run."""
        self.key = token_hex(4)
        self._metrics = Metrics()
        self._seconds, self._epochs = Pairs(), Pairs()
        self._config: Mapping[str, float | str | None] = {}
        self._began: float | None = None
        self._n_batches = 0
        self._has_noted = False

    def _find_axis(self, report: Report) -> None:
        """Choose the axis: once a run is seen inside another run, the batches of that run."""
        if report.is_inside and not self._is_inner:
            self._is_inner = True
            if self._report is not None:
                self._begin_again()
        self._has_place = report.is_inside == self._is_inner  # false for a test after the training

    def _begin(self, report: Report) -> None:
        is_new = report.event is Event.STARTED and not self._is_inner
        if is_new and self._report is not None:
            self._begin_again()
        elif self._has_place:
            for each in (self._metrics, self._seconds, self._epochs):
                each.go_back(report.step)
        self._config = report.config or self._config
        if not self._is_inner and report.began is not None:
            self._began = _plausible(report.began)

    def _add_metrics(self, report: Report) -> None:
        event, step = report.event, report.step
        if not self._is_inner:
            self._add_batches(report)
        if event is Event.EPOCH_FINISHED:
            for name, value in self._of_epoch(report).items():
                if self._has_place:
                    self._metrics.add(EPOCH, name, step, value)
                else:
                    self._metrics.set_last(EPOCH, name, value)
        elif event in ENDS and self._has_place:
            for name, value in report.metrics.items():  # those that are there at the end alone
                if not name.startswith(SYSTEM):  # which are added at every event
                    of = BATCH if (BATCH, name) in self._metrics else EPOCH
                    self._metrics.add_later(of, name, step, value)

    def _add_batches(self, report: Report) -> None:
        metrics, step, intervals = self._metrics, report.step, report.intervals
        for name, parts in intervals.items():
            for last, interval in parts:
                metrics.add_interval(BATCH, name, last, interval)
        is_batch = report.event is Event.BATCH
        for name, value in report.metrics.items():
            if name.startswith(SYSTEM):
                metrics.add_later(BATCH, name, step, value)
            elif is_batch and (name not in intervals or intervals[name][-1][0] < step):
                metrics.add(BATCH, name, step, value)

    def _note_full(self) -> None:
        if self._metrics.is_full and not self._has_noted:
            self._has_noted = True
            self.note("more than 1000 metrics: further ones are left out")

    def _add_to_axis(self, report: Report) -> None:
        seconds = _plausible(report.seconds)
        if seconds is not None:
            self._seconds.add(report.step, seconds)
        if report.event is Event.EPOCH_FINISHED:
            self._epochs.add(report.step, report.epoch)

    def _of_epoch(self, report: Report) -> Mapping[str, float]:
        """Return the metrics of an epoch, without those that only its last batch has left."""
        return {
            name: value
            for name, value in report.metrics.items()
            if name in report.results
            or (EPOCH, name) in self._metrics
            or not ((BATCH, name) in self._metrics or name.startswith(SYSTEM))
        }

    def _whole(self) -> dict[str, Any]:
        """Return what is only of interest if something has changed."""
        return {
            "live": self._is_live,
            "config": dict(self._config),
            "began": self._began,
            "clock": self._seconds.all(),
            "epochs": self._epochs.all(),
            "metrics": self._metrics.columns(),
        }

    def _summary(self) -> dict[str, Any]:
        report = self._report
        if report is None:
            status = "waiting" if self.read is None else "reading"
            return {"status": status, "fraction": self.read}
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
            "error": self._error,
            "stopped_by": report.stopped_by,
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
        control = self._control.status
        if control is ControlStatus.STOPPING and not report.is_inside:  # an inner run is finished
            return "stopping"
        return "paused" if control is ControlStatus.PAUSED else "running"

    def _is_late(self, silent: float, speed: float | None) -> bool:
        """Return whether a live run has slowed down, or its last report is too old to know."""
        usual = _USUAL / speed if speed else 0.0
        since = self._clock() - self._heard_at
        return self._is_live and (silent > max(_LATE, usual) or since > _STALE + usual)


def _plausible(number: float | None) -> float | None:
    """Return a time or a speed, or ``None`` for an impossible one: a clock may be wrong."""
    return number if number is not None and _is_plausible(number) else None


def _is_plausible(number: float) -> bool:
    return 0 <= number < math.inf


def _text(report: Report) -> str:
    of = "" if report.max_epoch >= ENDLESS else f" of {report.max_epoch}"
    by = f", by {report.stopped_by}" if report.stopped_by else ""
    return f"{report.event.name} · epoch {report.epoch}{of}, {report.n_iters} batches{by}"
