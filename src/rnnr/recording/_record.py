"""A run that is written down: its reports, a line each."""

import errno
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
from rnnr.event import ENDS, Event
from rnnr.recording._lines import encode, judge_file, judged_path
from rnnr.reporting import EVERYTHING, Report, reports
from rnnr.runner import Runner
from rnnr.selection import Selectable
from rnnr.state import State
from rnnr.stream import last_layer

__all__ = ["Record"]

_SECONDS = 1.0  # after which lines of batches are written
_MANY = 1000  # lines that are not kept any longer, however short the time

logger = logging.getLogger("rnnr.recording")


class Record(Attachment):
    """Writes the reports of a runner to a file, a JSON object on each line.

    The file is added to, never emptied: a run that is resumed in another process goes on in it,
    and a new run follows the one before. It is written at every event but ``BATCH``, and at a
    ``BATCH`` once a second has passed, so a process that is killed loses the batches of its
    last second. Where that left half a line, the next report begins a new one.

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
            A Disposable that writes what is left and detaches again.

        Raises:
            TypeError: If ``runner`` is no runner.
            RuntimeError: If it is attached already. A report does not tell whose it is, so each
                runner has a file of its own.
            ValueError: If the path is a directory.
            OSError: If the file cannot be opened.
        """
        source = self._reports(runner)
        if self._is_attached:
            raise RuntimeError(
                "a Record must be attached to one runner at a time, got a second one; write for "
                "example Record('evaluation.jsonl').attach_on(...) for that one"
            )
        judge_file(self._path, "ab+", "pass a file in a directory that you may write to")
        self._is_attached = True
        writer = _Writer(self._path)

        def detach() -> None:
            writer.flush()
            self._is_attached = False

        return CompositeDisposable(
            source.subscribe(writer.write),
            *(runner.stream(event).add(writer.end, layer=last_layer(event)) for event in ENDS),
            Disposable(detach),
        )

    def _reports(self, runner: Runner) -> abc.ObservableBase[Report]:
        return reports(runner, *self._keys, on=self._on, clock=self._clock)


class _Writer:
    """Keeps lines until they are due.

    The file is opened for each flush, which takes 10 µs: nothing is left open when nobody
    disposes, and a file that was moved away or has come back is seen.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = RLock()  # who disposes may be on another thread, or in a signal handler
        self._lines: list[bytes] = []
        self._flushed_at = -inf
        self._n_left_out = 0
        self._is_failing = False

    def write(self, report: Report) -> None:
        """Write a report, now or within a second."""
        with self._lock:
            try:
                self._lines.append(encode(report))
            except Exception as error:  # noqa: BLE001  (it is logged)
                self._leave_out(1, error)
                return
            is_soon = 0 <= report.seconds - self._flushed_at < _SECONDS
            if report.event is not Event.BATCH or not is_soon or len(self._lines) >= _MANY:
                self._flushed_at = report.seconds
                self.flush()

    def end(self, _: State) -> None:
        """Write what is left when a run ends, which may not be among what is recorded."""
        self.flush()

    def flush(self) -> None:
        """Write what is left."""
        with self._lock:
            data = b"".join(self._lines)
            self._lines = []  # first: what an interrupt cuts off must not be written twice
            if data:
                self._append(data)

    def _append(self, data: bytes) -> None:
        n_written = 0
        try:
            with open(self._path, "ab+", buffering=0) as file:
                if file.tell() and file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n":
                    data = b"\n" + data  # it ends in half a line
                while n_written < len(data):
                    n = file.write(data[n_written:])
                    if not n:
                        raise OSError(errno.EIO, "nothing was written")
                    n_written += n
        except Exception as error:  # noqa: BLE001  (it is logged)
            # a line that lacks its end alone is whole: the next one adds it
            self._leave_out(data.count(b"\n", n_written + 1), error)
        else:
            self._tell_that_it_works()

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
