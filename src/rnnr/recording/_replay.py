"""A recorded run as an Observable."""

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
from rnnr.recording._format import as_path
from rnnr.recording._tail import Tail
from rnnr.reporting._report import Report
from rnnr.scheduling import IN_PLACE

__all__ = ["paced", "replay"]

_AT_A_TIME = 256  # lines to read


def replay(path: str | os.PathLike[str], speed: float = 1.0) -> Observable[Report]:
    """Return a cold Observable of the reports in a recording.

    What subscribes to `rnnr.reporting.reports` subscribes to this. The first report comes at once,
    and each of the others as long after it as it did in the run, divided by ``speed``. Where
    the seconds go back, because another run begins in the same file, there is no wait.
    It completes at the end of the file. A `rnnr.RnnrWarning` names then the lines of which all, or
    a metric, was left out, if there were any.

    The file is read from its beginning for each subscription, a few lines at a time.
    Without a scheduler the reports come on threads of timers; with ``speed=math.inf`` on the thread
    that subscribes, before ``subscribe`` returns.

    Args:
        path: File that a `rnnr.recording.Record` has written, or is writing.
        speed: How many times as fast as the run was; ``math.inf`` does not wait at all.

    Raises:
        TypeError: If ``path`` is no path or ``speed`` no number.
        ValueError: If ``path`` is no file, or ``speed`` is not above 0.
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
    cures = ("pass for example 10, or math.inf",) * 2
    rate = as_number("speed", speed, "a number above 0", lambda number: number > 0, cures)

    def subscribe(
        observer: abc.ObserverBase[Report], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        here = CurrentThreadScheduler.singleton()
        clock = scheduler or (here if rate == inf else TimeoutScheduler.singleton())
        # In place it would begin before anybody holds what disposes of it, and take(3) below
        # could not end it. Here it comes when all are subscribed.
        first = here if isinstance(clock, IN_PLACE) else clock
        player = _Player(paced(_reports_in(file), rate), observer, clock)
        return CompositeDisposable(first.schedule(player.begin), player.timer)

    return Observable(subscribe)


def paced(reports: Iterable[Report], speed: float) -> Iterator[tuple[float, Report]]:
    """Return reports, each with the seconds after the first when it is due.

    The distance is that from the first, or from the last that came without a wait, so that no
    rounding adds up.
    """
    at = base = origin = 0.0
    before = nan
    for report in reports:
        seconds = report.seconds
        if 0 <= (seconds - before) / speed <= TIMEOUT_MAX:
            at = base + (seconds - origin) / speed
        else:  # the first of a run, or a clock that has told nonsense
            base, origin = at, seconds
        before = seconds
        yield at, report


class _Player:
    """Tells one observer of the reports, when they are due.

    Args:
        items: Reports, and when they are due, in seconds after the beginning.
        observer: Who is to be told.
        clock: Schedules what is due later.

    Attributes:
        timer: What is scheduled; disposing of it ends everything.
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
        """Tell of the first report, and of what is due with it."""
        self._began = self._clock.now
        self._play_on(0.0)

    def _play_on(self, at: float) -> None:
        """Tell of all that is due by now, then wait for the next."""
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
        # what is due together comes together, even if the clock is set back meanwhile
        return due > at and self._moment(due) > self._clock.now

    def _wait_for(self, due: float, report: Report) -> None:
        def tell(*_: object) -> None:
            self._observer.on_next(report)
            self._play_on(due)

        # before it is scheduled: it may come, and schedule the next, within this very call
        self.timer.disposable = waiting = SingleAssignmentDisposable()
        waiting.disposable = self._clock.schedule_absolute(self._moment(due), tell)

    def _moment(self, at: float) -> datetime:
        return self._began + timedelta(seconds=at)


def _reports_in(path: Path) -> Iterator[Report]:
    tail = Tail(path)
    while not tail.is_at_end:
        yield from tail.read(_AT_A_TIME)
    if tail.describe_skipped():
        # a scheduler calls it: which line of the user's is above is chance, so it names the file
        warnings.warn(_left_out(path, tail), RnnrWarning, stacklevel=2)


def _left_out(path: Path, tail: Tail) -> str:
    return (
        f"each line of {str(path)!r} must hold a report whose metrics are numbers, got "
        f"{tail.describe_skipped()}; damaged lines are skipped; a process that is killed and a "
        "full disk leave such lines"
    )
