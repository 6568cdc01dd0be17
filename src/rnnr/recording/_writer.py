"""Write the reports of a recording: a failure never breaks the run."""

import logging
from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Final

from rnnr._errors import RnnrWarning
from rnnr._logs._file import LogFile
from rnnr._logs._log import Log
from rnnr._logs._repeats import Repeats
from rnnr.event import Event
from rnnr.recording._format import DAMAGES, decode, encode
from rnnr.reporting._report import Report
from rnnr.state import State, is_open, n_batches_drawn

__all__ = ["Writer", "log_error"]

_END = 65_536  # bytes at the end of the file in which to look for the last reports
_SECONDS = 1.0  # between two checks, at batches, whether the path still leads to the file

logger = logging.getLogger("rnnr.recording")


class Writer:
    """Writes each report to the file when it is emitted.

    Args:
        log: The file.
        path: Its path, for messages.
        clock: Returns the time in seconds.
        repeats: Compares what is written with what was cut.
    """

    attached_as: Final = "Record"

    def __init__(self, log: Log, path: Path, clock: Callable[[], float], repeats: Repeats) -> None:
        self._log = log
        self._path = path
        self._clock = clock
        self._repeats = repeats
        self._n_lost = 0
        self._is_failing = False
        self.begin_again()

    def begin_again(self) -> None:
        """Look at the file again, which has been opened or cut."""
        self._has_written = False
        self._may_be_torn = True  # whether a killed process may have left half a line
        self._checked_at = -inf

    def write(self, report: Report) -> None:
        """Write a report, or count it as lost."""
        try:
            self._log.use(self._write, report)
        except RnnrWarning:  # where the user has made it an error
            raise
        except Exception as error:  # noqa: BLE001  (it is logged)
            self.lose(0, error)

    def pause(self, _: State) -> None:
        """Close the file until the next run."""
        self._checked_at = -inf
        self._quietly(self._log.pause)

    def missing(self, state: State) -> list[Event]:
        """Return the events before a resume whose reports another process has not written."""
        if self._has_written:
            return []
        found: list[bytes] = []
        try:
            self._log.use(lambda: found.append(self._open().last_bytes(_END)))
        except Exception as error:  # noqa: BLE001  (it is logged)
            self.lose(0, error)
        if not found:
            return []
        reports = [report for line in found[0].splitlines() for report in _decoded(line)]
        starts = [i for i, report in enumerate(reports) if report.event is Event.STARTED]
        return _missing(reports[starts[-1] :] if starts else reports, state)

    def _write(self, report: Report) -> None:
        try:
            now = self._clock()
            is_soon = 0 <= now - self._checked_at < _SECONDS
            if report.event is not Event.BATCH or not is_soon:
                self._checked_at = now
                self._open()
            line = encode(report)
        except Exception as error:  # noqa: BLE001  (it is logged)
            self.lose(1, error)
            return
        if self._log.file is None:
            self._n_lost += 1
        elif self._append(self._log.file, line):
            self._repeats.check(line)

    def _open(self) -> LogFile:
        before, file = self._log.file, self._log.open()
        self._may_be_torn = self._may_be_torn or file is not before
        return file

    def _append(self, file: LogFile, data: bytes) -> bool:
        """Write a line; return whether all of it is written."""
        n_written = 0
        try:
            if self._may_be_torn and file.ends_in_half_a_line():
                data = b"\n" + data
            self._may_be_torn = True  # until all is written: an interrupt may come between
            while n_written < len(data):
                n_written += file.write_some(data[n_written:])
        except Exception as error:  # noqa: BLE001  (it is logged)
            # a line that lacks only its end is not lost: the next one adds the end
            self.lose(data.count(b"\n", n_written + 1), error)
            self._quietly(self._log.drop)
            return False
        self._may_be_torn = False
        self._has_written = True
        self._log_recovery()
        return True

    def _quietly(self, close: Callable[[], object]) -> None:
        try:
            close()
        except Exception as error:  # noqa: BLE001  (it is logged)
            self.lose(0, error)

    def lose(self, n_reports: int, error: Exception) -> None:
        """Count reports as lost, and log the error, unless the one before is logged."""
        self._n_lost += n_reports
        if not self._is_failing:
            self._is_failing = True
            log_error(self._path, error)

    def _log_recovery(self) -> None:
        if self._is_failing:
            with suppress(Exception):
                message = "Recording to %s again; reports left out: %d"
                logger.warning(message, self._path, self._n_lost)
            self._is_failing, self._n_lost = False, 0


def log_error(path: Path, error: Exception) -> None:
    """Log that a recording cannot be written."""
    with suppress(Exception):  # a logging handler may fail, too
        message = "Cannot record to %s: %s; the run goes on, and it is tried again"
        logger.error(message, path, error)


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
