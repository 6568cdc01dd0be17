"""Replay a recorded run as an Observable."""

import os
import warnings
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from math import inf, nan
from pathlib import Path
from threading import TIMEOUT_MAX

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, SerialDisposable, SingleAssignmentDisposable
from reactivex.scheduler import CurrentThreadScheduler, TimeoutScheduler

from rnnr._errors import RnnrWarning, as_number
from rnnr._logs._path import as_path
from rnnr.recording._tail import Tail
from rnnr.reporting._report import Report
from rnnr.scheduling import IN_PLACE

__all__ = ["paced", "replay"]

_AT_A_TIME = 256  # lines to read


def replay(path: str | os.PathLike[str], speed: float = 1.0) -> Observable[Report]:
    """Return a cold Observable of the reports in a recording.

    Subscribe to it like to `rnnr.reporting.reports`. It emits the first report at once, and each
    later one after the same time as in the run, divided by ``speed``. Where the seconds go back,
    because another run begins in the same file, it does not wait. It completes at the end of the
    file. If lines or metrics were left out, a `rnnr.RnnrWarning` then names those lines.

    The file is read from its beginning for each subscription, a few lines at a time. Without a
    scheduler, reports come on threads of timers; with ``speed=math.inf``, they come on the thread
    that subscribes, before ``subscribe`` returns.

    Args:
        path: File that a `rnnr.recording.Record` has written, or is writing.
        speed: Factor by which to speed the run up; ``math.inf`` does not wait at all.

    Raises:
        TypeError: If ``path`` is not a path or ``speed`` is not a number.
        ValueError: If ``path`` is not a file, or ``speed`` is not above 0.
        OSError: If the file is not there, or cannot be read.

    Example:
        >>> import math
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from reactivex import operators as ops
        >>> from rnnr import Runner
        >>> from rnnr.recording import Record, replay
        >>> with TemporaryDirectory() as folder:
        ...     runner, path = Runner(), Path(folder, "run.jsonl")
        ...     recording = Record(path).attach_on(runner)
        ...     runner.run(["a batch", "another"])
        ...     names = replay(path, speed=math.inf).pipe(ops.map(lambda report: report.event.name))
        ...     subscription = names.subscribe(print)
        STARTED
        EPOCH_STARTED
        BATCH
        BATCH
        EPOCH_FINISHED
        FINISHED
    """
    file = as_path(path)
    Tail(file).check()
    cure = "pass for example 10, or math.inf"
    rate = as_number("speed", speed, "a number above 0", lambda number: number > 0, cure)

    def subscribe(
        observer: abc.ObserverBase[Report], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        here = CurrentThreadScheduler.singleton()
        clock = scheduler or (here if rate == inf else TimeoutScheduler.singleton())
        # In place it would begin before the Disposable is returned, so that take(3) below could not
        # end it. This scheduler begins it when all operators are subscribed.
        starter = here if isinstance(clock, IN_PLACE) else clock
        player = _Player(paced(_reports_in(file), rate), observer, clock)
        return CompositeDisposable(starter.schedule(player.begin), player.timer)

    return Observable(subscribe)


def paced(reports: Iterable[Report], speed: float) -> Iterator[tuple[float, Report]]:
    """Yield reports, each with the time when it is due, in seconds after the first.

    The time is computed from the first report, or from the last that came without a wait, so that
    rounding errors do not add up.
    """
    due = base = origin = 0.0
    previous = nan
    for report in reports:
        seconds = report.seconds
        if 0 <= (seconds - previous) / speed <= TIMEOUT_MAX:
            due = base + (seconds - origin) / speed
        else:  # the first report of a run, or a clock that was wrong
            base, origin = due, seconds
        previous = seconds
        yield due, report


class _Player:
    """Emits reports to one observer when they are due.

    Args:
        items: Pairs of the time when a report is due, in seconds after the beginning, and the
            report.
        observer: Observer of the reports.
        clock: Scheduler of the reports that are due later.

    Attributes:
        timer: The scheduled report; disposing of it ends the replay.
    """

    def __init__(
        self,
        items: Iterator[tuple[float, Report]],
        observer: abc.ObserverBase[Report],
        clock: abc.SchedulerBase,
    ) -> None:
        self.timer = SerialDisposable()
        self._items = items
        self._observer = observer
        self._clock = clock

    def begin(self, *_: object) -> None:
        """Emit the first report, and those that are due with it."""
        self._began = self._clock.now
        self._emit_due(0.0)

    def _emit_due(self, at: float) -> None:
        """Emit all reports that are due now, then wait for the next one."""
        while not self.timer.is_disposed:
            try:
                item = next(self._items, None)
            except Exception as error:  # noqa: BLE001  (the observer gets it)
                self._observer.on_error(error)
                return
            if item is None:
                self._observer.on_completed()
                return
            if self._is_later(item[0], at):
                self._wait_for(*item)
                return
            at = item[0]
            self._observer.on_next(item[1])

    def _is_later(self, due: float, at: float) -> bool:
        # reports that are due together come together, even if the clock is set back in between
        return due > at and self._moment(due) > self._clock.now

    def _wait_for(self, due: float, report: Report) -> None:
        def emit(*_: object) -> None:
            self._observer.on_next(report)
            self._emit_due(due)

        # assigned before scheduling, which may call `emit` at once, and schedule the next report
        self.timer.disposable = waiting = SingleAssignmentDisposable()
        waiting.disposable = self._clock.schedule_absolute(self._moment(due), emit)

    def _moment(self, at: float) -> datetime:
        return self._began + timedelta(seconds=at)


def _reports_in(path: Path) -> Iterator[Report]:
    tail = Tail(path)
    while not tail.is_at_end:
        yield from tail.read(_AT_A_TIME)
    if tail.describe_skipped():
        # a scheduler calls this, so the stack may lack the user's line: name the file instead
        warnings.warn(_skipped_message(path, tail), RnnrWarning, stacklevel=2)


def _skipped_message(path: Path, tail: Tail) -> str:
    return (
        f"each line of {str(path)!r} must hold a report whose metrics are numbers, got "
        f"{tail.describe_skipped()}; damaged lines are skipped; a process that is killed and a "
        "full disk leave such lines"
    )
