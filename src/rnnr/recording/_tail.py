"""Read a recording while it grows."""

import os
from collections.abc import Iterator
from itertools import islice
from typing import IO

from rnnr._errors import as_integer
from rnnr._logs._path import as_path, check_file
from rnnr.recording._format import DAMAGES, decode
from rnnr.reporting._report import Report

__all__ = ["Tail"]

_N_NUMBERS = 10  # numbers of damaged lines to keep
_MARK = 256  # bytes before the reading position, by which the file is recognized


class Tail:
    """Reads the reports that were added to a recording since the last read.

    Only whole lines are read: a line that is still being written stays for the next read, as does
    half a line that a killed process has left. A line that is not a report is skipped, and so is a
    metric that is not a number; both lines count as damaged. The file is open only while it is
    being read, and may be larger than the memory.

    If the file is a different one (it shrank, or the bytes that were read last are no longer in
    their place), reading starts over. A longer copy of the same file, as ``rsync`` makes it, is not
    a different one.

    Args:
        path: File that a `rnnr.recording.Record` writes. It need not exist before it is read.

    Attributes:
        damaged (list[int]): Numbers of the first ten damaged lines, from 1.
        n_damaged (int): Number of damaged lines, which were skipped or lost a metric.
        fraction (float): Part of the file that was read, from 0 to 1.
        is_at_end (bool): Whether the end of the file was reached.
        is_torn (bool): Whether the file ended in the middle of a line.
        restarted (int): How often reading started over; earlier reports are of another file.

    Raises:
        TypeError: If ``path`` is not a path.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from rnnr import Runner
        >>> from rnnr.recording import Record, Tail
        >>> with TemporaryDirectory() as folder:
        ...     runner, path = Runner(), Path(folder, "run.jsonl")
        ...     subscription = Record(path).attach_on(runner)
        ...     runner.run(["a batch", "another"])
        ...     tail = Tail(path)
        ...     [report.event.name for report in tail.read(at_most=4)]
        ...     [report.event.name for report in tail.read()]
        ...     tail.read()
        ['STARTED', 'EPOCH_STARTED', 'BATCH', 'BATCH']
        ['EPOCH_FINISHED', 'FINISHED']
        []
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = as_path(path)
        self.restarted = -1
        self._start_over()

    def check(self) -> None:
        """Raise unless the path leads to a file that can be read.

        Raises:
            ValueError: If it is a directory or a device.
            OSError: If the file is not there, or cannot be read.
        """
        check_file(self._path, "rb", "pass the file that Record('run.jsonl') has written")

    def describe_skipped(self) -> str:
        """Return in words what was skipped so far; an empty string if nothing was."""
        what = []
        if self.n_damaged:
            numbers = ", ".join(map(str, self.damaged))
            more = ", ..." if self.n_damaged > len(self.damaged) else ""
            what.append(f"{self.n_damaged} damaged (line {numbers}{more})")
        if self.is_torn:
            what.append("a torn last line")
        return " and ".join(what)

    def read(self, at_most: int = 10_000) -> list[Report]:
        """Return the reports that were added.

        Args:
            at_most: Number of lines to read, including skipped ones. While ``is_at_end`` is false,
                there may be more.

        Returns:
            The reports, in the order in which they were recorded.

        Raises:
            OSError: If the file is not there, or cannot be read.
            TypeError: If ``at_most`` is not an integer.
            ValueError: If ``at_most`` is below 1.
        """
        as_integer("at_most", at_most, 1, "pass for example 1000")
        with open(self._path, "rb") as file:
            self._find_place(file)
            lines = [*_until_torn(islice(file, at_most))]
            n_bytes = os.fstat(file.fileno()).st_size
        self.is_torn = bool(lines) and not lines[-1].endswith(b"\n")
        self.is_at_end = self.is_torn or len(lines) < at_most
        whole = lines[:-1] if self.is_torn else lines
        reports = [report for line in whole for report in self._reports_on(line)]
        self.fraction = min(1.0, self._position / n_bytes) if n_bytes else 1.0
        return reports

    def _find_place(self, file: IO[bytes]) -> None:
        """Go to the position of the last read, or to the beginning of a different file.

        The file is recognized by its contents, not by its inode, which a new file may reuse.
        """
        file.seek(self._position - len(self._mark))
        if file.read(len(self._mark)) != self._mark:
            self._start_over()
            file.seek(0)

    def _start_over(self) -> None:
        self._position = self._n_lines = self.n_damaged = 0
        self.fraction = 0.0
        self._mark = b""
        self.damaged: list[int] = []
        self.is_at_end = self.is_torn = False
        self.restarted += 1

    def _reports_on(self, line: bytes) -> list[Report]:
        """Count a line as read; return a list of its report, or an empty list."""
        self._position += len(line)
        self._mark = line[-_MARK:]
        self._n_lines += 1
        if line.isspace():
            return []
        odd: list[str] = []
        reports: list[Report] = []
        try:
            reports.append(decode(line, odd.append))
        except DAMAGES:
            odd.append("all of it")
        if odd:
            self.n_damaged += 1
            if len(self.damaged) < _N_NUMBERS:
                self.damaged.append(self._n_lines)
        return reports


def _until_torn(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Yield lines up to one without an end, the rest of which may be written in the meantime."""
    for line in lines:
        yield line
        if not line.endswith(b"\n"):
            return
