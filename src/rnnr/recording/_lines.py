"""Read the whole lines of a file while it grows."""

import os
import stat
from pathlib import Path
from typing import IO, Final

__all__ = ["LONGEST", "TOO_LONG", "GrowingLines", "open_file"]

LONGEST: Final = 16 << 20
"""Bytes of the longest line; a longer one counts as damaged and is skipped."""

TOO_LONG: Final = b"\0"
"""What stands for a line that was too long."""

_MARK = 256  # bytes before the reading position, by which the file is recognized
_BLOCK = 1 << 18  # bytes to read at once
_USUAL = 256  # bytes of a line
_PIECE = 1 << 20  # bytes to read at once of a line that has no end so far
_N_PIECES = 64  # to read at most in one call
_MOST = 32 << 20  # bytes to keep at most in one call


class GrowingLines:
    """Reads the whole lines that were added to a file since the last read.

    A line without an end stays for a later read, and what was seen of it is not read again until
    its end is there. A line that is longer than `LONGEST` is skipped, whatever its length.

    Args:
        path: File to read.

    Attributes:
        began (int): Number of bytes read before the last read.
        n_lines (int): Number of lines read so far, including skipped ones.
        position (int): Number of bytes read so far.
        fraction (float): Part of the file that was read, from 0 to 1.
        is_at_end (bool): Whether the end of the file was reached.
        is_torn (bool): Whether the file ended in the middle of a line.
        restarted (int): How often reading started over, since the file was a different one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.position = self._seen = 0
        self.restarted = -1
        self._start_over()

    def read(self, at_most: int) -> list[bytes]:
        """Return lines that were added, without their ends; `TOO_LONG` in place of one that is.

        Args:
            at_most: Number of lines to read. While ``is_at_end`` is false, there may be more.

        Raises:
            OSError: If the file cannot be read.
        """
        lines: list[bytes] = []
        with open_file(self._path) as file:
            self._find_place(file)
            self.began = self.position
            n_bytes, stop = os.fstat(file.fileno()).st_size, self.position + _MOST
            self.is_at_end = self.is_torn = False
            while not self.is_at_end and len(lines) < at_most and self.position < stop:
                try:
                    more = self._more_lines(file, n_bytes, at_most - len(lines))
                except OSError:
                    if not lines:
                        raise
                    break  # the next read raises it, if it lasts
                lines += more
                if not more:
                    break
        self.fraction = min(1.0, self._seen / n_bytes) if n_bytes else 1.0
        return lines

    def read_again(self, begin: int, end: int) -> list[bytes]:
        """Return the lines between two positions at which lines have begun.

        Raises:
            OSError: If the file cannot be read, or is a different one by now.
        """
        with open_file(self._path) as file:
            if not self._is_same(file):
                raise OSError(None, "it is a different file by now", str(self._path))
            file.seek(begin)
            return file.read(end - begin).split(b"\n")[:-1]

    def _find_place(self, file: IO[bytes]) -> None:
        """Start over if the file is a different one.

        The file is recognized by its contents, not by its inode, which a new file may reuse.
        """
        if not self._is_same(file):
            self._start_over()

    def _is_same(self, file: IO[bytes]) -> bool:
        file.seek(self.position - len(self._mark))
        return file.read(len(self._mark)) == self._mark

    def _start_over(self) -> None:
        self.began = self.position = self.n_lines = self._seen = self._needed = 0
        self.fraction = 0.0
        self._mark = b""
        self.is_at_end = self.is_torn = False
        self.restarted += 1

    def _more_lines(self, file: IO[bytes], n_bytes: int, at_most: int) -> list[bytes]:
        if not self.position < self._seen <= n_bytes:
            self._seen, self._needed = self.position, 0
        elif not self._has_end(file):
            return []
        if self._needed > LONGEST:
            self._skip()
            return [TOO_LONG]
        lines = self._next_lines(file, at_most)
        return lines or (self._more_lines(file, n_bytes, at_most) if not self.is_at_end else [])

    def _has_end(self, file: IO[bytes]) -> bool:
        """Return whether the line of which only a part was seen has an end now."""
        file.seek(self._seen)
        for _ in range(_N_PIECES):
            piece = file.read(_PIECE)
            end = piece.find(b"\n") + 1
            if end:
                self._needed = self._seen + end - self.position
                self._last = piece[:end]
                return True
            self._seen += len(piece)
            if len(piece) < _PIECE:
                self.is_at_end = self.is_torn = True
                break
        return False

    def _skip(self) -> None:
        self._move(self.position + self._needed, self._last, 1)

    def _next_lines(self, file: IO[bytes], at_most: int) -> list[bytes]:
        wanted = max(self._needed, min(_BLOCK, at_most * _USUAL))
        file.seek(self.position)
        data = file.read(wanted)
        is_last = len(data) < wanted
        lines = data.split(b"\n")
        rest = lines.pop()
        if len(lines) > at_most:
            del lines[at_most:]
            rest, is_last = b"", False
        n_bytes = sum(map(len, lines)) + len(lines)
        if lines:
            self._move(self.position + n_bytes, data[max(0, n_bytes - _MARK) : n_bytes], len(lines))
        if is_last or not lines:  # else the next block has the end of the rest
            self._seen = self.position + len(rest)
        self.is_torn = is_last and bool(rest)
        self.is_at_end = is_last and (self.is_torn or len(lines) < at_most)
        return lines

    def _move(self, position: int, last: bytes, n_lines: int) -> None:
        self.position = self._seen = position
        self._mark = last[-_MARK:]
        self.n_lines += n_lines
        self._needed = 0


def open_file(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a file to read, without waiting for a writer of a pipe that has taken its place.

    Raises:
        OSError: If it is not a file, or cannot be opened.
    """
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115  (the caller closes it)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(None, "it is not a file", str(path))
    return file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
