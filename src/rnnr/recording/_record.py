"""A run that is written down: its reports, a line each."""

import errno
import gc
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path
from threading import RLock

from reactivex import abc
from reactivex.disposable import CompositeDisposable, Disposable

from rnnr.attachments import Attachment
from rnnr.event import Event
from rnnr.recording._file import RecordingFile
from rnnr.recording._lines import encode, judge_file, judged_path
from rnnr.reporting import EVERYTHING, Report, reports
from rnnr.runner import Runner
from rnnr.selection import Selectable

__all__ = ["Record"]

_SECONDS = 1.0  # between two looks, at batches, whether the path still is the file

logger = logging.getLogger("rnnr.recording")


class Record(Attachment):
    """Writes the reports of a runner to a file, a JSON object on each line.

    The file is added to, never emptied: a run that is resumed in another process goes on in it,
    and a new run follows the one before. Each report is handed to the operating system when it is
    made, so a process that is killed loses none. Where that left half a line, the next report
    begins a new one.

    The file stays open, and nobody else may record to it, from when it is attached until it is
    detached. At every event but ``BATCH``, and at a ``BATCH`` once a second has passed, it is
    opened again if the path leads to another file by then, or to none.

    A file that cannot be written does not break the run. That is logged once on
    ``rnnr.recording``, tried again at the next of those moments, and when it works again, the log
    tells how many reports were left out.

    Args:
        path: File to write; its directory must be there.
        keys: Names of further keys of the state that hold metrics, as for
            `rnnr.reporting.reports`.
        on: Event to record, or a `rnnr.Selection`; every event, unless you say otherwise.
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
        on: Selectable = EVERYTHING,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = judged_path(path)
        self._keys = keys
        self._on = on
        self._clock = clock
        self._is_attached = False
        self._reports(Runner())  # judges what it is given

    def attach_on(self, runner: Runner) -> abc.DisposableBase:
        """Attach to a runner, and create the file if it is not there.

        Returns:
            A Disposable that detaches again, and closes the file.

        Raises:
            TypeError: If ``runner`` is no runner.
            RuntimeError: If it is attached already. A report does not tell whose it is, so each
                runner has a file of its own.
            ValueError: If the path is a directory, or a file that another `Record` writes: of
                this process, however the path is spelled, or of another one, if the file system
                has locks.
            OSError: If the file cannot be opened.
        """
        source = self._reports(runner)
        if self._is_attached:
            raise RuntimeError(
                "a Record must be attached to one runner at a time, got a second one; write for "
                "example Record('evaluation.jsonl').attach_on(...) for that one"
            )
        judge_file(self._path, "ab+", "pass a file in a directory that you may write to")
        writer = _new_writer(self._path, self._clock)
        self._is_attached = True

        def detach() -> None:
            writer.close()
            self._is_attached = False

        return CompositeDisposable(source.subscribe(writer.write), Disposable(detach))

    def _reports(self, runner: Runner) -> abc.ObservableBase[Report]:
        return reports(runner, *self._keys, on=self._on, clock=self._clock)


class _Writer:
    """Writes each report to the file when it comes.

    Raises:
        ValueError: If somebody else records to the file.
        OSError: If it cannot be opened.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._lock = RLock()  # who disposes may be on another thread, or in a signal handler
        self._file: RecordingFile | None = RecordingFile(path)
        self._may_be_torn = True  # the end of the file, by a process that was killed
        self._looked_at = -inf
        self._n_left_out = 0
        self._is_failing = self._is_writing = self._is_over = False

    def write(self, report: Report) -> None:
        """Write a report, or leave it out."""
        with self._lock:
            if self._is_over:
                return
            self._is_writing = True
            try:
                self._write(report)
            finally:
                self._is_writing = False
                if self._is_over:  # a signal handler has detached it meanwhile
                    self._let_go()

    def close(self) -> None:
        """Close the file, but not under a line that is being written."""
        with self._lock:
            self._is_over = True
            if not self._is_writing:
                self._let_go()

    def _write(self, report: Report) -> None:
        try:
            now = self._clock()
            is_soon = 0 <= now - self._looked_at < _SECONDS
            if report.event is not Event.BATCH or not is_soon:
                self._looked_at = now
                self._look()
            line = encode(report)
        except Exception as error:  # noqa: BLE001  (it is logged)
            self._leave_out(1, error)
            return
        if self._file is None:
            self._n_left_out += 1
        else:
            self._append(self._file, line)

    def _look(self) -> None:
        """Open the file again, unless it is open and the path leads to it."""
        if self._file is None or not self._file.is_at(self._path):
            self._let_go()
            self._file = RecordingFile(self._path)
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
            # a line that lacks its end alone is whole: the next one adds it
            self._leave_out(data.count(b"\n", n_written + 1), error)
            self._let_go()
        else:
            self._may_be_torn = False
            self._tell_that_it_works()

    def _let_go(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except Exception as error:  # noqa: BLE001  (it is logged)
                self._leave_out(0, error)

    def _leave_out(self, n_reports: int, error: Exception) -> None:
        self._n_left_out += n_reports
        if not self._is_failing:
            self._is_failing = True
            with suppress(Exception):  # a logging handler may fail, too
                message = "Cannot record to %s: %s; the run goes on, and it is tried again"
                logger.error(message, self._path, error)

    def _tell_that_it_works(self) -> None:
        if self._is_failing:
            with suppress(Exception):
                message = "Recording to %s again; reports left out: %d"
                logger.warning(message, self._path, self._n_left_out)
            self._is_failing, self._n_left_out = False, 0


def _new_writer(path: Path, clock: Callable[[], float]) -> _Writer:
    try:
        return _Writer(path, clock)
    except ValueError:  # it may be taken by a runner that is garbage, as when a cell runs again
        gc.collect()
        return _Writer(path, clock)
