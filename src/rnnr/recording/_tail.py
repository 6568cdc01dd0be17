"""A recording that is read while it grows."""

import os
from collections.abc import Iterator
from itertools import islice
from typing import IO

from rnnr._errors import as_integer
from rnnr.recording._format import DAMAGES, as_path, check_file, decode
from rnnr.reporting._report import Report

__all__ = ["Tail"]

_AT_MOST_NUMBERS = 10  # of damaged lines that are kept
_MARK = 256  # bytes before the place where to go on, by which it is known again


class Tail:
    """Reads what was added to a recording since it was read last.

    Only whole lines are read: one that is being written, or that a killed process has left, stays
    for the next time. A line that is not a report is left out, and so is a metric that is not a
    number, while the rest of its line is read; both are counted as damaged. The file is open only
    while it is being read, and may be larger than the memory.

    When the file is another one (it shrank, or what was read last is no longer in its
    place), reading starts over. A copy that holds more than the one before, as ``rsync`` makes, is
    not another one.

    Args:
        path: File that a `rnnr.recording.Record` writes. It is looked for when it is read.

    Attributes:
        damaged (list[int]): Numbers of the first ten damaged lines, from 1.
        n_damaged (int): Number of all damaged lines: of each, all or a metric was left out.
        fraction (float): Part of the file that is read, from 0 to 1.
        is_at_end (bool): Whether the end of the file was seen.
        is_torn (bool): Whether the file ended in the middle of a line.
        restarted (int): How often it started over; what was read before is of another file.

    Raises:
        TypeError: If ``path`` is no path.

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
        """Refuse a path at which there is no file to be read.

        Raises:
            ValueError: If it is a directory or a device.
            OSError: If the file is not there, or cannot be read.
        """
        check_file(self._path, "rb", "pass the file that Record('run.jsonl') has written")

    def describe_skipped(self) -> str:
        """Return in words what was left out so far; nothing, if all was read."""
        what = []
        if self.n_damaged:
            numbers = ", ".join(map(str, self.damaged))
            more = ", ..." if self.n_damaged > len(self.damaged) else ""
            what.append(f"{self.n_damaged} damaged (line {numbers}{more})")
        if self.is_torn:
            what.append("a last one that is torn")
        return " and ".join(what)

    def read(self, at_most: int = 10_000) -> list[Report]:
        """Read what was added.

        Args:
            at_most: Number of lines to read, those that are left out among them. While
                ``is_at_end`` is false, there may be more.

        Returns:
            The reports, in the order in which they were recorded.

        Raises:
            OSError: If the file is not there, or cannot be read.
            TypeError: If ``at_most`` is no integer.
            ValueError: If ``at_most`` is below 1.
        """
        as_integer("at_most", at_most, 1, ("pass for example 1000",) * 2)
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
        """Go to where it was read last, or to the beginning if that is not there.

        By what is in the file, and not by its number on the disk, which a new file may have, too.
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
        """Go on to the next line; return the one report on this one, or none."""
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
            if len(self.damaged) < _AT_MOST_NUMBERS:
                self.damaged.append(self._n_lines)
        return reports


def _until_torn(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Pass on lines up to one without an end, the rest of which may come in the meantime."""
    for line in lines:
        yield line
        if not line.endswith(b"\n"):
            return
