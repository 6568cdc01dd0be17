"""Read a recording while it grows."""

import os

from rnnr._errors import as_integer
from rnnr._logs._path import as_path, check_file
from rnnr.recording._format import DAMAGES, FORMAT, FormatError, decode
from rnnr.recording._lines import GrowingLines
from rnnr.reporting._report import Report

__all__ = ["Damage", "Tail"]

_N_NUMBERS = 10  # numbers of damaged lines to keep


class Tail:
    """Reads the reports that were added to a recording since the last read.

    Only whole lines are read: a line that is still being written stays for the next read, as does
    half a line that a killed process has left. A line that is not a report is skipped, and so is a
    metric that is not a number; both lines count as damaged. The file is open only while it is
    being read, and may be larger than the memory. A line of more than 16 MiB is damaged.

    If the file is a different one (it shrank, or the bytes that were read last are no longer in
    their place), reading starts over. A longer copy of the same file, as ``rsync`` makes it, is not
    a different one.

    Args:
        path: File that a `rnnr.recording.Record` writes. It need not exist before it is read.

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
        self._lines = GrowingLines(self._path)
        self._damage = Damage()

    @property
    def damaged(self) -> list[int]:
        """Numbers of the first ten damaged lines, from 1."""
        return self._damage.numbers

    @property
    def n_damaged(self) -> int:
        """Number of damaged lines, which were skipped or lost a metric."""
        return self._damage.n

    @property
    def fraction(self) -> float:
        """Part of the file that was read, from 0 to 1."""
        return self._lines.fraction

    @property
    def is_at_end(self) -> bool:
        """Whether the end of the file was reached."""
        return self._lines.is_at_end

    @property
    def is_torn(self) -> bool:
        """Whether the file ended in the middle of a line."""
        return self._lines.is_torn

    @property
    def restarted(self) -> int:
        """How often reading started over; earlier reports are of another file."""
        return self._lines.restarted

    def check(self) -> None:
        """Raise unless the path leads to a file that can be read.

        Raises:
            ValueError: If it is a directory or a device.
            OSError: If the file is not there, or cannot be read.
        """
        check_file(self._path, "rb", "pass the file that Record('run.jsonl') has written")

    def describe_skipped(self) -> str:
        """Return in words what was skipped so far; an empty string if nothing was."""
        return self._damage.describe(is_torn=self.is_torn)

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
        restarted = self.restarted
        lines = self._lines.read(at_most)
        if self.restarted > restarted:
            self._damage = Damage()
        first = self._lines.n_lines - len(lines) + 1
        return [
            report
            for number, line in enumerate(lines, first)
            for report in self._damage.reports_on(line, number)
        ]


class Damage:
    """Decodes lines, and counts the damaged ones.

    Attributes:
        numbers (list[int]): Numbers of the first ten.
        n (int): Number of all.
    """

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.n = 0
        self._is_newer = False

    def reports_on(self, line: bytes, number: int) -> list[Report]:
        """Return a list of the report on a line, or an empty list.

        Args:
            line: The line.
            number: Number of the line, from 1.
        """
        if not line or line.isspace():
            return []
        odd: list[str] = []
        reports: list[Report] = []
        try:
            reports.append(decode(line, odd.append))
        except DAMAGES as error:
            odd.append("all of it")
            self._is_newer |= isinstance(error, FormatError)
        if odd:
            self.n += 1
            if len(self.numbers) < _N_NUMBERS:
                self.numbers.append(number)
        return reports

    def describe(self, *, is_torn: bool) -> str:
        """Return in words what was skipped; an empty string if nothing was."""
        what = []
        if self.n:
            more = ", ..." if self.n > len(self.numbers) else ""
            what.append(f"{self.n} damaged (line {', '.join(map(str, self.numbers))}{more})")
        if is_torn:
            what.append("a torn last line")
        if self._is_newer:
            what.append(f"a run in another format than {FORMAT}, which a later rnnr can read")
        return " and ".join(what)
