"""Record the reports of a run to a file, a line each."""

import errno
import gc
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf
from pathlib import Path
from threading import RLock

from reactivex import abc
from reactivex.disposable import CompositeDisposable, Disposable

from rnnr._isolate import log_failure
from rnnr._runs import Slot
from rnnr.attachments._attachment import Attachment
from rnnr.event import ENDS, Event
from rnnr.recording._file import RecordingFile, release
from rnnr.recording._format import DAMAGES, as_path, check_file, decode, encode
from rnnr.reporting._report import Report
from rnnr.reporting._reports import ALL_EVENTS, report_of, reports
from rnnr.runner import Runner
from rnnr.selection import Selectable
from rnnr.state import State, is_open, n_batches_drawn
from rnnr.streams._layer import last_layer

__all__ = ["Record"]

_END = 65_536  # bytes at the end of the file in which to look for the last reports
_SECONDS = 1.0  # between two checks, at batches, whether the path still leads to the file

logger = logging.getLogger("rnnr.recording")


class Record(Attachment):
    """Writes the reports of a runner to a file, a JSON object on each line.

    Reports are appended; the file is never emptied. A run that is resumed in another process
    continues in the same file, and a new run follows the earlier one. Each report is handed to the
    operating system when it is made, so a killed process loses none. If a killed process has left
    half a line, the next report begins a new one. A process that resumes from a saved state first
    writes the report that the resumed run will not make again: that of the batch, or of the
    beginning or end of the epoch, in which the state was saved.

    No other `Record` of this process may write to the file until this one is detached, or until the
    runner has run and is gone; no other process may write to it during a run. The file is open
    from `attach_on` to the end of the run, and during later runs. If the path leads to another file
    or to none, it is opened again: this is checked at every event but ``BATCH``, and at a ``BATCH``
    after a second.

    A file that cannot be written does not break the run. The failure is logged once on
    ``rnnr.recording`` and the file is tried again at the next check; when it works again, the
    number of lost reports is logged.

    Args:
        path: File to write; its directory must exist.
        keys: Names of further keys of the state that hold metrics, as for
            `rnnr.reporting.reports`.
        on: Event to record, or a `rnnr.Selection`; every event, if not given.
        clock: Returns the time in seconds since 1970.

    Raises:
        TypeError: If an argument has the wrong type.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from rnnr import Event, Runner
        >>> from rnnr.recording import Record
        >>> runner = Runner()
        >>> @runner.on(Event.BATCH)
        ... def train(state):
        ...     state["stats"] = {"loss": 1 / state["batch"]}
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "run.jsonl")
        ...     recording = Record(path, on=Event.BATCH, clock=lambda: 0.0).attach_on(runner)
        ...     runner.run([4])
        ...     print(path.read_text(), end="")
        {"event":"BATCH","epoch":1,"max_epoch":1,"n_iters":1,"seconds":0.0,"metrics":{"loss":0.25},"n_batches":1,"step":1}
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *keys: str,
        on: Selectable = ALL_EVENTS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = as_path(path)
        self._keys = keys
        self._on = on
        self._clock = clock
        self._is_attached = False
        self._reports(Runner())  # checks the arguments

    def attach_on(self, runner: Runner) -> abc.DisposableBase:
        """Attach to a runner, and create the file if it is not there.

        Returns:
            A Disposable that detaches again, and closes the file.

        Raises:
            TypeError: If ``runner`` is not a runner.
            RuntimeError: If it is attached already. A report does not name its runner, so each
                runner has its own file.
            ValueError: If the path is a directory, or a file that another `Record` writes: in this
                process, however the path is spelled, or in another one, if the file system has
                locks.
            OSError: If the file cannot be opened.
        """
        source = self._reports(runner)
        if self._is_attached:
            raise RuntimeError(
                "a Record must be attached to one runner at a time, got a second one; write for "
                "example Record('evaluation.jsonl').attach_on(...) for the second"
            )
        check_file(self._path, "ab+", "pass a file in a directory that you may write to")
        writer = _new_writer(self._path, self._clock, runner._slot)
        self._is_attached = True

        def detach() -> None:
            writer.close()
            self._is_attached = False

        complete = partial(self._write_missing, runner._slot, writer)
        resumed = runner.stream(Event.RESUMED).add(complete, layer=last_layer(Event.RESUMED))
        return CompositeDisposable(
            resumed,  # before the report of RESUMED
            source.subscribe(writer.write),
            *(runner.stream(end).add(writer.pause, layer=last_layer(end)) for end in ENDS),
            Disposable(detach),
        )

    def _write_missing(self, slot: Slot, writer: "_Writer", state: State) -> None:
        """Write the report that another process could not write after it had saved the state.

        A report is written after the callbacks, one of which saves the state. If the process is
        killed in between, the report is missing, and the resumed run does not make it again.
        """
        runner: Runner = slot.runner()  # it runs, so it is there
        for event in writer.missing(state):
            try:
                predicate = self._on.predicates().get(event)
                if predicate is not None and predicate(state):
                    writer.write(report_of(runner, event, *self._keys, clock=self._clock))
            except Exception as error:  # noqa: BLE001  (it is logged: a view never breaks a run)
                log_failure(error, Record)

    def _reports(self, runner: Runner) -> abc.ObservableBase[Report]:
        return reports(runner, *self._keys, on=self._on, clock=self._clock)


class _Writer:
    """Writes each report to the file when it is emitted.

    Raises:
        ValueError: If another `Record` writes to the file.
        OSError: If it cannot be opened.
    """

    def __init__(self, path: Path, clock: Callable[[], float], slot: Slot) -> None:
        self._path = path
        self._clock = clock
        self._slot = slot
        self._lock = RLock()  # `close` may come from another thread, or from a signal handler
        self._file: RecordingFile | None = None
        self._has_written = False
        self._may_be_torn = True  # whether a killed process may have left half a line
        self._checked_at = -inf
        self._n_lost = 0
        self._is_failing = self._is_writing = self._is_over = False
        self._file = RecordingFile(path, self)

    def write(self, report: Report) -> None:
        """Write a report, or count it as lost."""
        with self._lock:
            if self._is_over:
                return
            self._is_writing = True
            try:
                self._write(report)
            finally:
                self._is_writing = False
                if self._is_over:  # a signal handler has detached it in the meantime
                    self._close_file()

    def close(self) -> None:
        """Close the file for good, but not while a line is being written."""
        with self._lock:
            self._is_over = True
            if not self._is_writing:
                self._close_file()

    def pause(self, _: State) -> None:
        """Close the file until the next run: a sweep may keep a runner for each trial."""
        with self._lock:
            self._checked_at = -inf
            self._close_file(for_good=False)

    def needs(self, path: Path) -> bool:
        """Return whether it may still record to the file at a path.

        After a run it may if its runner still exists. It does not exist after a notebook cell was
        run again: the old Disposable remains, but the runner is new.
        """
        if self._file is not None:
            return True
        with suppress(OSError):
            may_run = self._slot.runner() is not None and not self._is_over
            return may_run and os.path.samefile(path, self._path)
        return False

    def missing(self, state: State) -> list[Event]:
        """Return the events before a resume whose reports another process has not written."""
        with self._lock:
            if self._has_written:
                return []
            try:
                self._ensure_open()
                lines = self._file.last_bytes(_END).splitlines() if self._file else []
            except Exception as error:  # noqa: BLE001  (it is logged)
                self._lose(0, error)
                return []
        reports = [report for line in lines for report in _decoded(line)]
        starts = [i for i, report in enumerate(reports) if report.event is Event.STARTED]
        return _missing(reports[starts[-1] :] if starts else reports, state)

    def _write(self, report: Report) -> None:
        try:
            now = self._clock()
            is_soon = 0 <= now - self._checked_at < _SECONDS
            if report.event is not Event.BATCH or not is_soon:
                self._checked_at = now
                self._ensure_open()
            line = encode(report)
        except Exception as error:  # noqa: BLE001  (it is logged)
            self._lose(1, error)
            return
        if self._file is None:
            self._n_lost += 1
        else:
            self._append(self._file, line)

    def _ensure_open(self) -> None:
        """Open the file again, unless it is open and the path leads to it."""
        if self._file is None or not self._file.is_at(self._path):
            self._close_file()
            self._file = RecordingFile(self._path, self)
            self._may_be_torn = True

    def _append(self, file: RecordingFile, data: bytes) -> None:
        n_written = 0
        try:
            if self._may_be_torn and file.ends_in_half_a_line():
                data = b"\n" + data
            self._may_be_torn = True  # until all is written: an interrupt may come between
            while n_written < len(data):
                n = file.write(data[n_written:])
                if not n:
                    raise OSError(errno.EIO, "nothing was written")
                n_written += n
        except Exception as error:  # noqa: BLE001  (it is logged)
            # a line that lacks only its end is not lost: the next one adds the end
            self._lose(data.count(b"\n", n_written + 1), error)
            self._close_file()
        else:
            self._may_be_torn = False
            self._has_written = True
            self._log_recovery()

    def _close_file(self, *, for_good: bool = True) -> None:
        file, self._file = self._file, None
        if for_good:
            release(self)
        if file is not None:
            try:
                file.close()
            except Exception as error:  # noqa: BLE001  (it is logged)
                self._lose(0, error)

    def _lose(self, n_reports: int, error: Exception) -> None:
        self._n_lost += n_reports
        if not self._is_failing:
            self._is_failing = True
            with suppress(Exception):  # a logging handler may fail, too
                message = "Cannot record to %s: %s; the run goes on, and it is tried again"
                logger.error(message, self._path, error)

    def _log_recovery(self) -> None:
        if self._is_failing:
            with suppress(Exception):
                message = "Recording to %s again; reports left out: %d"
                logger.warning(message, self._path, self._n_lost)
            self._is_failing, self._n_lost = False, 0


def _missing(reports: list[Report], state: State) -> list[Event]:
    """Return the events that a state of a run has seen and its reports lack."""
    n_iters, epoch = state["n_iters"], state["epoch"]
    n_written = max((report.n_iters for report in reports), default=0)
    if n_written > n_iters:  # the state is older than the recording
        return []
    missing = [Event.BATCH] if n_written < n_iters else []
    if epoch and not (is_open(state) and n_batches_drawn(state)):
        event = Event.EPOCH_STARTED if is_open(state) else Event.EPOCH_FINISHED
        written = {(report.event, report.epoch) for report in reports}
        if (event, epoch) not in written:
            missing.append(event)
    return missing


def _decoded(line: bytes) -> list[Report]:
    """Return the report on a line in a list, or an empty list."""
    with suppress(*DAMAGES):
        return [decode(line)]
    return []


def _new_writer(path: Path, clock: Callable[[], float], slot: Slot) -> _Writer:
    try:
        return _Writer(path, clock, slot)
    except ValueError:  # a runner that is garbage may have it, as after a cell has run again
        gc.collect()
        return _Writer(path, clock, slot)
